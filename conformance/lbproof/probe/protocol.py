"""Lines of the protocol, as both sides write them, and what identifies a clock."""

from __future__ import annotations

import json
from binascii import a2b_base64, b2a_base64
from typing import Any

VERSION = 1


def line(message: dict[str, Any]) -> bytes:
    """Encode a message as a line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def text_of(data: bytes) -> str:
    """Encode bytes for a message."""
    return b2a_base64(data, newline=False).decode()


def bytes_of(text: str) -> bytes:
    """Decode bytes of a message. Raises `ValueError`."""
    return a2b_base64(text, strict_mode=True)


def boot_id() -> str:
    """Return the identity of the running kernel (proc_sys_kernel(5)); empty when the system has none."""
    return _read("/proc/sys/kernel/random/boot_id")


def time_namespace() -> str:
    """Return the offsets of this process's clocks to the kernel's (time_namespaces(7)).

    Empty without time namespaces.
    """
    return " ".join(_read("/proc/self/timens_offsets").split())


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:  # noqa: PTH123 - the import of pathlib would be noticed at the start
            return file.read().strip()
    except FileNotFoundError:
        return ""
