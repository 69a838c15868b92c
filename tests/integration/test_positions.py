"""queuePosition: at most so many decisions until one's own, and never more than was told before."""

from __future__ import annotations

import threading
from collections.abc import Callable
from uuid import UUID

import pytest

from aurora_atlan.actors.messages import BookTickets
from aurora_atlan.supervisor import Supervisor
from harness_sales import Rush, make_buyers, wait_decided, wait_until

MakeEvent = Callable[..., int]
pytestmark = pytest.mark.usefixtures("audit_clean")


def _position(supervisor: Supervisor, job_id: UUID) -> int:
    status = supervisor.status(job_id)
    assert status is not None
    return status.queue_position


@pytest.mark.slow
def test_a_position_never_grows_while_two_thousand_others_are_accepted_and_decided(
    supervise: Callable[..., Supervisor], make_event: MakeEvent, database_url: str
) -> None:
    """Half of them are ahead and half come behind; three threads ask all the time, through their own eyes."""
    # Small batches, so that there is something to see.
    supervisor = supervise(batch_max=25)
    event_id = make_event(capacity=1_500)
    buyers = make_buyers(database_url, 2_001)
    supervisor.pause(event_id)
    ahead = Rush(supervisor, [BookTickets(event_id, buyer) for buyer in buyers[:1_000]]).run()
    receipt = supervisor.submit(BookTickets(event_id, buyers[1_000]))
    assert receipt.queue_position == 1_001
    told: list[list[int]] = [[receipt.queue_position] for _ in range(3)]
    barrier = threading.Barrier(4)

    def ask(seen: list[int]) -> None:
        barrier.wait(10)
        while seen[-1] > 0:
            seen.append(_position(supervisor, receipt.job_id))

    asking = [threading.Thread(target=ask, args=(seen,), daemon=True) for seen in told]
    for thread in asking:
        thread.start()
    barrier.wait(10)
    behind = Rush(supervisor, [BookTickets(event_id, buyer) for buyer in buyers[1_001:]]).start()
    supervisor.resume(event_id)
    for thread in asking:
        thread.join(60)
        assert not thread.is_alive()
    behind.join(60)
    wait_decided(database_url, [*ahead.jobs, receipt.job_id, *behind.jobs], timeout_s=30)

    assert (len(ahead.accepted), len(behind.accepted)) == (1_000, 1_000)
    for seen in told:
        assert seen == sorted(seen, reverse=True)
        assert seen[-1] == 0
    # They have seen it on its way.
    assert len({position for seen in told for position in seen}) > 3


def test_a_withdrawal_ahead_leaves_a_position_an_upper_bound(
    supervisor: Supervisor, make_event: MakeEvent, buyers: list[int], database_url: str
) -> None:
    """Those who left still count until their number has passed; nobody is told that he went back."""
    event_id = make_event(capacity=100)
    supervisor.pause(event_id)
    jobs = [supervisor.submit(BookTickets(event_id, buyer)).job_id for buyer in buyers[:20]]
    last = jobs[-1]
    told = [_position(supervisor, last)]
    left = list(jobs)
    for job_id in jobs[3:12]:
        supervisor.withdraw(job_id)
        left.remove(job_id)
        told.append(_position(supervisor, last))
        assert told[-1] >= left.index(last) + 1
    # New ones behind change nothing either.
    jobs += [supervisor.submit(BookTickets(event_id, buyer)).job_id for buyer in buyers[20:30]]
    told.append(_position(supervisor, last))
    supervisor.resume(event_id)

    def decided() -> bool:
        told.append(_position(supervisor, last))
        return told[-1] == 0

    wait_until(decided, 10, "the last one is decided")
    assert told[0] == 20
    assert told == sorted(told, reverse=True)
    wait_decided(database_url, jobs)
