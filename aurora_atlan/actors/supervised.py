"""The base of our actors: a pykka actor that dies alone and says so.

Pykka stops every actor of the process, the embedder's too, when a handler raises SystemExit; it is
silent when ``on_start`` fails; and its registry lets a host's broadcast reach us. See
https://github.com/jodal/pykka/blob/main/src/pykka/_actor.py.
"""

from __future__ import annotations

import logging
import queue
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import pykka

from aurora_atlan.actors.threads import Threads

log = logging.getLogger(__name__)

# An actor, whoever it is.
Ref = pykka.ActorRef[Any]


class ActorCrashedError(Exception):
    """Stands in for SystemExit and its like, which pykka takes as the end of every actor."""


class SupervisedActor(pykka.ThreadingActor):
    """An actor whose subclasses implement :meth:`handle`; :meth:`prepare`, :meth:`leave`, :meth:`died` if they like."""

    # A host that forgot to stop us can still exit.
    use_daemon_thread = True

    # Where the loop runs; None: in a thread of its own.
    threads: Threads | None = None

    # Whether the loop has ended, for whatever reason.
    ended = False

    # When the message in hand was begun, or came a step further; None between two messages.
    working_since: float | None = None

    @classmethod
    def start_hidden(cls, *args: Any, threads: Threads | None = None, **kwargs: Any) -> pykka.ActorRef[Self]:
        """Start the actor without registering it: the host's broadcast and stop_all pass it by.

        In one of the ``threads``, or in a thread of its own. Raises RuntimeError when none is to be had.
        """
        actor = cls(*args, **kwargs)
        actor.threads = threads
        actor._start_actor_loop()
        return actor.actor_ref

    @staticmethod
    def _create_actor_inbox() -> Any:
        # The C queue takes a third of the time of pykka's default, queue.Queue.
        return queue.SimpleQueue()

    def _start_actor_loop(self) -> None:
        # As pykka has it, but for the thread.
        if self.threads is None:
            super()._start_actor_loop()
        else:
            self.threads.run(self._actor_loop)

    def _actor_loop(self) -> None:
        # What a thread runs of an actor (pykka).
        try:
            super()._actor_loop()
        finally:
            self.ended = True

    def on_start(self) -> None:
        """Prepare; a failure is reported and stops the actor."""
        try:
            self.prepare()
        except BaseException as error:
            log.exception("%s failed to start", self)
            self.actor_stopped.set()
            self.died(error)
        else:
            log.debug("%s started", self)

    def on_receive(self, message: Any) -> None:
        """Handle one message; whatever escapes becomes an Exception, which stops this actor alone."""
        self.get_on()
        try:
            self.handle(message)
        except Exception:
            raise
        except BaseException as error:
            raise ActorCrashedError(f"{type(error).__name__} in a handler of {self}") from error
        finally:
            self.working_since = None

    def get_on(self) -> None:
        """Note that the message in hand came a step further."""
        self.working_since = time.monotonic()

    def on_stop(self) -> None:
        """Leave; whatever escapes becomes an Exception, which stops this actor alone."""
        try:
            self.leave()
        except Exception:
            raise
        except BaseException as error:
            raise ActorCrashedError(f"{type(error).__name__} while {self} stopped") from error
        log.debug("%s stopped", self)

    def on_failure(
        self,
        exception_type: type[BaseException] | None,
        exception_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Report the death; pykka has logged it with its stack."""
        self.died(exception_value)

    def prepare(self) -> None:
        """Run in the actor's thread before the first message."""

    def leave(self) -> None:
        """Run in the actor's thread before it stops."""

    def handle(self, message: Any) -> None:
        """Handle one message. Exceptions kill the actor."""
        raise NotImplementedError

    def died(self, error: BaseException | None) -> None:
        """Run in the actor's thread after a crash."""

    def ignore(self, message: Any) -> None:
        """Log a message this actor does not know."""
        log.warning("%s ignores an unknown message of type %s", self, type(message).__name__)


def tell(ref: Ref | None, message: Any) -> bool:
    """Tell the actor, if it lives; False when it does not.

    A dead actor's messages are never needed: its successor reads what it must know.
    """
    if ref is None:
        return False
    try:
        ref.tell(message)
    except pykka.ActorDeadError:
        return False
    return True


def lives(ref: Ref | None) -> bool:
    """Tell whether the actor lives.

    An actor may call itself alive when its loop has ended: one that replies twice to a message does that.
    """
    if ref is None or not ref.is_alive():
        return False
    actor = _actor(ref)
    return actor is not None and not actor.ended


def is_stuck(ref: Ref | None, limit_s: float) -> bool:
    """Tell whether the actor has worked on one message for longer than the limit without getting on."""
    actor = None if ref is None else _actor(ref)
    working_since = None if actor is None else actor.working_since
    return working_since is not None and time.monotonic() - working_since > limit_s


def abandon(ref: Ref) -> None:
    """Have an actor that hangs stop when it ever comes to itself."""
    with suppress(pykka.ActorDeadError):
        ref.stop(block=False)


def _actor(ref: Ref) -> Any:
    return ref._actor_weakref()  # noqa: SLF001 - pykka has no public way from a reference to its actor


def stop(ref: Ref | None, timeout_s: float) -> None:
    """Stop the actor and wait for it, up to ``timeout_s``."""
    if ref is not None and lives(ref):
        try:
            ref.stop(timeout=timeout_s)
        except pykka.Timeout:
            log.warning("%s did not stop in time", ref)
