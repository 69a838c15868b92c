"""Bound sockets, and one clear sentence when there is none to be had."""

from __future__ import annotations

import errno
import socket


class ListenError(Exception):
    """An address cannot be listened on; the message says which, why, and which setting changes it."""


def bind(host: str, port: int, *, setting: str) -> socket.socket:
    """Return a TCP socket bound to a host name or address; port 0 takes a free one.

    Nothing can connect before the socket listens. ``setting`` is the variable to name in
    a :class:`ListenError`.
    """
    bound = None
    try:
        family, address = _resolve(host, port)
        bound = socket.socket(family, socket.SOCK_STREAM)
        # Or a restart would wait for the last connections of its predecessor to time out.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        if bound is not None:
            bound.close()
        raise ListenError(_explain(error, host, port, setting)) from error
    return bound


def _resolve(host: str, port: int) -> tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]:
    found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    # A name such as localhost may mean both; clients that know only one of them know IPv4.
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return family, address  # type: ignore[return-value]


def _explain(error: OSError, host: str, port: int, setting: str) -> str:
    if isinstance(error, socket.gaierror):
        return f"Cannot listen on {host}: no such host name or address"
    if error.errno == errno.EADDRINUSE:
        return f"Cannot listen on {host}, port {port}: another program does already; set {setting} to another port"
    if error.errno == errno.EACCES:
        return f"Cannot listen on {host}, port {port}: ports this low need privileges; set {setting} to 1024 or above"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"Cannot listen on {host}: it is not an address of this machine"
    return f"Cannot listen on {host}, port {port}: {error.strerror}"
