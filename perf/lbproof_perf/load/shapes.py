"""How many users there are at each moment: constant, in steps, with a spike, or a long soak.

`users_at` is pure; the class lets Locust ask it. With a user that keeps a schedule, its rate times the users is the
rate of requests, so a shape of users is a shape of the load.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from locust import LoadTestShape

from lbproof_perf.load.options import Shape

if TYPE_CHECKING:
    from locust.env import Environment

_STEPS = 4
_SPIKE_FROM, _SPIKE_TO = 0.4, 0.6
_RISE = 0.1
_EARLY = 0.1
"""Seconds by which a tick may be early and still be the last: the next is a second later."""


def users_at(shape: Shape, users: int, elapsed: float, seconds: float) -> int:
    """How many of `users` there are after `elapsed` of `seconds`; at least one, at most all."""
    share = min(max(elapsed / seconds, 0.0), 1.0) if seconds > 0 else 1.0
    part = 1.0
    if shape is Shape.STEP:
        part = min(math.floor(share * _STEPS) + 1, _STEPS) / _STEPS
    elif shape is Shape.SPIKE:
        part = 1.0 if _SPIKE_FROM <= share < _SPIKE_TO else 0.1
    elif shape is Shape.SOAK:
        part = min(share / _RISE, 1.0)
    return max(1, round(users * part))


class ChosenShape(LoadTestShape):
    """The shape that `--shape` names, for the users and the run time that Locust's own options say."""

    use_common_options = True
    _spawned = False

    def attach(self, environment: Environment) -> None:
        """Count the time from when all users are there: starting them takes time that a starved machine lacks."""
        hooks: Any = environment.events  # Locust's hooks are untyped
        hooks.spawning_complete.add_listener(self._on_spawning_complete)

    def _on_spawning_complete(self, **_: object) -> None:
        if not self._spawned:  # once for each load: a shape spawns again and again
            self._spawned = True
            clock: Any = self
            clock.reset_time()

    def tick(self) -> tuple[int, float] | None:
        """Users now, and how many may start a second; None, which ends the load, once its time is over.

        Locust asks each second, and leaves its own `--run-time` to the shape where there is one.
        """
        locust: Any = self  # whose runner is there once it ticks
        options, elapsed = locust.runner.environment.parsed_options, locust.get_run_time()
        if locust.runner.state == "ready":
            self._spawned = False  # a load of the web UI's that was begun again
        users, seconds = options.num_users or 1, options.run_time or 0
        if seconds and elapsed >= seconds - _EARLY:
            return None
        return users_at(Shape(options.shape), users, elapsed, seconds), options.spawn_rate or users
