"""One rush from its preparation to its verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from aurora_atlan.commands.rush.errors import RushError, ServiceGoneError
from aurora_atlan.commands.rush.history import Buyer, History, Proof, SoldEvent
from aurora_atlan.commands.rush.installation import Installation
from aurora_atlan.commands.rush.preparation import (
    admin_token,
    create_events,
    in_equal_parts,
    register,
    register_buyers,
    shown_booked,
)
from aurora_atlan.commands.rush.report import report
from aurora_atlan.commands.rush.sale import Sale
from aurora_atlan.commands.rush.screen import Screen
from aurora_atlan.commands.rush.service import Service
from aurora_atlan.commands.rush.verdict import Verdict, judge
from aurora_atlan.config import Settings
from aurora_atlan.persistence.errors import StoreError

_NO_ADMIN = (
    "creating the event needs an administrator: give --admin-email and --admin-password-file, or run the rush with "
    "the service's own environment (DATABASE_URL and JWT_SECRET, or AURORA_DATA_DIR)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What shall be sold, to how many, where, and how."""

    url: str
    buyers: int
    seats: int
    events: int
    connections: int
    # How long the service may be away, and how long nothing may move.
    patience_s: float
    # E-mail address and password.
    admin: tuple[str, str] | None = None
    # The environment is known to lead to the service's stores.
    trusted: bool = False


class Rush:
    """Prepares the sale, holds it, and judges what came of it."""

    def __init__(self, plan: Plan, settings: Settings, screen: Screen) -> None:
        self._plan = plan
        self._settings = settings
        self._screen = screen
        # Whether the settings lead to the stores of the service.
        self._recognised = plan.trusted

    async def run(self) -> Verdict:
        """Run it all; raises :class:`RushError` when it cannot even begin."""
        plan = self._plan
        # What keeps the rush from coming to its end.
        incidents: list[str] = []
        async with Service.connected(plan.url, connections=plan.connections, patience_s=plan.patience_s) as service:
            await service.check()
            buyers, events = await self._prepare(service)
            wanted = [(buyer, events[number % len(events)].event_id) for number, buyer in enumerate(buyers)]
            sale = Sale(service, wanted, workers=plan.connections, patience_s=plan.patience_s)
            try:
                await self._sell(sale, service)
                sold = Counter(attempt.event_id for attempt in sale.attempts if attempt.confirmed)
                events = [await shown_booked(service, event, sold[event.event_id]) for event in events]
            except ServiceGoneError as error:
                incidents.append(str(error))
        proofs = self._prove(events)
        if proofs is None and plan.trusted:
            incidents.append("the rows of the service could not be audited")
        verdict = judge(History(events=events, attempts=sale.attempts, proofs=proofs, incidents=incidents))
        for line in report(verdict, sale.tally, service.outages, service.retries):
            self._screen.say(line)
        return verdict

    async def _prepare(self, service: Service) -> tuple[list[Buyer], list[SoldEvent]]:
        plan = self._plan
        with Installation.at_hand(self._settings) as found:
            self._recognised = plan.trusted or await self._recognise(found, service)
            installation = found if self._recognised else None
            events = await self._events(service, installation)
            if installation is not None:
                with self._screen.counting("Made buyers", plan.buyers) as progress:
                    buyers = []
                    for buyer in installation.make_buyers(plan.buyers):
                        buyers.append(buyer)
                        progress(1)
            else:
                with self._screen.counting("Registered buyers over HTTP", plan.buyers) as progress:
                    buyers = await register_buyers(service, plan.buyers, progress)
        return buyers, events

    async def _recognise(self, found: Installation | None, service: Service) -> bool:
        """Whether the installation is the one behind the service: both know a new account, and its token."""
        if found is None:
            return False
        registered = await register(service)
        user_id = registered.buyer.user_id
        try:
            if found.has_user(user_id, registered.email):
                reply = await service.get("/api/bookings/history", found.token(user_id))
                if reply.status == HTTPStatus.OK:
                    return True
            self._screen.say(f"The database and secret of this environment are not those behind {self._plan.url}.")
        except StoreError as error:
            self._screen.say(f"The database of this environment cannot be used: {error}")
        return False

    async def _events(self, service: Service, installation: Installation | None) -> list[SoldEvent]:
        capacities = in_equal_parts(self._plan.seats, self._plan.events)
        if self._plan.admin is not None:
            events = await create_events(service, await admin_token(service, *self._plan.admin), capacities)
        elif installation is not None:
            with installation.temporary_admin() as token:
                events = await create_events(service, token, capacities)
        else:
            raise RushError(_NO_ADMIN)
        numbers = str(events[0].event_id) if len(events) == 1 else f"{events[0].event_id} to {events[-1].event_id}"
        self._screen.say(f"Created event {numbers}: {self._plan.seats:,} seats")
        return events

    async def _sell(self, sale: Sale, service: Service) -> None:
        self._screen.say(f"{self._plan.buyers:,} buyers book at once over {self._plan.connections} connections.")
        async with self._screen.watching(sale.tally, service):
            await sale.run()
        await sale.ask_again()

    def _prove(self, events: Sequence[SoldEvent]) -> list[Proof] | None:
        """Audit the events from their rows, where the database is at hand."""
        if not self._recognised:
            return None
        with Installation.at_hand(self._settings) as installation:
            if installation is None:
                return None
            try:
                return installation.audit([event.event_id for event in events])
            except StoreError as error:
                self._screen.say(f"The database could not be audited: {error}")
                return None
