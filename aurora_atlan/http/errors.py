"""Domain errors become problem details, here and nowhere else."""

from __future__ import annotations

import logging
from typing import Any, NoReturn

import falcon

from aurora_atlan.actors.errors import (
    CapacityBelowSoldError,
    DurabilityUnmetError,
    EmptyWindowError,
    EventInUseError,
    EventQuarantinedError,
    IdempotencyConflictError,
    NotFailedError,
    OutdatedVersionError,
    QueueFullError,
    SaleHasBegunError,
    TooManyInFlightError,
    UnavailableError,
    UnknownBookingError,
    UnknownEventError,
    UnknownJobError,
)
from aurora_atlan.http.addresses import status_address
from aurora_atlan.http.passwords import BusyError
from aurora_atlan.http.problems import Problem, retry_after
from aurora_atlan.http.request_ids import request_id_of
from aurora_atlan.http.validation import invalid
from aurora_atlan.persistence.errors import SchemaError, TransientError

log = logging.getLogger(__name__)


def add_error_handlers(app: falcon.App[Any, Any]) -> None:
    """Register the handlers; what none of them knows is a 500."""
    app.add_error_handler(UnknownEventError, _unknown_event)
    app.add_error_handler(UnknownBookingError, _unknown_booking)
    app.add_error_handler(UnknownJobError, _unknown_job)
    app.add_error_handler(EmptyWindowError, _empty_window)
    app.add_error_handler(OutdatedVersionError, _outdated_version)
    app.add_error_handler(CapacityBelowSoldError, _capacity_below_sold)
    app.add_error_handler(SaleHasBegunError, _sale_has_begun)
    app.add_error_handler(EventInUseError, _event_in_use)
    app.add_error_handler(NotFailedError, _not_failed)
    app.add_error_handler(IdempotencyConflictError, _idempotency_conflict)
    app.add_error_handler(TooManyInFlightError, _too_many_in_flight)
    app.add_error_handler(QueueFullError, _queue_full)
    app.add_error_handler(UnavailableError, _unavailable)
    app.add_error_handler(TransientError, _store_unavailable)
    app.add_error_handler(SchemaError, _schema_not_ready)
    app.add_error_handler(BusyError, _busy)
    app.add_error_handler(Exception, _unexpected)


def _unknown_event(
    _req: falcon.Request, _resp: falcon.Response, _error: UnknownEventError, _params: dict[str, Any]
) -> NoReturn:
    raise Problem(404, "unknown-event", "There is no event with this id.")


def _unknown_booking(
    _req: falcon.Request, _resp: falcon.Response, _error: UnknownBookingError, _params: dict[str, Any]
) -> NoReturn:
    raise Problem(404, "unknown-booking", "You have no booking with this id.")


def _unknown_job(
    _req: falcon.Request, _resp: falcon.Response, _error: UnknownJobError, _params: dict[str, Any]
) -> NoReturn:
    raise Problem(404, "unknown-job", "You have no job with this id.")


def _empty_window(
    _req: falcon.Request, _resp: falcon.Response, _error: EmptyWindowError, _params: dict[str, Any]
) -> NoReturn:
    raise invalid([("/closesAt", "must be later than opensAt")])


def _outdated_version(
    _req: falcon.Request, _resp: falcon.Response, _error: OutdatedVersionError, _params: dict[str, Any]
) -> NoReturn:
    raise Problem(
        412, "precondition-failed", "The event was changed since: read it again, then change the version that it has."
    )


def _capacity_below_sold(
    _req: falcon.Request, _resp: falcon.Response, error: CapacityBelowSoldError, _params: dict[str, Any]
) -> NoReturn:
    raise Problem(409, "capacity-below-sold", _sentence(str(error)), members={"sold": error.sold})


def _sale_has_begun(
    _req: falcon.Request, _resp: falcon.Response, error: SaleHasBegunError, _params: dict[str, Any]
) -> NoReturn:
    raise Problem(409, "sale-has-begun", _sentence(str(error)))


def _event_in_use(
    _req: falcon.Request, _resp: falcon.Response, error: EventInUseError, _params: dict[str, Any]
) -> NoReturn:
    raise Problem(
        409,
        "event-in-use",
        "Tickets of this event are sold, or bookings wait for it. Delete it with ?force=true to cancel them all.",
        members={"confirmed": error.confirmed, "queued": error.queued},
    )


def _not_failed(
    _req: falcon.Request, _resp: falcon.Response, error: NotFailedError, _params: dict[str, Any]
) -> NoReturn:
    raise Problem(409, "not-failed", f"Only a dead letter can be tried again: {error}.")


def _idempotency_conflict(
    _req: falcon.Request, _resp: falcon.Response, _error: IdempotencyConflictError, _params: dict[str, Any]
) -> NoReturn:
    raise Problem(
        422,
        "idempotency-key-reused",
        "This Idempotency-Key was used for a different request; use a new key for a new request.",
    )


def _too_many_in_flight(
    _req: falcon.Request, _resp: falcon.Response, _error: TooManyInFlightError, _params: dict[str, Any]
) -> NoReturn:
    raise Problem(
        429,
        "too-many-in-flight",
        "You have as many undecided bookings for this event as one may have; wait for an outcome.",
        headers=retry_after(1),
    )


def _queue_full(
    _req: falcon.Request, _resp: falcon.Response, _error: QueueFullError, _params: dict[str, Any]
) -> NoReturn:
    raise Problem(
        503, "queue-full", "This event's queue is full; nothing was accepted. Try again.", headers=retry_after(5)
    )


def _unavailable(
    req: falcon.Request, _resp: falcon.Response, error: UnavailableError, _params: dict[str, Any]
) -> NoReturn:
    slugs: tuple[tuple[type[UnavailableError], str], ...] = (
        (EventQuarantinedError, "event-quarantined"),
        (DurabilityUnmetError, "durability-unmet"),
        (UnavailableError, "unavailable"),
    )
    slug = next(slug for kind, slug in slugs if isinstance(error, kind))
    # With a job id it may have been accepted all the same: the client can find out.
    job_id = error.job_id
    members = {} if job_id is None else {"jobId": str(job_id), "statusEndpoint": status_address(req, job_id)}
    raise Problem(503, slug, _sentence(str(error)), headers=retry_after(error.retry_after_s), members=members)


def _store_unavailable(
    req: falcon.Request, _resp: falcon.Response, error: TransientError, _params: dict[str, Any]
) -> NoReturn:
    log.warning("503 for %s %s (%s): %s", req.method, req.path, request_id_of(req), error)
    raise Problem(503, "unavailable", "The database is out of reach or busy; try again.", headers=retry_after(1))


def _schema_not_ready(
    req: falcon.Request, _resp: falcon.Response, error: SchemaError, _params: dict[str, Any]
) -> NoReturn:
    log.error("503 for %s %s (%s): %s", req.method, req.path, request_id_of(req), error)
    raise Problem(503, "unavailable", "The database is being prepared; try again.", headers=retry_after(2))


def _busy(_req: falcon.Request, _resp: falcon.Response, _error: BusyError, _params: dict[str, Any]) -> NoReturn:
    raise Problem(503, "busy", "Too many people are logging in at once; try again.", headers=retry_after(1))


def _unexpected(req: falcon.Request, _resp: falcon.Response, error: Exception, _params: dict[str, Any]) -> NoReturn:
    log.error("500 for %s %s (%s)", req.method, req.path, request_id_of(req), exc_info=error)
    raise falcon.HTTPInternalServerError


def _sentence(message: str) -> str:
    return f"{message[:1].upper()}{message[1:].rstrip('.')}."
