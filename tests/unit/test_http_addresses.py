"""Addresses under the prefix at which a host has mounted the API."""

from __future__ import annotations

import falcon.testing
import pytest

from aurora_atlan.http.addresses import prefix, status_address


@pytest.mark.parametrize(
    ("script_name", "expected"),
    [
        ("", ""),
        # A slash alone would make the API's first segment a host.
        ("/", ""),
        ("/tickets", "/tickets"),
        ("/tickets/", "/tickets"),
        # As PEP 3333 has it: the bytes of UTF-8 in the guise of characters.
        ("/caf\u00c3\u00a9", "/caf%C3%A9"),
        ("/a b", "/a%20b"),
    ],
)
def test_a_prefix_is_told_as_clients_must_ask_for_it(script_name: str, expected: str) -> None:
    """Percent-encoded, and never the beginning of another host's address."""
    req = falcon.testing.create_req(root_path="", headers={})
    req.env["SCRIPT_NAME"] = script_name

    assert prefix(req) == expected
    assert status_address(req, "1") == f"{expected}/api/bookings/status/1"
