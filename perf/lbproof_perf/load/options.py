"""Options of the locustfile and their environment variables: one table, which the locustfile and the docs read.

Imports nothing of Locust, which patches the process that imports it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Shape(StrEnum):
    """The course of a load."""

    CONSTANT = "constant"
    """All users from the beginning to the end."""
    STEP = "step"
    """A quarter of the users, then a half, three quarters, all: where does it begin to suffer?"""
    SPIKE = "spike"
    """A tenth, all in the middle fifth, a tenth again: does it recover?"""
    SOAK = "soak"
    """A tenth of the time to rise, then all: does it hold?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOption:
    """One option of the locustfile."""

    name: str
    text: str
    default: str | float
    """An `int` or `float` says the type of its values too."""
    choices: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"LBPROOF_{self.name.upper().replace('-', '_')}"


LOAD_OPTIONS = (
    LoadOption(
        name="shape",
        text="the course of the load",
        default=str(Shape.CONSTANT),
        choices=tuple(str(shape) for shape in Shape),
    ),
    LoadOption(name="path", text="what HTTP users ask for", default="/hostname"),
    LoadOption(name="udp-port", text="port of agnhost's UDP server", default=80),
    LoadOption(name="rate", text="requests a second of a user with a schedule", default=1000.0),
    LoadOption(name="connections", text="of a user with a schedule, at most", default=256),
    LoadOption(name="request-timeout", text="seconds after which a request has failed", default=10.0),
    LoadOption(name="throughput", text="requests a second of a PacedUser", default=10.0),
    LoadOption(name="out", text="file that the tally is written to", default=""),
)
