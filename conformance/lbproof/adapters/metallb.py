"""Adapter for MetalLB in layer 2 mode, installed from its unchanged manifest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lbproof.adapters.base import Cause, EventPattern, EventPatterns, Object, Workload
from lbproof.adapters.metallb_objects import MetalLBObjects
from lbproof.lab.base import Image
from lbproof.witnesses.kube import load_manifests

if TYPE_CHECKING:
    from collections.abc import Mapping

_REFUSED = "AllocationFailed"


class MetalLB(MetalLBObjects):
    """MetalLB v0.15.2: `metallb-native.yaml`, memberlist between the speakers."""

    name = "metallb"
    version = "v0.15.2"
    features = frozenset(
        {
            "core",
            "pool",
            "l2",
            "l2-nonic",
            "garp",
            "explicit-ip",
            "class",
            "events",
            "pool-annotation",
            "announcer-events",
            "article",
        }
    )
    budgets: Mapping[str, float] = {}
    components = ("metallb-controller", "metallb-speaker")
    files = ("metallb-manifest",)
    controller = Workload(
        kind="Deployment",
        namespace="metallb-system",
        name="controller",
        selector={"app": "metallb", "component": "controller"},
    )
    announcer = Workload(
        kind="DaemonSet",
        namespace="metallb-system",
        name="speaker",
        selector={"app": "metallb", "component": "speaker"},
    )
    event_patterns = EventPatterns(
        allocated=EventPattern(type="Normal", reason="^IPAllocated$"),
        refused={
            Cause.POOL_EXHAUSTED: EventPattern(type="Warning", reason=_REFUSED, message="no available IPs"),
            Cause.NO_POOL: EventPattern(type="Warning", reason=_REFUSED, message="no available IPs|unknown pool"),
            Cause.NOT_IN_POOL: EventPattern(type="Warning", reason=_REFUSED, message="not allowed in config"),
            Cause.IN_USE: EventPattern(
                type="Warning", reason=_REFUSED, message="address also in use by|can't change sharing"
            ),
            Cause.BAD_REQUEST: EventPattern(type="Warning", reason=f"{_REFUSED}|LoadBalancerFailed"),
        },
        announcing=EventPattern(type="Normal", reason="^nodeAssigned$"),
        pool_annotations=("metallb.io/ip-allocated-from-pool", "metallb.universe.tf/ip-allocated-from-pool"),
    )
    resources: tuple[str, ...] = (
        "bfdprofiles.metallb.io",
        "bgpadvertisements.metallb.io",
        "bgppeers.metallb.io",
        "communities.metallb.io",
        "ipaddresspools.metallb.io",
        "l2advertisements.metallb.io",
    )

    def images(self, programs: Mapping[str, Path]) -> list[Image]:
        """Map its two images to static binaries."""
        return [
            Image(pattern="metallb/controller", program=str(programs["metallb-controller"]), path="/controller"),
            Image(pattern="metallb/speaker", program=str(programs["metallb-speaker"]), path="/speaker"),
        ]

    def manifests(self, programs: Mapping[str, Path]) -> list[Object]:
        """Return the published manifest, unchanged."""
        return load_manifests(Path(programs["metallb-manifest"]).read_text())
