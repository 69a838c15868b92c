"""Resource: what has been sold, for administrators."""

from __future__ import annotations

import falcon

from aurora_atlan.http.authentication import Authenticator
from aurora_atlan.http.representations import event_json, respond
from aurora_atlan.persistence.analytics import Analytics
from aurora_atlan.persistence.impressions import ImpressionCounter

_ADMINISTRATORS = frozenset({"ADMIN"})
_POPULAR_MAX = 10


class AnalyticsReport:
    """GET /api/admin/analytics."""

    def __init__(self, analytics: Analytics, impressions: ImpressionCounter, authenticator: Authenticator) -> None:
        self._analytics = analytics
        self._impressions = impressions
        self._authenticator = authenticator

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Add up the events that are not gone; to be in the report is no page view."""
        self._authenticator.required(req, _ADMINISTRATORS)
        figures = self._analytics.figures(_POPULAR_MAX)
        rate = figures.sold / figures.capacity if figures.capacity else 0
        respond(
            resp,
            {
                "totalBookings": figures.bookings,
                "popularEvents": [event_json(event, self._impressions.pending(event.id)) for event in figures.popular],
                "utilization": {"capacity": figures.capacity, "booked": figures.sold, "rate": round(rate, 4)},
            },
        )

    on_head = on_get
