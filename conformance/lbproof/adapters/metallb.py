"""Adapter for MetalLB in layer 2 mode, installed from its unchanged manifest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.adapters.base import Cause, Object, Site, Workload, WorkloadRole
from lbproof.adapters.metallb_objects import NAMESPACE, MetalLBObjects
from lbproof.adapters.reports import AnnouncerEvent, AnnouncerResource, EventPattern, MetadataKey
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
            "pool-select",
            "pool-mark",
            "pool-namespaced",
            "pool-scope",
            "pool-labels",
            "pool-priority",
            "pool-status",
            "auto-assign",
            "include-edges",
            "advertised",
            "l2",
            "l2-nonic",
            "garp",
            "explicit-ip-annotation",
            "explicit-ip-field",
            "strict-requests",
            "without-endpoints",
            "class",
            "default-class",
            "allocation-event",
            "refusal-reason",
            "announcer-status",
            "mixed-protocols",
            "nodeportless",
            "source-ranges",
            "etp-local",
            "withdraw-no-endpoints",
            "sharing",
            "node-exclude",
            "if-select",
            "node-select",
            "article",
            "ipv6",
            "dual-stack",
            "ndp",
        }
    )
    components = ("metallb-controller", "metallb-speaker")
    files = ("metallb-manifest",)
    workloads = (
        Workload(
            kind="Deployment",
            namespace=NAMESPACE,
            name="controller",
            selector={"app": "metallb", "component": "controller"},
            roles={WorkloadRole.CONTROLLER},
        ),
        Workload(
            kind="DaemonSet",
            namespace=NAMESPACE,
            name="speaker",
            selector={"app": "metallb", "component": "speaker"},
            roles={WorkloadRole.ANNOUNCER},
        ),
    )
    allocation = EventPattern(type="Normal", reason="^IPAllocated$")
    refusals: Mapping[Cause, EventPattern] = {
        Cause.POOL_EXHAUSTED: EventPattern(type="Warning", reason=_REFUSED, message="no available IPs"),
        Cause.NOT_IN_POOL: EventPattern(type="Warning", reason=_REFUSED, message="not allowed in config"),
        Cause.IN_USE: EventPattern(type="Warning", reason=_REFUSED, message="also in use by|is already in use on"),
        Cause.BAD_REQUEST: EventPattern(type="Warning", reason=f"{_REFUSED}|LoadBalancerFailed"),
    }
    announcer_status = AnnouncerEvent(
        event=EventPattern(type="Normal", reason="^nodeAssigned$", message='from node "(?P<node>[^"]+)"')
    )
    other_announcer_statuses = (
        AnnouncerResource(
            path="/apis/metallb.io/v1beta1/namespaces/metallb-system/servicel2statuses",
            labels={"metallb.io/service-namespace": "{namespace}", "metallb.io/service-name": "{name}"},
            field="status.node",
        ),
    )
    pool_marks = (
        MetadataKey(annotation="metallb.io/ip-allocated-from-pool"),
        MetadataKey(annotation="metallb.universe.tf/ip-allocated-from-pool"),
    )

    def images(self, site: Site) -> list[Image]:
        """Map its two images to static binaries."""
        controller, speaker = site.paths["metallb-controller"], site.paths["metallb-speaker"]
        return [
            Image(pattern="metallb/controller", program=str(controller), path="/controller"),
            Image(pattern="metallb/speaker", program=str(speaker), path="/speaker"),
        ]

    def manifests(self, site: Site) -> list[Object]:
        """Return the published manifest, unchanged but for the class."""
        return self._of_class(load_manifests(site.paths["metallb-manifest"].read_text()), site)
