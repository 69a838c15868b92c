"""The notice board: who waits is woken, nobody else is, and nothing stays behind."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from uuid import UUID

import pytest

from aurora_atlan.actors.notices import NoticeBoard
from aurora_atlan.persistence.records import Job
from booking_fakes import a_job, job_id_of


def test_a_waiting_thread_is_woken_by_its_job():
    board = NoticeBoard()
    ready = threading.Barrier(2)
    woken: list[bool] = []

    def wait() -> None:
        with board.watch(job_id_of(2), threading.Event()) as notice:
            ready.wait(10)
            woken.append(notice.wait(10))

    thread = threading.Thread(target=wait)
    thread.start()
    ready.wait(10)
    board.ring([a_job(1), a_job(2), a_job(3)])
    thread.join(10)

    assert woken == [True]


def test_nobody_else_is_woken():
    board = NoticeBoard()
    with (
        board.watch(job_id_of(1), threading.Event()) as first,
        board.watch(job_id_of(1), threading.Event()) as second,
        board.watch(job_id_of(2), threading.Event()) as other,
    ):
        board.ring_for(job_id_of(1))

        assert (first.is_set(), second.is_set(), other.is_set()) == (True, True, False)

        board.ring_all()

        assert other.is_set()


def test_what_was_noted_before_is_not_noticed():
    board = NoticeBoard()
    board.ring_for(job_id_of(1))
    with board.watch(job_id_of(1), threading.Event()) as notice:
        assert not notice.is_set()


def test_nothing_stays_behind():
    """Also when the block was left by an error, and while others still wait for the same job."""
    board = NoticeBoard()
    with board.watch(job_id_of(1), threading.Event()) as left:
        with pytest.raises(KeyError), board.watch(job_id_of(1), threading.Event()):
            raise KeyError
        board.ring_for(job_id_of(1))
        assert left.is_set()

    assert board._waiting == {}


class _Unread(list[Job]):
    def __iter__(self) -> Iterator[Job]:
        raise AssertionError("somebody looked")


def test_while_nobody_waits_jobs_are_not_even_looked_at():
    NoticeBoard().ring(_Unread())


def test_many_come_and_go_while_it_rings():
    """Sixteen threads that wait for jobs of their own are each woken for each."""
    board = NoticeBoard()
    over = threading.Event()
    barrier = threading.Barrier(17)
    failures: list[UUID] = []
    ids = [job_id_of(number) for number in range(16)]

    def ring() -> None:
        barrier.wait(10)
        while not over.is_set():
            board.ring([a_job(number) for number in range(16)])

    def wait(job_id: UUID) -> None:
        barrier.wait(10)
        for _ in range(50):
            with board.watch(job_id, threading.Event()) as notice:
                if not notice.wait(10):
                    failures.append(job_id)

    ringing = threading.Thread(target=ring)
    waiting = [threading.Thread(target=wait, args=(job_id,)) for job_id in ids]
    for thread in (ringing, *waiting):
        thread.start()
    for thread in waiting:
        thread.join(30)
    over.set()
    ringing.join(10)

    assert failures == []
    assert board._waiting == {}
