"""Resources: who is told of outcomes over HTTP."""

from __future__ import annotations

from typing import Any

import falcon

from aurora_atlan.actors.webhook_addresses import RefusedAddressError, WebhookUrl
from aurora_atlan.actors.webhook_messages import new_secret, written
from aurora_atlan.http import schemas
from aurora_atlan.http.addresses import prefix
from aurora_atlan.http.authentication import Authenticator
from aurora_atlan.http.bodies import read_json, refuse_body
from aurora_atlan.http.deeds import deed
from aurora_atlan.http.identifiers import path_id
from aurora_atlan.http.problems import Problem
from aurora_atlan.http.representations import respond
from aurora_atlan.http.times import format_optional_time, format_time
from aurora_atlan.http.validation import Validator, invalid
from aurora_atlan.persistence.webhooks import OUTCOME_TYPES, WEBHOOKS_MAX, GivenUp, Webhook, WebhookStore

_ADMINISTRATORS = frozenset({"ADMIN"})


class Webhooks:
    """POST and GET /api/admin/webhooks."""

    def __init__(self, webhooks: WebhookStore, authenticator: Authenticator, *, private: bool) -> None:
        self._webhooks = webhooks
        self._authenticator = authenticator
        self._private = private
        self._validator = Validator(schemas.CREATE_WEBHOOK)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Have outcomes sent to a URL; the secret that signs them is told this once."""
        admin = self._authenticator.required(req, _ADMINISTRATORS)
        body = self._validator.check(read_json(req))
        try:
            WebhookUrl.parse(body["url"], private=self._private)
        except RefusedAddressError as error:
            raise invalid([("/url", str(error))]) from None
        secret = new_secret()
        created = self._webhooks.create(
            body["url"],
            body.get("types", OUTCOME_TYPES),
            secret,
            lambda webhook: deed(req, admin, "webhook.create", _named(webhook.id), after=_noted(webhook)),
        )
        if created is None:
            raise Problem(
                409, "too-many-webhooks", f"There are {WEBHOOKS_MAX} webhooks, and more there may not be; delete one."
            )
        resp.status = falcon.HTTP_201
        resp.set_header("Location", f"{prefix(req)}/api/admin/webhooks/{created.id}")
        respond(resp, {**_webhook_json(created), "secret": written(secret)})

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the webhooks, the oldest first."""
        self._authenticator.required(req, _ADMINISTRATORS)
        respond(resp, [_webhook_json(webhook) for webhook in self._webhooks.all()])

    on_head = on_get


class AnyWebhook:
    """GET, PATCH and DELETE /api/admin/webhooks/{id}."""

    def __init__(self, webhooks: WebhookStore, authenticator: Authenticator) -> None:
        self._webhooks = webhooks
        self._authenticator = authenticator
        self._validator = Validator(schemas.CHANGE_WEBHOOK)

    def on_get(self, req: falcon.Request, resp: falcon.Response, webhook_id: str) -> None:
        """Show a webhook, and what became of its deliveries."""
        self._authenticator.required(req, _ADMINISTRATORS)
        standing = self._webhooks.standing(path_id(req, webhook_id))
        if standing is None:
            raise _unknown_webhook()
        respond(
            resp,
            {
                **_webhook_json(standing.webhook),
                "waiting": standing.waiting,
                "failed": standing.failed,
                "givenUp": [_given_up_json(given_up) for given_up in standing.given_up],
            },
        )

    on_head = on_get

    def on_patch(self, req: falcon.Request, resp: falcon.Response, webhook_id: str) -> None:
        """Switch a webhook on, which tries at once what waits, or off."""
        admin = self._authenticator.required(req, _ADMINISTRATORS)
        wanted = path_id(req, webhook_id)
        enabled: bool = self._validator.check(read_json(req))["enabled"]
        action = "webhook.enable" if enabled else "webhook.disable"
        noted = deed(req, admin, action, _named(wanted), before={"enabled": not enabled}, after={"enabled": enabled})
        webhook = self._webhooks.set_enabled(wanted, noted, enabled=enabled)
        if webhook is None:
            raise _unknown_webhook()
        respond(resp, _webhook_json(webhook))

    def on_delete(self, req: falcon.Request, resp: falcon.Response, webhook_id: str) -> None:
        """Remove a webhook and all that waits for it."""
        admin = self._authenticator.required(req, _ADMINISTRATORS)
        wanted = path_id(req, webhook_id)
        if not self._webhooks.delete(wanted, deed(req, admin, "webhook.delete", _named(wanted))):
            raise _unknown_webhook()
        respond(resp, {"message": "The webhook is deleted."})


class WebhookTest:
    """POST /api/admin/webhooks/{id}/test."""

    def __init__(self, webhooks: WebhookStore, authenticator: Authenticator) -> None:
        self._webhooks = webhooks
        self._authenticator = authenticator

    def on_post(self, req: falcon.Request, resp: falcon.Response, webhook_id: str) -> None:
        """Have a message sent that means nothing."""
        admin = self._authenticator.required(req, _ADMINISTRATORS)
        wanted = path_id(req, webhook_id)
        refuse_body(req)
        if not self._webhooks.queue_test(wanted, deed(req, admin, "webhook.test", _named(wanted))):
            raise _unknown_webhook()
        resp.status = falcon.HTTP_202
        respond(resp, {"message": "A test will be sent; the webhook's lastSuccessAt or lastError tells how it went."})


class WebhookRotation:
    """POST /api/admin/webhooks/{id}/rotate-secret."""

    def __init__(self, webhooks: WebhookStore, authenticator: Authenticator) -> None:
        self._webhooks = webhooks
        self._authenticator = authenticator

    def on_post(self, req: falcon.Request, resp: falcon.Response, webhook_id: str) -> None:
        """Give a webhook another secret, told this once; for a day the old one signs, too."""
        admin = self._authenticator.required(req, _ADMINISTRATORS)
        wanted = path_id(req, webhook_id)
        refuse_body(req)
        secret = new_secret()
        until = self._webhooks.rotate(wanted, secret, deed(req, admin, "webhook.rotate-secret", _named(wanted)))
        if until is None:
            raise _unknown_webhook()
        respond(resp, {"secret": written(secret), "oldSecretUntil": format_time(until)})


def _named(webhook_id: int) -> str:
    return f"webhook {webhook_id}"


def _noted(webhook: Webhook) -> dict[str, Any]:
    # A query may be a password.
    return {"url": webhook.url.partition("?")[0], "types": [*webhook.types]}


def _unknown_webhook() -> Problem:
    return Problem(404, "unknown-webhook", "There is no webhook with this id.")


def _webhook_json(webhook: Webhook) -> dict[str, Any]:
    return {
        "id": webhook.id,
        "url": webhook.url,
        "types": [*webhook.types],
        "enabled": webhook.enabled,
        "createdAt": format_time(webhook.created_at),
        "lastSuccessAt": format_optional_time(webhook.last_success_at),
        "lastError": webhook.last_error,
        "lastErrorAt": format_optional_time(webhook.last_error_at),
    }


def _given_up_json(given_up: GivenUp) -> dict[str, Any]:
    return {
        "eventId": given_up.event_id,
        "entryNumber": given_up.entry_number,
        "attempts": given_up.attempts,
        "failedAt": format_time(given_up.failed_at),
        "error": given_up.error,
    }
