"""How often one may ask: limits by user, account and address, answered 429 beyond.

The headers are those of draft-ietf-httpapi-ratelimit-headers, version 10.
"""

from __future__ import annotations

import functools
import ipaddress
import math
from collections.abc import Callable

import falcon
from limits import RateLimitItem, parse

from aurora_atlan.config import Settings
from aurora_atlan.http.problems import Problem
from aurora_atlan.persistence.rate_counters import RateCounters

_IPV6_NETWORK_BITS = 64

_Hit = Callable[..., float | None]


class RateLimits:
    """The limits as the settings have them; every method raises a 429 problem beyond its limit."""

    def __init__(self, settings: Settings, counters: RateCounters) -> None:
        def limit(notation: str | None) -> RateLimitItem | None:
            return None if notation is None or settings.rate_limits == "off" else parse(notation)

        self._counters = counters
        self._booking_user = limit(settings.rate_limit_booking_user)
        self._booking_ip = limit(settings.rate_limit_booking_ip)
        self._login_account = limit(settings.rate_limit_login_account)
        self._login_ip = limit(settings.rate_limit_login_ip)
        self._register_ip = limit(settings.rate_limit_register_ip)
        self._read_ip = limit(settings.rate_limit_read_ip)

    def booking(self, req: falcon.Request, user_id: int) -> None:
        """Count a booking attempt, in this process alone: it costs no round trip, and Redis may be away."""
        if self._booking_ip is not None:
            _demand(self._booking_ip, self._counters.hit_here, "booking-ip", _network_of(req.remote_addr))
        if self._booking_user is not None:
            _demand(self._booking_user, self._counters.hit_here, "booking-user", str(user_id))

    def login(self, req: falcon.Request) -> None:
        """Count an attempt to log in from an address."""
        if self._login_ip is not None:
            _demand(self._login_ip, self._counters.hit_everywhere, "login-ip", _network_of(req.remote_addr))

    def login_to(self, email: str) -> None:
        """Count an attempt to log in to an account, which need not exist, by its address in canonical form."""
        if self._login_account is not None:
            _demand(self._login_account, self._counters.hit_everywhere, "login-account", email)

    def registration(self, req: falcon.Request) -> None:
        """Count an attempt to make an account."""
        if self._register_ip is not None:
            _demand(self._register_ip, self._counters.hit_everywhere, "register-ip", _network_of(req.remote_addr))

    def reading(self, req: falcon.Request) -> None:
        """Count a look at events."""
        if self._read_ip is not None:
            _demand(self._read_ip, self._counters.hit_everywhere, "read-ip", _network_of(req.remote_addr))


def _demand(limit: RateLimitItem, hit: _Hit, policy: str, who: str) -> None:
    left_s = hit(limit, policy, who)
    if left_s is None:
        return
    wait_s = max(1, math.ceil(left_s))
    raise Problem(
        429,
        "too-many-requests",
        f"More than {limit.amount} in {limit.get_expiry()} s are too many: try again in {wait_s} s.",
        headers={
            "Retry-After": str(wait_s),
            "RateLimit-Policy": f'"{policy}";q={limit.amount};w={limit.get_expiry()}',
            "RateLimit": f'"{policy}";r=0;t={wait_s}',
        },
    )


@functools.lru_cache(maxsize=16_384)
def _network_of(address: str) -> str:
    # Who has one IPv6 address has 2^64 of them.
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    mapped = parsed.ipv4_mapped
    return str(mapped or ipaddress.ip_network((parsed, _IPV6_NETWORK_BITS), strict=False))
