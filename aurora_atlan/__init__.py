"""Aurora-Atlan: an event booking service that never oversells.

This is what a program imports that runs the service within itself; everything below it may change at any time. How
it is used is told in docs/embedding.md; the command ``aurora-atlan serve`` runs the service by itself.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from aurora_atlan._version import __version__

if TYPE_CHECKING:
    from aurora_atlan.actors.errors import (
        AddressTakenError,
        AlreadyDecidedError,
        BookingError,
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
    from aurora_atlan.actors.health import ComponentHealth, HealthReport
    from aurora_atlan.actors.hooks import RestartNotice
    from aurora_atlan.actors.messages import BookTickets, JobState, JobStatus, Receipt
    from aurora_atlan.actors.queue_stats import Condition, QueueStats
    from aurora_atlan.config import ConfigurationError, Settings
    from aurora_atlan.http.app import create_app
    from aurora_atlan.persistence.audit_report import AuditReport
    from aurora_atlan.persistence.database import WatchedConnection
    from aurora_atlan.persistence.errors import ForkedError
    from aurora_atlan.persistence.events import KEEP, Event, EventEdit, NewEvent
    from aurora_atlan.persistence.outbox import OutcomeNotice
    from aurora_atlan.persistence.records import Booking, Kind, Reason
    from aurora_atlan.persistence.users import User
    from aurora_atlan.supervisor import Supervisor

__all__ = [
    "KEEP",
    "AddressTakenError",
    "AlreadyDecidedError",
    "AuditReport",
    "BookTickets",
    "Booking",
    "BookingError",
    "CapacityBelowSoldError",
    "ComponentHealth",
    "Condition",
    "ConfigurationError",
    "DurabilityUnmetError",
    "EmptyWindowError",
    "Event",
    "EventEdit",
    "EventInUseError",
    "EventQuarantinedError",
    "ForkedError",
    "HealthReport",
    "IdempotencyConflictError",
    "JobState",
    "JobStatus",
    "Kind",
    "NewEvent",
    "NotFailedError",
    "OutcomeNotice",
    "OutdatedVersionError",
    "QueueFullError",
    "QueueStats",
    "Reason",
    "Receipt",
    "RestartNotice",
    "SaleHasBegunError",
    "Settings",
    "Supervisor",
    "TooManyInFlightError",
    "UnavailableError",
    "UnknownBookingError",
    "UnknownEventError",
    "UnknownJobError",
    "User",
    "WatchedConnection",
    "__version__",
    "create_app",
]

# Where each is at home. What is imported when it is first asked for costs nobody anything who does without it: the
# command line needs none of it, and few hosts need the web framework.
_HOMES = {
    "AddressTakenError": "aurora_atlan.actors.errors",
    "AlreadyDecidedError": "aurora_atlan.actors.errors",
    "BookingError": "aurora_atlan.actors.errors",
    "CapacityBelowSoldError": "aurora_atlan.actors.errors",
    "DurabilityUnmetError": "aurora_atlan.actors.errors",
    "EmptyWindowError": "aurora_atlan.actors.errors",
    "EventInUseError": "aurora_atlan.actors.errors",
    "EventQuarantinedError": "aurora_atlan.actors.errors",
    "ForkedError": "aurora_atlan.persistence.errors",
    "IdempotencyConflictError": "aurora_atlan.actors.errors",
    "NotFailedError": "aurora_atlan.actors.errors",
    "OutdatedVersionError": "aurora_atlan.actors.errors",
    "QueueFullError": "aurora_atlan.actors.errors",
    "SaleHasBegunError": "aurora_atlan.actors.errors",
    "TooManyInFlightError": "aurora_atlan.actors.errors",
    "UnavailableError": "aurora_atlan.actors.errors",
    "UnknownBookingError": "aurora_atlan.actors.errors",
    "UnknownEventError": "aurora_atlan.actors.errors",
    "UnknownJobError": "aurora_atlan.actors.errors",
    "ComponentHealth": "aurora_atlan.actors.health",
    "HealthReport": "aurora_atlan.actors.health",
    "RestartNotice": "aurora_atlan.actors.hooks",
    "BookTickets": "aurora_atlan.actors.messages",
    "JobState": "aurora_atlan.actors.messages",
    "JobStatus": "aurora_atlan.actors.messages",
    "Receipt": "aurora_atlan.actors.messages",
    "Condition": "aurora_atlan.actors.queue_stats",
    "QueueStats": "aurora_atlan.actors.queue_stats",
    "ConfigurationError": "aurora_atlan.config",
    "Settings": "aurora_atlan.config",
    "create_app": "aurora_atlan.http.app",
    "AuditReport": "aurora_atlan.persistence.audit_report",
    "WatchedConnection": "aurora_atlan.persistence.database",
    "KEEP": "aurora_atlan.persistence.events",
    "Event": "aurora_atlan.persistence.events",
    "EventEdit": "aurora_atlan.persistence.events",
    "NewEvent": "aurora_atlan.persistence.events",
    "OutcomeNotice": "aurora_atlan.persistence.outbox",
    "Booking": "aurora_atlan.persistence.records",
    "Kind": "aurora_atlan.persistence.records",
    "Reason": "aurora_atlan.persistence.records",
    "User": "aurora_atlan.persistence.users",
    "Supervisor": "aurora_atlan.supervisor",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return __all__
