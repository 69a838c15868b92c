"""Message authentication codes."""

from __future__ import annotations

import hashlib
import hmac
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from aurora_atlan.persistence.mac import Mac


@given(st.binary(max_size=200), st.lists(st.binary(max_size=5000), min_size=1, max_size=4))
def test_each_message_has_the_code_that_rfc_2104_gives_it(key: bytes, messages: list[bytes]) -> None:
    """Whatever was asked for before."""
    mac = Mac(key)

    for message in messages:
        assert mac.digest(message) == hmac.digest(key, message, hashlib.sha256)


def test_threads_do_not_mix_their_messages() -> None:
    """Long ones let go of the interpreter's lock while they are worked on."""
    mac = Mac(b"key")
    messages = [bytes([number]) * 20_000 for number in range(200)]

    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(mac.digest, messages))

    assert codes == [hmac.digest(b"key", message, hashlib.sha256) for message in messages]
