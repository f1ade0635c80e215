"""TCP connections to an IPv4 or IPv6 address, and the ways in which they fail, as checks and reports name them."""

from __future__ import annotations

import errno
import socket

_KINDS = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.ETIMEDOUT: "silent",
}


def family_of(host: str) -> socket.AddressFamily:
    """Return the address family of an address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def connect(host: str, port: int, timeout: float) -> socket.socket:
    """Connect to an address; `timeout` is kept for reads. Raises `OSError`."""
    made = socket.socket(family_of(host), socket.SOCK_STREAM)
    made.settimeout(timeout)
    try:
        made.connect((host, port))
    except BaseException:
        made.close()
        raise
    return made


def kind_of(error: OSError) -> str:
    """Classify a failure: `silent`, `refused`, `reset` or `unreachable`."""
    return "silent" if isinstance(error, TimeoutError) else _KINDS.get(error.errno or 0, "unreachable")
