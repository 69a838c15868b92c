"""Trouble: each world has some kinds of it, so that rare ones meet alone as well as together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from aurora_atlan.actors.booking import BookingActor
from aurora_atlan.actors.messages import Passivate
from aurora_atlan.actors.supervised import tell
from simulation.process import Process, Strand

if TYPE_CHECKING:
    from simulation.world import World


class Nemesis:
    """Strikes now and then, until there is peace."""

    def __init__(self, world: World) -> None:
        self._world = world
        kinds: list[Callable[[], None]] = [
            self._kill,
            self._stop,
            self._freeze,
            self._passivate,
            self._kill_thread,
            self._redis_away,
            self._redis_refuses,
            self._redis_older,
            self._redis_empty,
            self._postgres_away,
            self._postgres_refuses,
            self._postgres_restarts,
            self._hashes_expire,
            self._crash_loop,
        ]
        self._kinds = [kind for kind in kinds if world.chance.random() < 0.3] or [self._passivate]

    def strike(self) -> None:
        """Do one bad thing."""
        world = self._world
        if not any(process.alive for process in world.processes):
            self._start_again()
            return
        world.chance.choice(self._kinds)()

    def make_peace(self) -> None:
        """End every trouble, and start what is dead."""
        world = self._world
        world.note("peace")
        world.queue.down_until = world.queue.refusing_until = 0.0
        world.postgres.down_until = world.postgres.refusing_until = 0.0
        for process in world.processes:
            process.frozen_until = 0.0
        if not any(process.alive for process in world.processes):
            self._start_again()
        world.clients.resume_all()

    def _start_again(self) -> None:
        world = self._world
        dead = next(process for process in world.processes if not process.alive)
        world.note(f"{dead.name} starts again")
        world.processes[world.processes.index(dead)] = Process(world, dead.name)

    def _some_process(self) -> Process | None:
        alive = [process for process in self._world.processes if process.alive]
        return self._world.chance.choice(alive) if alive else None

    def _kill(self) -> None:
        world, process = self._world, self._some_process()
        if world.below(3) == 0 and any(not process.alive for process in world.processes):
            self._start_again()
        elif process is not None and world.below(2):
            world.note(f"{process.name} is killed")
            if any(work.process is process for work in world.postgres.open):
                world.reached("a process killed within a transaction")
            process.kill()
            world.reached("a process killed")

    def _stop(self) -> None:
        world, process = self._world, self._some_process()
        if process is not None and world.below(3) == 0 and not process.supervisor._stop_asked.locked():
            world.note(f"{process.name} is stopped")
            world.reached("a clean stop")
            world.run(Strand(process, "stop", process.stop))

    def _freeze(self) -> None:
        process = self._some_process()
        if process is not None and self._world.clock.now >= process.frozen_until:
            process.frozen_until = self._world.clock.now + 0.2 + 4.0 * self._world.chance.random()
            self._world.note(f"{process.name} is frozen")

    def _passivate(self) -> None:
        process = self._some_process()
        cells = process.supervisor._cells.alive() if process is not None else []
        if cells:
            cell = self._world.chance.choice(cells)
            tell(cell.ask_to_passivate(), Passivate())

    def _kill_thread(self) -> None:
        process = self._some_process()
        strands = [strand for strand in process.strands if strand.started and not strand.busy] if process else []
        if strands and self._world.below(3) == 0:
            strand = self._world.chance.choice(strands)
            self._world.note(f"{strand.process.name}.{strand.name} loses its thread")
            if isinstance(strand.actor, BookingActor):
                self._world.reached("a zombie")
            strand.lose_thread()

    def _redis_away(self) -> None:
        self._world.queue.down_until = self._for_a_while("Redis is away")

    def _redis_refuses(self) -> None:
        self._world.queue.refusing_until = self._for_a_while("Redis takes no writes")

    def _redis_older(self) -> None:
        if self._world.below(2):
            self._world.queue.save()
        else:
            self._world.note("Redis comes back older")
            self._world.queue.restart(older=True)

    def _redis_empty(self) -> None:
        if self._world.below(4) == 0:
            self._world.note("Redis comes back empty")
            self._world.queue.restart(older=False)

    def _postgres_away(self) -> None:
        self._world.postgres.down_until = self._for_a_while("PostgreSQL is away")
        self._world.postgres.restart()

    def _postgres_refuses(self) -> None:
        self._world.postgres.refusing_until = self._for_a_while("PostgreSQL is read-only")

    def _postgres_restarts(self) -> None:
        self._world.note("PostgreSQL restarts")
        self._world.postgres.restart()

    def _crash_loop(self) -> None:
        self._world.note("whoever reads the stream crashes")
        self._world.crash_loop_until = self._world.clock.now + 3.0

    def _hashes_expire(self) -> None:
        self._world.queue.expire()

    def _for_a_while(self, what: str) -> float:
        self._world.note(what)
        return self._world.clock.now + 0.05 + 2.0 * self._world.chance.random()
