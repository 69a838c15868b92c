"""Where webhooks may lead: https, and public addresses only, so that nobody reaches our own network through us."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Self

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
# Visible ASCII throughout, no user and no fragment; what a URL's readers might read differently is refused.
_URL = re.compile(
    rf"(?P<scheme>https?)://(?P<host>{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]{{2,45}}\])(?::(?P<port>[1-9][0-9]{{0,4}}))?"
    r"(?P<target>(?:[/?][!-\"$-\[\]-~]*)?)"
)
_LENGTH_MAX = 1000
_HTTPS_PORT = 443
_PORTS_OF_EVERYBODY = range(1024, 65_536)
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

URL_RULE = (
    f"must be an https URL of a public host, up to {_LENGTH_MAX} visible ASCII characters, without user or fragment, "
    "its port 443 or from 1024 on"
)

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


class RefusedAddressError(Exception):
    """Nothing may be sent there."""


@dataclass(frozen=True, slots=True)
class WebhookUrl:
    """A URL that may be a webhook's."""

    host: str
    port: int
    # Path and query, as they are sent.
    target: str
    tls: bool

    @classmethod
    def parse(cls, text: str, *, private: bool) -> Self:
        """Read a URL; raises :class:`RefusedAddressError` for one that no webhook may have.

        Whether a host's name leads to a public address is seen when something is sent. With ``private`` any
        address will do, and one's own machine needs no TLS.
        """
        found = _URL.fullmatch(text)
        if found is None or len(text) > _LENGTH_MAX:
            raise RefusedAddressError(URL_RULE)
        host = found["host"].strip("[]").lower()
        tls = found["scheme"] == "https"
        port = int(found["port"] or (_HTTPS_PORT if tls else 80))
        if not (tls or (private and host in _LOOPBACK)):
            raise RefusedAddressError(URL_RULE)
        if port not in _PORTS_OF_EVERYBODY and (port != _HTTPS_PORT or not tls):
            raise RefusedAddressError(URL_RULE)
        address = _literal(host)
        if address is None and ":" in host:
            raise RefusedAddressError(URL_RULE)
        if not private and (host == "localhost" or (address is not None and not is_public(address))):
            raise RefusedAddressError(URL_RULE)
        target = found["target"]
        return cls(host, port, target if target.startswith("/") else f"/{target}", tls)

    def resolve(self, *, private: bool) -> list[IPAddress]:
        """Return the addresses of the host, as they are now.

        Raises :class:`RefusedAddressError` when one of them is not public, unless ``private``; OSError when the
        name cannot be resolved. Takes as long as the system's resolver does.
        """
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        addresses = [ipaddress.ip_address(str(sockaddr[0])) for *_, sockaddr in found]
        for address in addresses:
            if not (private or is_public(address)):
                raise RefusedAddressError(f"{address} is not a public address")
            if not (self.tls or address.is_loopback):
                raise RefusedAddressError(f"{address} is not this machine, and anything else needs https")
        return addresses


def is_public(address: IPAddress) -> bool:
    """Tell whether an address is anybody's on the Internet, and not one of ours or of nobody.

    By the registries of Python's :mod:`ipaddress`; an IPv6 address that leads to an IPv4 one is as public as that.
    """
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _literal(host: str) -> IPAddress | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
