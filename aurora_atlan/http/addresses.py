"""Addresses that are told to clients: right also where a host has mounted the API under a prefix."""

from __future__ import annotations

from urllib.parse import quote

import falcon


def prefix(req: falcon.Request) -> str:
    """Return what stands before the API's own paths, mostly nothing (PEP 3333, SCRIPT_NAME)."""
    mounted_at = req.env.get("SCRIPT_NAME")
    if not mounted_at:
        return ""
    # Bytes in the guise of characters; and a slash alone would make our first segment a host.
    return quote(mounted_at.rstrip("/").encode("latin-1"), safe="/:@!$&'()*+,;=~")


def status_address(req: falcon.Request, job_id: object) -> str:
    """Return where a job's status is found."""
    return f"{prefix(req)}/api/bookings/status/{job_id}"
