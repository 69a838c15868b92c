"""The threads that keep in touch with PostgreSQL and Redis.

They probe them, open and close their breakers, and do the small chores that need them. They are apart from
the thread that watches the actors, so that a dependency that hangs never holds up an activation.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from aurora_atlan.actors.losses import LossWatch
from aurora_atlan.actors.switchboard import Switchboard
from aurora_atlan.config import Settings
from aurora_atlan.persistence.bookings import BookingStore
from aurora_atlan.persistence.durability import Durability, PostgresState, RedisState, weakest
from aurora_atlan.persistence.errors import StoreError
from aurora_atlan.persistence.impressions import ImpressionCounter
from aurora_atlan.persistence.jobs import JobStore
from aurora_atlan.persistence.migrate import migrate
from aurora_atlan.persistence.ownership import OwnerLock
from aurora_atlan.persistence.receipts import ReceiptSigner
from aurora_atlan.persistence.token_versions import TokenVersions

_PROBE_EVERY_S = 0.5
# Until the database has been reached for the first time.
_PROBE_AT_START_EVERY_S = 0.05
_READ_DURABILITY_EVERY_S = 60.0
# With the pause between two probes: a token that was voided by another process is refused within two seconds.
_READ_TOKEN_VERSIONS_EVERY_S = 1.0
# With the pause between two probes and the sweep, what another process resumes goes on within three seconds.
_FIND_RESUMED_EVERY_S = 1.0
# So long nothing was refused: three seconds.
_QUIET_PROBES = 6
# With the pause between two probes and the watching thread's own, health tells of it within two seconds.
_SILENCE_S = 1.2

log = logging.getLogger(__name__)


class Liaison:
    """Probes the stores and remembers what it learned from them."""

    def __init__(
        self,
        settings: Settings,
        switchboard: Switchboard,
        jobs: JobStore,
        bookings: BookingStore,
        losses: LossWatch,
        owner_lock: OwnerLock,
        impressions: ImpressionCounter,
        token_versions: TokenVersions,
    ) -> None:
        self._settings = settings
        self._switchboard = switchboard
        self._jobs = jobs
        self._bookings = bookings
        self._losses = losses
        self._owner_lock = owner_lock
        self._impressions = impressions
        self._token_versions = token_versions
        self._required = Durability(settings.required_durability)
        self._read_redis_at = 0.0
        self._read_postgres_at = 0.0
        self._read_token_versions_at = 0.0
        self._find_resumed_at = 0.0
        self._refusals = 0
        self._quiet_probes = 0
        # Since when a probe of PostgreSQL waits for its answer.
        self._postgres_asked_at: float | None = None
        self._stopping = threading.Event()
        # One each, so that a store that hangs does not hide what becomes of the other.
        self._threads = [
            threading.Thread(target=self._repeat, args=(probe,), name=f"aurora-liaison-{name}", daemon=True)
            for name, probe in (("postgresql", self._look_at_postgres), ("redis", self._look_at_redis))
        ]
        # The key that all processes over this database share; None until it was read.
        self.installation_key: bytes | None = None
        # Signs with it; None until then.
        self.receipts: ReceiptSigner | None = None
        # None until they were read.
        self.redis_state: RedisState | None = None
        self.postgres_state: PostgresState | None = None
        # What a crash of the stores leaves of accepted jobs, as far as is known.
        self.durability = Durability.UNKNOWN

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
        self._flush_impressions(max(0.1, deadline - time.monotonic()))
        self._owner_lock.release()

    def notice_silence(self) -> None:
        """Open PostgreSQL's breaker while a probe has waited too long; the probe itself cannot say so."""
        asked_at = self._postgres_asked_at
        if asked_at is not None and time.monotonic() - asked_at > _SILENCE_S:
            self._switchboard.postgres.open(f"it has not answered for {_SILENCE_S:g} s")

    def _repeat(self, probe: Callable[[], None]) -> None:
        while not self._stopping.is_set():
            try:
                probe()
            except Exception:
                # Without this thread no breaker would ever close again.
                log.exception("the probe of PostgreSQL and Redis stumbled")
            known = self.installation_key is not None
            self._stopping.wait(_PROBE_EVERY_S if known else _PROBE_AT_START_EVERY_S)

    def _look_at_postgres(self) -> None:
        try:
            key = self.installation_key or self._prepare_database()
            self._postgres_asked_at = time.monotonic()
            self._owner_lock.keep()
            if time.monotonic() >= self._read_postgres_at:
                self.postgres_state = self._owner_lock.postgres_state()
                self._read_postgres_at = time.monotonic() + _READ_DURABILITY_EVERY_S
                self._judge_durability()
            if time.monotonic() >= self._read_token_versions_at:
                self._read_token_versions_at = time.monotonic() + _READ_TOKEN_VERSIONS_EVERY_S
                self._owner_lock.read(self._token_versions.refresh)
            self.receipts = self.receipts or ReceiptSigner(key)
            # The last that is learned at the start: whoever finds it here finds the rest.
            self.installation_key = key
        except StoreError as error:
            self._switchboard.postgres_failed(error)
            self._read_postgres_at = self._read_token_versions_at = 0.0
            return
        finally:
            self._postgres_asked_at = None
        if self._switchboard.postgres.close():
            self._switchboard.wake_committers()
        self._forget_refusals()
        self._flush_impressions()
        self._find_resumed()

    def _prepare_database(self) -> bytes:
        url = self._settings.migrator_database_url or self._settings.database_url
        if self._settings.migrate_on_start and url is not None:
            migrate(url)
        return self._bookings.installation_key()

    def _look_at_redis(self) -> None:
        try:
            if self.redis_state is None or time.monotonic() >= self._read_redis_at:
                self.redis_state = self._jobs.redis_state()
                self._read_redis_at = time.monotonic() + _READ_DURABILITY_EVERY_S
                self._judge_durability()
            elif self._switchboard.redis_writes.is_open:
                self._jobs.probe_writing()
            else:
                self._jobs.ping()
            if self._switchboard.redis.is_open:
                # It may be another one, or an older one, or configured otherwise.
                self._losses.compare()
        except StoreError as error:
            self._switchboard.redis_failed(error)
            return
        writes = self._switchboard.redis_writes.close()
        if self._switchboard.redis.close() or writes:
            self._read_redis_at = 0.0
            self._switchboard.wake_committers()
            self._switchboard.scheduler.wake.set()

    def _judge_durability(self) -> None:
        if self.redis_state is None or self.postgres_state is None:
            return
        before, self.durability = self.durability, weakest(self.redis_state.durability, self.postgres_state.durability)
        if self.durability is not before:
            enough = self.durability.suffices(self._required)
            log.log(
                logging.INFO if enough else logging.ERROR,
                "accepted bookings are kept with durability %s (Redis %s, PostgreSQL %s)%s",
                self.durability.value,
                self.redis_state.durability.value,
                self.postgres_state.durability.value,
                "" if enough else f"; {self._required.value} is required, so none are accepted",
            )

    def _forget_refusals(self) -> None:
        # A refused batch is tried again every second. When none was for a while, none is left, and what
        # opened the breaker says nothing of today.
        writes = self._switchboard.postgres_writes
        if writes.failures != self._refusals:
            self._refusals, self._quiet_probes = writes.failures, 0
        elif writes.is_open:
            self._quiet_probes += 1
            if self._quiet_probes > _QUIET_PROBES:
                writes.close()

    def _find_resumed(self) -> None:
        # Another process may have ended the pause. One question for all, instead of a batch of each.
        pauses = self._switchboard.pauses
        if time.monotonic() < self._find_resumed_at or not (paused := pauses.known()):
            return
        self._find_resumed_at = time.monotonic() + _FIND_RESUMED_EVERY_S
        try:
            pauses.over(self._bookings.resumed(paused, _SILENCE_S))
        except StoreError as error:
            log.debug("pauses are looked at when PostgreSQL can tell: %s", error)

    def _flush_impressions(self, within_s: float | None = None) -> None:
        try:
            self._impressions.flush(within_s)
        except StoreError as error:
            log.debug("impressions wait for PostgreSQL: %s", error)
