"""What is measured side by side: an implementation in one configuration.

An arm is any adapter's name, or one of the variants below. A variant changes what its makers let a user change and
nothing else, and says what.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lbproof.adapters.installed import adapters, load
from lbproof.adapters.reference import Reference
from lbproof.spec import UnknownName
from lbproof_perf.sut.keepalived import Keepalived

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from lbproof.adapters.base import Adapter, Object, Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One implementation in one configuration."""

    name: str
    text: str
    """What it is, for a reader's table: `the reference, heartbeat 10 ms, dead after 3`."""
    make: Callable[[], Adapter]


class ReferenceFast(Reference):
    """The reference's `fast` profile."""

    name = "reference-fast"

    def manifests(self, site: Site) -> list[Object]:
        """Its manifests with `--profile=fast` at the speaker."""
        objects = super().manifests(site)
        for made in objects:
            if made["kind"] == "DaemonSet":
                made["spec"]["template"]["spec"]["containers"][0]["args"].append("--profile=fast")
        return objects


VARIANTS: Mapping[str, Arm] = {
    arm.name: arm
    for arm in (
        Arm(name="reference-fast", text="the reference, heartbeat 10 ms, dead after 3", make=ReferenceFast),
        Arm(
            name="keepalived",
            text="control: keepalived (VRRPv3), advertisement 1 s and no real-time priority, as it comes",
            make=Keepalived,
        ),
        Arm(
            name="keepalived-50ms",
            text="control: keepalived (VRRPv3) by the timers of the reference's default: advertisement 50 ms, "
            "real-time priority 1 (its vrrp_rt_priority, SCHED_RR; the reference runs with SCHED_FIFO)",
            make=functools.partial(Keepalived, "keepalived-50ms", advertisement=0.05, real_time=1),
        ),
    )
}


def find(name: str) -> Arm:
    """The arm of that name. Raises `UnknownName` with the nearest one that there is."""
    if name in VARIANTS:
        return VARIANTS[name]
    known = adapters()
    if name in known or ":" in name:
        adapter = load(name, "--arm")
        return Arm(name=name, text=f"{adapter.name} {adapter.version}, as it comes", make=lambda: load(name, "--arm"))
    raise UnknownName("arm", name, "--arm", [*known, *VARIANTS], "lbproof bench arms")


def known() -> list[Arm]:
    """Every arm that there is: each adapter as it comes, then the variants."""
    return [*(find(name) for name in sorted(adapters())), *VARIANTS.values()]
