"""Resources: booking, a booking's status, taking it back, and one's own bookings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import falcon

from aurora_atlan.actors.errors import AlreadyDecidedError
from aurora_atlan.actors.messages import BookTickets, JobStatus
from aurora_atlan.http import schemas
from aurora_atlan.http.accepted import full_status, public_status, respond_accepted
from aurora_atlan.http.authentication import Authenticator
from aurora_atlan.http.bodies import read_optional_json
from aurora_atlan.http.identifiers import idempotency_key, path_id, path_job_id
from aurora_atlan.http.long_polls import LongPolls
from aurora_atlan.http.paging import link_next, requested_page
from aurora_atlan.http.preferences import preferred_wait_s
from aurora_atlan.http.problems import Problem, retry_after
from aurora_atlan.http.rate_limits import RateLimits
from aurora_atlan.http.representations import booking_json, event_json, respond
from aurora_atlan.http.request_ids import request_id_of
from aurora_atlan.http.times import format_optional_time
from aurora_atlan.http.tokens import Principal
from aurora_atlan.http.validation import Validator
from aurora_atlan.persistence.bookings import BookingStore, HistoryEntry
from aurora_atlan.persistence.impressions import ImpressionCounter

if TYPE_CHECKING:
    from aurora_atlan.supervisor import Supervisor

_BUYERS = frozenset({"USER", "ADMIN"})


def is_booking(method: str, path: str) -> bool:
    """Tell whether a request would book, and so waits for nothing but the queue."""
    return method == "POST" and path.endswith("/book")


class Book:
    """POST /api/bookings/{eventId}/book."""

    def __init__(self, supervisor: Supervisor, authenticator: Authenticator, limits: RateLimits) -> None:
        self._supervisor = supervisor
        self._authenticator = authenticator
        self._limits = limits
        self._validator = Validator(schemas.BOOK)

    def on_post(self, req: falcon.Request, resp: falcon.Response, event_id: str) -> None:
        """Put a booking attempt into the event's queue."""
        buyer = self._authenticator.required(req, _BUYERS)
        self._limits.booking(req, buyer.user_id)
        wanted_event = path_id(req, event_id)
        body = read_optional_json(req)
        # The usual case, spared the validator.
        quantity = 1 if body == {} else self._validator.check(body).get("quantity", 1)
        receipt = self._supervisor.submit(
            BookTickets(wanted_event, buyer.user_id, quantity, idempotency_key(req), request_id_of(req))
        )
        respond_accepted(req, resp, receipt)


class Status:
    """GET /api/bookings/status/{jobId}."""

    def __init__(self, supervisor: Supervisor, authenticator: Authenticator, long_polls: LongPolls) -> None:
        self._supervisor = supervisor
        self._authenticator = authenticator
        self._long_polls = long_polls

    def on_get(self, req: falcon.Request, resp: falcon.Response, job_id: str) -> None:
        """Tell how a job stands, at once or when it is decided; its result only to its owner and to admins."""
        caller = self._authenticator.optional(req)
        job = path_job_id(req, job_id)
        wait_s = preferred_wait_s(req)
        if wait_s is None:
            status = self._supervisor.status(job)
        else:
            status, waited = self._long_polls.status(job, wait_s)
            if waited:
                resp.set_header("Preference-Applied", f"wait={wait_s}")
        if status is None:
            raise Problem(
                404,
                "unknown-job",
                "No job has this id. If it was accepted, the queue has lost it undecided, and no seat is held: "
                "book again.",
            )
        if not status.finished:
            resp.set_headers(retry_after(status.estimated_wait_s))
        respond(resp, full_status(status) if _may_see_all(caller, status) else public_status(status))

    on_head = on_get


class Withdraw:
    """DELETE /api/bookings/jobs/{jobId}."""

    def __init__(self, supervisor: Supervisor, authenticator: Authenticator) -> None:
        self._supervisor = supervisor
        self._authenticator = authenticator

    def on_delete(self, req: falcon.Request, resp: falcon.Response, job_id: str) -> None:
        """Take a waiting attempt out of the queue; once it is decided, it is too late."""
        caller = self._authenticator.required(req, _BUYERS)
        job = path_job_id(req, job_id)
        try:
            self._supervisor.withdraw(job, _only_own(caller))
        except AlreadyDecidedError:
            decided = self._supervisor.status(job)
            outcome = {} if decided is None else {"outcome": full_status(decided)}
            raise Problem(
                409, "already-decided", "The job has its answer and cannot be withdrawn.", members=outcome
            ) from None
        respond(resp, {"message": "The booking attempt was withdrawn.", "jobId": str(job)})


class Cancel:
    """DELETE /api/bookings/{id}/cancel."""

    def __init__(self, supervisor: Supervisor, authenticator: Authenticator) -> None:
        self._supervisor = supervisor
        self._authenticator = authenticator

    def on_delete(self, req: falcon.Request, resp: falcon.Response, event_id: str) -> None:
        """Cancel a booking and free its seats; repeating it changes nothing."""
        caller = self._authenticator.required(req, _BUYERS)
        # The router wants one name for this segment, which is an event's id elsewhere.
        booking = self._supervisor.cancel(path_id(req, event_id), _only_own(caller))
        respond(resp, {"message": "The booking is cancelled.", "booking": booking_json(booking)})


class History:
    """GET /api/bookings/history."""

    def __init__(self, bookings: BookingStore, impressions: ImpressionCounter, authenticator: Authenticator) -> None:
        self._bookings = bookings
        self._impressions = impressions
        self._authenticator = authenticator

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the caller's bookings, newest first, each with its event."""
        caller = self._authenticator.required(req, _BUYERS)
        page = requested_page(req)
        entries = self._bookings.history(caller.user_id, page.limit + 1, page.cursor)
        if len(entries) > page.limit:
            del entries[page.limit :]
            link_next(req, resp, page, entries[-1].booking.id)
        respond(resp, [self._entry(entry) for entry in entries])

    on_head = on_get

    def _entry(self, entry: HistoryEntry) -> dict[str, Any]:
        booking = entry.booking
        return {
            **booking_json(booking),
            "jobId": str(booking.job_id),
            "cancelledAt": format_optional_time(booking.cancelled_at),
            "event": event_json(entry.event, self._impressions.pending(booking.event_id)),
        }


def _only_own(caller: Principal) -> int | None:
    # An administrator may take back everybody's.
    return None if caller.role == "ADMIN" else caller.user_id


def _may_see_all(caller: Principal | None, status: JobStatus) -> bool:
    return caller is not None and (caller.user_id == status.user_id or caller.role == "ADMIN")
