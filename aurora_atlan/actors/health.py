"""What health tells: values computed from the state of the process and its dependencies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aurora_atlan.actors.breaker import Breaker
from aurora_atlan.actors.cell import CellState
from aurora_atlan.actors.cells import Cells
from aurora_atlan.actors.losses import LossWatch
from aurora_atlan.actors.switchboard import Switchboard
from aurora_atlan.persistence.durability import PostgresState, RedisState


@dataclass(frozen=True, slots=True)
class ComponentHealth:
    """One part of the service."""

    ok: bool
    """Whether it works."""
    detail: str
    """How it is, in words that name no hosts or paths."""
    values: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)
    """Facts and numbers for those who watch."""


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The whole service."""

    ready: bool
    """Bookings can be accepted."""
    components: Mapping[str, ComponentHealth]
    """Its parts: "redis", "postgresql" and "actors"."""

    @property
    def degraded(self) -> bool:
        """True when the service accepts bookings although a part is not well."""
        return self.ready and not all(component.ok for component in self.components.values())


def redis_health(board: Switchboard, state: RedisState | None, losses: LossWatch) -> ComponentHealth:
    """Return how Redis is; ``state`` is None until it was read."""
    values: dict[str, str | int | None] = {"rollbacks": losses.rollbacks, "lostAtMost": losses.lost_at_most}
    if state is not None:
        values |= {
            "durability": state.durability.value,
            "maxmemoryPolicy": state.maxmemory_policy,
            "role": state.role,
            "version": state.version,
        }
    return _store_health(board.redis, board.redis_writes, values, reached=state is not None)


def postgres_health(board: Switchboard, state: PostgresState | None, *, reached: bool) -> ComponentHealth:
    """Return how PostgreSQL is; ``state`` is None until it was read."""
    values: dict[str, str | bool] = {}
    if state is not None:
        values = {
            "durability": state.durability.value,
            "fsync": state.fsync,
            "synchronousCommit": state.synchronous_commit,
            "version": state.version,
        }
    return _store_health(board.postgres, board.postgres_writes, values, reached=reached)


def actors_health(cells: Cells, *, wanted: bool, running: bool, restarts: int) -> ComponentHealth:
    """Return how the actors are; ``running``: those that there is one of all live, ``wanted``: they shall."""
    quarantined = sum(cell.state is CellState.QUARANTINED for cell in cells.every())
    return ComponentHealth(
        running and not quarantined,
        "running" if running else "restarting" if wanted else "not running",
        {
            "alive": len(cells.alive()),
            "waiting": cells.wanting(),
            "quarantined": quarantined,
            "restarts": restarts,
        },
    )


def _store_health(
    reach: Breaker, writes: Breaker, values: Mapping[str, str | int | bool | None], *, reached: bool
) -> ComponentHealth:
    # The reason names hosts and paths: it is for the log, not for whoever may read health.
    if reach.is_open:
        detail = "out of reach; trying again, the log says why"
    elif writes.is_open:
        detail = "takes no writes; trying again, the log says why"
    else:
        detail = "connected" if reached else "not reached yet"
    return ComponentHealth(detail == "connected", detail, values)
