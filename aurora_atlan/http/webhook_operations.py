"""The description of /api/admin/webhooks."""

from __future__ import annotations

from typing import Final

from aurora_atlan.http.operations import ADMINISTRATORS, Body, Operation, Success
from aurora_atlan.http.response_schemas import list_of, ref

_TAG: Final = "webhooks"

WEBHOOK_OPERATIONS: Final = (
    Operation(
        name="createWebhook",
        method="POST",
        path="/api/admin/webhooks",
        summary="Have outcomes sent to a URL",
        tag=_TAG,
        roles=ADMINISTRATORS,
        body=Body.REQUIRED,
        schema="CREATE_WEBHOOK",
        answers={201: Success("The webhook, and once its secret.", ref("NewWebhook"), ("Location",))},
        problems=("too-many-webhooks", "unavailable"),
    ),
    Operation(
        name="listWebhooks",
        method="GET",
        path="/api/admin/webhooks",
        summary="List the webhooks, the oldest first",
        tag=_TAG,
        roles=ADMINISTRATORS,
        answers={200: Success("All of them.", list_of("Webhook"))},
        problems=("unavailable",),
    ),
    Operation(
        name="viewWebhook",
        method="GET",
        path="/api/admin/webhooks/{id}",
        summary="Show a webhook, and what became of its deliveries",
        tag=_TAG,
        roles=ADMINISTRATORS,
        answers={200: Success("The webhook.", ref("WebhookStanding"))},
        problems=("unknown-webhook", "unavailable"),
    ),
    Operation(
        name="changeWebhook",
        method="PATCH",
        path="/api/admin/webhooks/{id}",
        summary="Switch a webhook on or off",
        tag=_TAG,
        roles=ADMINISTRATORS,
        body=Body.REQUIRED,
        schema="CHANGE_WEBHOOK",
        answers={200: Success("The webhook.", ref("Webhook"))},
        problems=("unknown-webhook", "unavailable"),
    ),
    Operation(
        name="deleteWebhook",
        method="DELETE",
        path="/api/admin/webhooks/{id}",
        summary="Remove a webhook and all that waits for it",
        tag=_TAG,
        roles=ADMINISTRATORS,
        answers={200: Success("Done.", ref("Message"))},
        problems=("unknown-webhook", "unavailable"),
    ),
    Operation(
        name="testWebhook",
        method="POST",
        path="/api/admin/webhooks/{id}/test",
        summary="Have a message sent that means nothing",
        tag=_TAG,
        roles=ADMINISTRATORS,
        body=Body.REFUSED,
        answers={202: Success("It will be sent.", ref("Message"))},
        problems=("unknown-webhook", "unavailable"),
    ),
    Operation(
        name="rotateWebhookSecret",
        method="POST",
        path="/api/admin/webhooks/{id}/rotate-secret",
        summary="Give a webhook another secret; for a day the old one signs, too",
        tag=_TAG,
        roles=ADMINISTRATORS,
        body=Body.REFUSED,
        answers={200: Success("The new secret, this once.", ref("NewSecret"))},
        problems=("unknown-webhook", "unavailable"),
    ),
)
