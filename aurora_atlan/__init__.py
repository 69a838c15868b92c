"""Aurora-Atlan: an event booking service that never oversells.

This is what a program imports that runs the service within itself; everything below it may change at any time. How
it is used is told in docs/embedding.md; the command ``aurora-atlan serve`` runs the service by itself.
"""

from typing import TYPE_CHECKING, Any

from aurora_atlan._version import __version__
from aurora_atlan.actors.errors import (
    AddressTakenError,
    AlreadyDecidedError,
    BookingError,
    CapacityBelowSoldError,
    DurabilityUnmetError,
    EmptyWindowError,
    EventInUseError,
    EventQuarantinedError,
    ForkedError,
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
from aurora_atlan.persistence.audit_report import AuditReport
from aurora_atlan.persistence.database import WatchedConnection
from aurora_atlan.persistence.events import KEEP, Event, EventEdit, NewEvent
from aurora_atlan.persistence.outbox import OutcomeNotice
from aurora_atlan.persistence.records import Booking, Kind, Reason
from aurora_atlan.persistence.users import User
from aurora_atlan.supervisor import Supervisor

if TYPE_CHECKING:
    from aurora_atlan.http.app import create_app

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


def __getattr__(name: str) -> Any:
    # A host that has no use for the API does not pay for the web framework.
    if name == "create_app":
        from aurora_atlan.http.app import create_app  # noqa: PLC0415 - that is the point

        return create_app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
