"""What health tells: values computed from the state of the process and its dependencies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ComponentHealth:
    """One part: whether it works, a sentence, and numbers for those who watch."""

    ok: bool
    detail: str
    values: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The whole service. ``ready``: bookings can be accepted. ``degraded``: ready, but a part is not well."""

    ready: bool
    components: Mapping[str, ComponentHealth]

    @property
    def degraded(self) -> bool:
        """True when the service accepts bookings although a part is not well."""
        return self.ready and not all(component.ok for component in self.components.values())
