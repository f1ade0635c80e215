"""Reader of the events of a run: each line is validated against its type in `lbproof.spec.events`."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from lbproof.spec import Verdict
from lbproof.spec.events import FORMAT, NAMES
from lbproof.text import printable

if TYPE_CHECKING:
    from pathlib import Path

Event = dict[str, Any]
EVENTS = "events.ndjson"
_NO_BEGINNING = "it does not begin with run.started"


class BadRun(ValueError):  # noqa: N818 - it names what was given
    """Unreadable events of a run; the message names the file and line."""

    def __init__(self, message: str) -> None:
        """`message` may quote the input; unprintable characters are replaced."""
        super().__init__(printable(message))


def read(path: Path) -> list[Event]:
    """Read the events of a file; an incomplete last line (killed run) is ignored."""
    lines = path.read_bytes().split(b"\n")
    events: list[Event] = []
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            text, event = _parse(line)
        except (ValueError, RecursionError) as error:
            if number == len(lines):
                break
            raise BadRun(f"{path}, line {number}: not JSON: {error}") from None
        if not events:
            _begins(path, event)
        try:
            events.append(_checked(text, event))
        except BadRun as error:
            raise BadRun(f"{path}, line {number}: {error}") from None
    if not events:
        raise BadRun(f"{path}: {_NO_BEGINNING}")
    return events


def _parse(line: bytes) -> tuple[str, Any]:
    """Return a line as text and parsed; an unpaired surrogate, which UTF-8 cannot encode, is replaced by `?`."""
    text = line.decode()
    if "\\ud" in text.lower():
        text = json.dumps(json.loads(text), ensure_ascii=False).encode(errors="replace").decode()
    return text, json.loads(text)


def _begins(path: Path, event: Any) -> None:  # noqa: ANN401 - not validated yet
    """Verify the first event and its format version, before events of a newer format are read. Raises `BadRun`."""
    if not isinstance(event, dict) or event.get("event") != "run.started":
        raise BadRun(f"{path}: {_NO_BEGINNING}")
    if isinstance(event.get("format"), int) and event["format"] > FORMAT:
        raise BadRun(f"{path}: format {event['format']} is newer than this lbproof reads ({FORMAT}): update lbproof")


_FINITE = ConfigDict(allow_inf_nan=False)


class _Frame(BaseModel):
    """Fields of an exchange's frame that reports require."""

    model_config = _FINITE

    t: float
    op: str
    sender_mac: str
    sender_ip: str
    target_ip: str
    node: str


_CLOSER: dict[tuple[str, str], Any] = {
    ("run.started", "format"): Annotated[int, Field(ge=1)],
    ("check.finished", "verdict"): Verdict,
    ("exchange", "frames"): list[_Frame],
    ("witness", "state"): Literal["watching", "unavailable", "broken"],
}
"""Fields with stricter types than in `lbproof.spec.events`."""


@cache
def _form(name: str) -> type[BaseModel]:
    """Return the pydantic model of an event; unknown fields and unknown values of closed lists are accepted."""
    fields: dict[str, Any] = {"t": (float, ...), "at": (str, ...)}
    for field_name, hint in get_type_hints(NAMES[name], include_extras=True).items():
        optional = get_origin(hint) is NotRequired
        plain = get_args(hint)[0] if optional else hint
        kind = _CLOSER.get((name, field_name), str if get_origin(plain) is Literal else plain)
        fields[field_name] = (kind, None) if optional else (kind, ...)
    return create_model(name, __config__=_FINITE, **fields)


def _checked(text: str, event: Any) -> Event:  # noqa: ANN401 - not validated yet
    """Validate an event and return it. Raises `BadRun`."""
    if not isinstance(event, dict) or not isinstance(event.get("event"), str) or event["event"] not in NAMES:
        raise BadRun(f"no event of a run: {text[:80]}")
    try:
        _form(event["event"]).model_validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise BadRun(f"{event['event']}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    return event
