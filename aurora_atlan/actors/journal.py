"""The journal: puts accepted jobs into their events' queues, all that wait in one round trip to Redis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from aurora_atlan.actors.gathering import Gatherer
from aurora_atlan.actors.messages import AcceptJob, Refused
from aurora_atlan.actors.switchboard import Switchboard
from aurora_atlan.persistence.errors import StoreError, StoreRefusesError, StoreTimeoutError, StoreUnavailableError
from aurora_atlan.persistence.jobs import Enqueued, Enqueueing, JobStore
from aurora_atlan.persistence.records import Job


class Announce(Protocol):
    """Called with newly accepted jobs of one event, in their order."""

    def __call__(self, jobs: Sequence[Job], *, at_head: bool) -> None:
        """Tell whoever decides them; ``at_head``: none waited for the event before them."""


class JournalActor(Gatherer[AcceptJob]):
    """Accepts jobs, tells each event's actor of its own in the order of the log, and answers the callers.

    When this actor crashes, callers that wait are refused at once; what Redis has accepted by then, the sweep finds.
    """

    gathers = AcceptJob

    def __init__(
        self,
        switchboard: Switchboard,
        jobs: JobStore,
        announce: Announce,
        on_death: Callable[[BaseException | None], None],
    ) -> None:
        super().__init__()
        self._switchboard = switchboard
        self._jobs = jobs
        self._announce = announce
        self._on_death = on_death

    def round_trip(self, gathered: Sequence[AcceptJob]) -> None:
        """Enqueue the gathered jobs and answer each caller."""
        if not gathered:
            return
        if self._switchboard.redis.is_open:
            _refuse(gathered, Refused("the booking queue is out of reach", attempted=False))
            return
        try:
            self._switchboard.faults.reach("before_enqueue")
            answers, repeated = self._enqueue(gathered)
            self._switchboard.faults.reach("after_enqueue")
        except StoreError as error:
            # A timeout is never repeated: it may have been done, and everybody behind would wait as long.
            self._switchboard.redis_failed(error)
            _refuse(gathered, Refused("the booking queue did not answer", attempted=True))
            return
        except BaseException:
            # Whatever it was, nobody shall wait for an actor that dies of it.
            _refuse(gathered, Refused("the journal crashed", attempted=True))
            raise
        if self._switchboard.redis_writes.close():
            self._switchboard.wake_committers()
        self._tell_actors(answers, repeated=repeated)
        for message, answer in zip(gathered, answers, strict=True):
            message.reply.set(answer)

    def _tell_actors(self, answers: Sequence[Enqueueing], *, repeated: bool) -> None:
        accepted: dict[int, list[Enqueued]] = {}
        for answer in answers:
            # Known from the first of two tries, or from an earlier request; hearing of it twice harms no actor.
            if isinstance(answer, Enqueued) and (not answer.known or (repeated and not answer.decided)):
                accepted.setdefault(answer.job.event_id, []).append(answer)
        for together in accepted.values():
            self._announce([answer.job for answer in together], at_head=all(answer.at_head for answer in together))
        self._switchboard.metrics.accepted(sum(map(len, accepted.values())))

    def died(self, error: BaseException | None) -> None:
        """Refuse everybody who waits, and report."""
        _refuse(self.waiting, Refused("the journal crashed", attempted=False))
        self._on_death(error)

    def _enqueue(self, gathered: Sequence[AcceptJob]) -> tuple[list[Enqueueing], bool]:
        jobs = [message.job for message in gathered]
        try:
            return self._jobs.enqueue(jobs), False
        except (StoreTimeoutError, StoreRefusesError):
            raise
        except StoreUnavailableError:
            # A connection that broke while idle. The job ids make repeating harmless.
            return self._jobs.enqueue(jobs), True


def _refuse(messages: Sequence[AcceptJob], refused: Refused) -> None:
    for message in messages:
        message.reply.set(refused)
