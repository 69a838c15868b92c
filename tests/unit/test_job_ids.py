"""Job ids."""

from __future__ import annotations

import os
from collections.abc import Callable
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aurora_atlan.persistence.job_ids import (
    SHARDS,
    is_keyed,
    keyed_job_id,
    random_job_id,
    shard_of_event,
    shard_of_job,
)

_KEY = bytes(range(32))
_EVENTS = st.integers(1, 2**63 - 1)
_USERS = st.integers(1, 2**63 - 1)
_TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=255)


@pytest.mark.parametrize("make", [random_job_id, lambda event_id: keyed_job_id(_KEY, event_id, 1, "key")])
@given(event_id=_EVENTS)
def test_an_id_is_a_uuid_of_version_8_that_carries_its_events_shard(make: Callable[[int], UUID], event_id: int) -> None:
    """Version and variant are RFC 9562's, and the shard of the event can be read back."""
    job_id = make(event_id)

    assert (job_id.version, job_id.variant) == (8, RFC_4122)
    assert shard_of_job(job_id) == shard_of_event(event_id)
    assert 0 <= shard_of_job(job_id) < SHARDS
    assert UUID(str(job_id)) == job_id


@given(_EVENTS, _USERS, _TEXTS)
def test_the_marker_tells_keyed_ids_from_random_ones(event_id: int, user_id: int, key: str) -> None:
    """It can be seen from the id alone whether it was made from a key."""
    assert is_keyed(keyed_job_id(_KEY, event_id, user_id, key))
    assert not is_keyed(random_job_id(event_id))


@given(_EVENTS, _USERS, _TEXTS)
def test_the_same_key_always_gives_the_same_id(event_id: int, user_id: int, key: str) -> None:
    """The id is a function of user, event and key."""
    assert keyed_job_id(_KEY, event_id, user_id, key) == keyed_job_id(_KEY, event_id, user_id, key)


@pytest.mark.parametrize(
    "other",
    [
        (_KEY[::-1], 64, 5, "key"),
        (_KEY, 128, 5, "key"),
        (_KEY, 64, 6, "key"),
        (_KEY, 64, 5, "Key"),
        (_KEY, 64, 5, "key "),
        (_KEY, 6, 45, "key"),
        (_KEY, 64, 5, "5\n64\nkey"),
    ],
)
def test_another_installation_event_user_or_key_gives_another_id(other: tuple[bytes, int, int, str]) -> None:
    """No two requests share an id because their parts run together."""
    assert keyed_job_id(*other) != keyed_job_id(_KEY, 64, 5, "key")


def test_a_keyed_id_never_changes_between_versions() -> None:
    """A key that was used before an upgrade still means the same job."""
    assert keyed_job_id(_KEY, 64, 5, "key") == UUID("0124ee4e-f6ce-8499-ac79-5393a494ee6a")


def test_random_ids_differ() -> None:
    """Ten thousand of one event are ten thousand."""
    assert len({random_job_id(7) for _ in range(10_000)}) == 10_000


@given(st.integers(-(2**70), 2**70))
def test_every_number_has_a_shard(event_id: int) -> None:
    """Ids that no event can have are no trouble either."""
    assert 0 <= shard_of_event(event_id) < SHARDS
    assert shard_of_job(random_job_id(event_id)) == shard_of_event(event_id)


def test_all_shards_are_used() -> None:
    """Neighbouring events fall into different shards."""
    assert {shard_of_event(event_id) for event_id in range(1, SHARDS + 1)} == set(range(SHARDS))


def test_random_ids_share_no_bits_that_could_be_guessed() -> None:
    """Drawn over the edge of several blocks of random bytes, no two are the same, nor any half of two."""
    numbers = [random_job_id(1).int for _ in range(1000)]

    assert len({number & 0xFFFF_FFFF_FFFF for number in numbers}) == len(numbers)
    assert len({number >> 80 for number in numbers}) == len(numbers)


def test_a_forked_process_makes_other_ids() -> None:
    """Random bytes that were drawn in advance are not used by both."""
    random_job_id(1)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, random_job_id(1).bytes)
        os._exit(0)
    os.waitpid(child, 0)
    theirs = UUID(bytes=os.read(reading, 16))
    os.close(reading)
    os.close(writing)

    assert theirs not in [random_job_id(1) for _ in range(1000)]
