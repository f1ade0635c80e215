"""Ports of a Linux bridge."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING

from lbproof.lab.base import LabError

if TYPE_CHECKING:
    from collections.abc import Callable

_WITHIN = 5
_EVERY = 0.01


def await_forwarding(port: str, run: Callable[[list[str]], str]) -> None:
    """Wait until a bridge forwards at a port: up to a second after both ends of its link are up (link watch).

    `run` runs `ip` where the bridge is and returns its output. Raises `LabError` when it takes more than 5 s.
    """
    until = time.monotonic() + _WITHIN
    while not _is_forwarding(run(["ip", "-j", "-d", "link", "show", "dev", port])):
        if time.monotonic() > until:
            raise LabError(f"the bridge does not forward at {port} within {_WITHIN} s")
        threading.Event().wait(_EVERY)


def _is_forwarding(shown: str) -> bool:
    (link,) = json.loads(shown)
    return bool(link["linkinfo"]["info_slave_data"]["state"] == "forwarding")
