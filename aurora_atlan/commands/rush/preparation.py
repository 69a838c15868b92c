"""What a rush needs before it begins: buyers, an administrator's token, events."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from aurora_atlan.commands.rush.errors import RushError, ServiceGoneError, alone
from aurora_atlan.commands.rush.history import Buyer, SoldEvent
from aurora_atlan.commands.rush.service import Service

# Hashing a password is slow on purpose: more at once would only wait for each other.
_REGISTRATIONS_AT_ONCE = 4
_DAYS_AHEAD = 30


@dataclass(frozen=True, slots=True)
class Registered:
    """An account made over HTTP."""

    buyer: Buyer
    email: str


async def register(service: Service) -> Registered:
    """Make a buyer as any client does; raises :class:`RushError` when the service refuses."""
    email = f"rush-{uuid4().hex}@buyers.example"
    body = {"name": "Rush Buyer", "email": email, "password": secrets.token_urlsafe(24)}
    reply = await service.post("/api/auth/register", body)
    if reply.status != 200 or not isinstance(reply.body, dict):
        raise RushError(f"the service refused to register a buyer: {reply.problem}")
    user = reply.body["user"]
    return Registered(Buyer(user["id"], reply.body["token"]), user["email"])


async def register_buyers(service: Service, count: int, progress: Callable[[int], None]) -> list[Buyer]:
    """Register buyers over HTTP; ``progress`` is told each."""
    buyers: list[Buyer] = []

    # Shared by the workers: there are never more registrations than asked for.
    turns = iter(range(count))

    async def work() -> None:
        for _ in turns:
            buyers.append((await register(service)).buyer)
            progress(1)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(_REGISTRATIONS_AT_ONCE):
                group.create_task(work())
    except BaseExceptionGroup as errors:
        raise alone(errors) from None
    return buyers


async def admin_token(service: Service, email: str, password: str) -> str:
    """Log in as an administrator; raises :class:`RushError` when that is refused."""
    # Logging in may be repeated; the key has no meaning there.
    reply = await service.post("/api/auth/login", {"email": email, "password": password}, key=uuid4().hex)
    if reply.status != 200 or not isinstance(reply.body, dict):
        raise RushError(f"the service refused the login of {email}: {reply.problem}")
    if reply.body["user"]["role"] != "ADMIN":
        raise RushError(f"{email} is not an administrator; `aurora-atlan create-admin` makes one")
    return str(reply.body["token"])


async def create_events(service: Service, token: str, capacities: Sequence[int]) -> list[SoldEvent]:
    """Create an event of each capacity; raises :class:`RushError` when the service refuses."""
    now = datetime.now(UTC)
    events = []
    for number, capacity in enumerate(capacities, start=1):
        name = f"Flash sale of {now:%Y-%m-%d %H:%M:%S}" + (f", hall {number}" if len(capacities) > 1 else "")
        body = {
            "name": name,
            "venue": "aurora-atlan rush",
            "time": (now + timedelta(days=_DAYS_AHEAD)).isoformat(timespec="seconds"),
            "capacity": capacity,
        }
        reply = await service.post("/api/events/create", body, token=token)
        if reply.status != 201 or not isinstance(reply.body, dict):
            raise RushError(f"the service refused to create an event: {reply.problem}")
        events.append(SoldEvent(reply.body["id"], capacity))
    return events


async def shown_booked(service: Service, event: SoldEvent, expected: int, *, wait_s: float = 3.0) -> SoldEvent:
    """Return the event with what the service shows as booked, which may lag a little behind the truth."""
    deadline = asyncio.get_running_loop().time() + wait_s
    while True:
        reply = await service.get(f"/api/events/{event.event_id}/view")
        if reply.status != 200 or not isinstance(reply.body, dict):
            raise ServiceGoneError(f"the service does not show event {event.event_id}: {reply.problem}")
        booked = int(reply.body["booked"])
        if booked == expected or asyncio.get_running_loop().time() > deadline:
            return SoldEvent(event.event_id, event.capacity, booked)
        await asyncio.sleep(0.1)


def in_equal_parts(total: int, parts: int) -> list[int]:
    """Divide a whole into parts that differ by one at most."""
    share, rest = divmod(total, parts)
    return [share + 1] * rest + [share] * (parts - rest)
