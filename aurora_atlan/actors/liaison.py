"""The threads that keep in touch with PostgreSQL and Redis.

They probe them, open and close their breakers, and do the small chores that need them. They are apart from
the thread that watches the actors, so that a dependency that hangs never holds up an activation.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from aurora_atlan.actors.messages import Flush
from aurora_atlan.actors.supervised import tell
from aurora_atlan.actors.switchboard import Switchboard
from aurora_atlan.config import Settings
from aurora_atlan.persistence.bookings import BookingStore
from aurora_atlan.persistence.durability import Durability, RedisState
from aurora_atlan.persistence.errors import StoreError
from aurora_atlan.persistence.impressions import ImpressionCounter
from aurora_atlan.persistence.jobs import JobStore
from aurora_atlan.persistence.migrate import migrate
from aurora_atlan.persistence.ownership import OwnerLock

_PROBE_EVERY_S = 0.5
# Until the database has been reached for the first time.
_PROBE_AT_START_EVERY_S = 0.05
_READ_DURABILITY_EVERY_S = 60.0

log = logging.getLogger(__name__)


class Liaison:
    """Probes the stores and remembers what it learned from them."""

    def __init__(
        self,
        settings: Settings,
        switchboard: Switchboard,
        jobs: JobStore,
        bookings: BookingStore,
        owner_lock: OwnerLock,
        impressions: ImpressionCounter,
    ) -> None:
        self._settings = settings
        self._switchboard = switchboard
        self._jobs = jobs
        self._bookings = bookings
        self._owner_lock = owner_lock
        self._impressions = impressions
        self._read_durability_at = 0.0
        self._stopping = threading.Event()
        # One each, so that a store that hangs does not hide what becomes of the other.
        self._threads = [
            threading.Thread(target=self._repeat, args=(probe,), name=f"aurora-liaison-{name}", daemon=True)
            for name, probe in (("postgresql", self._look_at_postgres), ("redis", self._look_at_redis))
        ]
        # The key that all processes over this database share; None until it was read.
        self.installation_key: bytes | None = None
        # None until Redis was read.
        self.redis_state: RedisState | None = None

    @property
    def durability(self) -> str:
        """What a crash of Redis leaves of accepted jobs, as far as is known."""
        return (self.redis_state.durability if self.redis_state is not None else Durability.UNKNOWN).value

    def start(self) -> None:
        """Start probing."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float) -> None:
        """Stop probing, write what is still to be written, and let go of the owner's lock."""
        deadline = time.monotonic() + timeout_s
        self._stopping.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(max(0.1, deadline - time.monotonic()))
        self._flush_impressions()
        self._owner_lock.release()

    def _repeat(self, probe: Callable[[], None]) -> None:
        while not self._stopping.is_set():
            try:
                probe()
            except Exception:
                log.exception("the probe of PostgreSQL and Redis stumbled")
            known = self.installation_key is not None
            self._stopping.wait(_PROBE_EVERY_S if known else _PROBE_AT_START_EVERY_S)

    def _look_at_postgres(self) -> None:
        try:
            if self.installation_key is None:
                self._prepare_database()
            self._owner_lock.keep()
        except StoreError as error:
            self._switchboard.postgres_failed(error)
            return
        if self._switchboard.postgres.close():
            self._wake_committers()
        self._flush_impressions()

    def _prepare_database(self) -> None:
        url = self._settings.migrator_database_url or self._settings.database_url
        if self._settings.migrate_on_start and url is not None:
            migrate(url)
        self.installation_key = self._bookings.installation_key()

    def _look_at_redis(self) -> None:
        try:
            if self.redis_state is None or time.monotonic() >= self._read_durability_at:
                self.redis_state = self._jobs.redis_state()
                self._read_durability_at = time.monotonic() + _READ_DURABILITY_EVERY_S
            elif self._switchboard.redis_writes.is_open:
                self._jobs.probe_writing()
            else:
                self._jobs.ping()
        except StoreError as error:
            self._switchboard.redis_failed(error)
            return
        writes = self._switchboard.redis_writes.close()
        if self._switchboard.redis.close() or writes:
            # It may be another one, or configured otherwise.
            self._read_durability_at = 0.0
            self._wake_committers()
            self._switchboard.scheduler.wake.set()

    def _wake_committers(self) -> None:
        tell(self._switchboard.committer, Flush())
        tell(self._switchboard.patient, Flush())

    def _flush_impressions(self) -> None:
        try:
            self._impressions.flush()
        except StoreError as error:
            log.debug("impressions wait for PostgreSQL: %s", error)
