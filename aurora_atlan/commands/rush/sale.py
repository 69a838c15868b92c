"""The sale itself: everybody books at once, every job is followed to its answer."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from aurora_atlan.commands.rush.errors import alone
from aurora_atlan.commands.rush.history import Attempt, Buyer
from aurora_atlan.commands.rush.replies import answer_of, decision_time_s, position_of, receipt_of
from aurora_atlan.commands.rush.service import Reply, Service
from aurora_atlan.commands.rush.tally import Tally

# A job is asked for soon, then less and less often.
_POLL_FIRST_S = 0.1
_POLL_GROWTH = 1.6
_POLL_MAX_S = 1.0
_IDLE_S = 0.01
# One of so many buyers repeats the booking in the end: it must lead to the same job.
_BUYERS_PER_REPETITION = 10


@dataclass(slots=True)
class _Course:
    """A buyer on the way to an answer."""

    buyer: Buyer
    attempt: Attempt
    # The same for every repetition, so that nobody books twice.
    key: str = field(default_factory=lambda: uuid4().hex)


@dataclass(order=True, slots=True)
class _Poll:
    due_s: float
    delay_s: float
    course: _Course = field(compare=False)


class Sale:
    """One rush, of attempts that each want one ticket; ``tally`` is read while it runs."""

    def __init__(
        self, service: Service, wanted: Sequence[tuple[Buyer, int]], *, workers: int, patience_s: float
    ) -> None:
        self.tally = Tally(len(wanted))
        self._service = service
        self._workers = workers
        self._patience_s = patience_s
        self._courses = [_Course(buyer, Attempt(event_id, buyer.user_id)) for buyer, event_id in wanted]
        self._unsent = deque(self._courses)
        self._polls: list[_Poll] = []
        self._news_s = 0.0

    @property
    def attempts(self) -> list[Attempt]:
        """What has happened to every buyer so far."""
        return [course.attempt for course in self._courses]

    async def run(self) -> None:
        """Let everybody book and follow every job; ends when all are answered, or nothing moves any more.

        Raises :class:`~aurora_atlan.commands.rush.errors.ServiceGoneError`.
        """
        self._news_s = time.monotonic()
        self.tally.start()

        async def work(number: int) -> None:
            # Half of them prefer asking for answers while the others are still booking, as in a real rush.
            polls_first = number % 2 == 1
            while self.tally.open and time.monotonic() - max(self._news_s, self._service.back_s) < self._patience_s:
                await self._step(polls_first=polls_first)

        try:
            await self._in_parallel(work)
        finally:
            self.tally.stop()

    async def ask_again(self) -> None:
        """Ask every answered job once more, and repeat some bookings: nothing may change by that.

        Raises :class:`~aurora_atlan.commands.rush.errors.ServiceGoneError`.
        """
        answered = [course for course in self._courses if course.attempt.answer is not None]
        repeated = deque(answered[::_BUYERS_PER_REPETITION])
        asked = deque(answered)

        async def work(_number: int) -> None:
            while repeated:
                await self._repeat(repeated.popleft())
            while asked:
                await self._ask(asked.popleft())

        await self._in_parallel(work)

    async def _in_parallel(self, work: Callable[[int], Coroutine[None, None, None]]) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self._workers):
                    group.create_task(work(number))
        except BaseExceptionGroup as errors:
            # They all wait for the same service, and fail for the same reason.
            raise alone(errors) from None

    async def _step(self, *, polls_first: bool) -> None:
        due = bool(self._polls) and self._polls[0].due_s <= time.monotonic()
        step: Awaitable[None]
        if self._unsent and not (polls_first and due):
            step = self._book(self._unsent.popleft())
        elif due:
            step = self._poll(heapq.heappop(self._polls))
        else:
            step = asyncio.sleep(_IDLE_S)
        await step

    async def _book(self, course: _Course) -> None:
        attempt = course.attempt
        reply = await self._send(course)
        attempt.sent_s, attempt.accepted_s = reply.sent_s, reply.received_s
        attempt.possible_job_ids |= reply.possible_job_ids
        self._news_s = time.monotonic()
        receipt = receipt_of(reply)
        if receipt is None:
            attempt.complaints.append(f"was not accepted: {reply.problem}")
            self.tally.ended(attempt)
            return
        attempt.receipts.append(receipt)
        attempt.tell_position(receipt.queue_position)
        self.tally.accepted(attempt)
        self._poll_later(course, _POLL_FIRST_S)

    async def _repeat(self, course: _Course) -> None:
        reply = await self._send(course)
        receipt = receipt_of(reply)
        if receipt is None:
            course.attempt.complaints.append(f"repeated the booking and was told {reply.problem}")
        else:
            course.attempt.receipts.append(receipt)

    async def _send(self, course: _Course) -> Reply:
        path = f"/api/bookings/{course.attempt.event_id}/book"
        return await self._service.post(path, token=course.buyer.token, key=course.key)

    async def _poll(self, poll: _Poll) -> None:
        if await self._ask(poll.course):
            self._news_s = time.monotonic()
            self.tally.ended(poll.course.attempt)
        else:
            self._poll_later(poll.course, min(poll.delay_s * _POLL_GROWTH, _POLL_MAX_S))

    def _poll_later(self, course: _Course, delay_s: float) -> None:
        heapq.heappush(self._polls, _Poll(time.monotonic() + delay_s, delay_s, course))

    async def _ask(self, course: _Course) -> bool:
        """Ask how a job stands; return whether there is nothing more to wait for."""
        attempt = course.attempt
        receipt = attempt.receipts[0]
        reply = await self._service.get(receipt.status_endpoint, course.buyer.token)
        if reply.status != 200 or not isinstance(reply.body, dict):
            attempt.complaints.append(f"asked for job {receipt.job_id} and was told {reply.problem}")
            return True
        answer = answer_of(reply.body)
        if answer is not None:
            if attempt.answer is None:
                attempt.answered_s = reply.received_s
                attempt.decided_after_s = decision_time_s(reply.body)
            attempt.answers.append(answer)
            return True
        if attempt.answer is not None:
            now = reply.body.get("status")
            attempt.complaints.append(f"was told {attempt.answer} for job {receipt.job_id}, and later {now}")
        elif (position := position_of(reply.body)) is not None:
            attempt.tell_position(position)
        return False
