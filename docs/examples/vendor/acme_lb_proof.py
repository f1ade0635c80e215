"""How lbproof installs Acme LB, gives it a pool, and reads what it says."""

from collections.abc import Mapping
from pathlib import Path

from lbproof.adapters.base import Cause, EventPattern, EventPatterns, Object, Workload
from lbproof.adapters.metallb_objects import MetalLBObjects
from lbproof.lab.base import Image
from lbproof.witnesses.kube import load_manifests

DEPLOY = Path(__file__).parent / "deploy"
RELEASED = "lbproof/reference:dev"
"""The image that the manifests name."""
IMAGE = "acme/lb:under-test"


class Acme(MetalLBObjects):
    """Acme LB takes MetalLB's objects, so the methods for pools and requests come from there.

    An implementation with objects of its own has `pool`, `ask`, `ask_pool`, `pool_error` and `with_class` of its own
    instead: `lbproof.adapters.base.Adapter` says what each must do.
    """

    name = "acme"
    version = "1.0"
    features = frozenset({"core", "pool", "l2", "garp", "events", "explicit-ip"})
    budgets: Mapping[str, float] = {}
    components: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    controller = Workload(
        kind="Deployment", namespace="metallb-system", name="controller", selector={"component": "controller"}
    )
    announcer = Workload(
        kind="DaemonSet", namespace="metallb-system", name="speaker", selector={"component": "speaker"}
    )
    event_patterns = EventPatterns(
        allocated=EventPattern(type="Normal", reason="^IPAllocated$"),
        refused={cause: EventPattern(type="Warning", reason="^AllocationFailed$") for cause in Cause},
        announcing=EventPattern(type="Normal", reason="^nodeAssigned$"),
        pool_annotations=("metallb.io/ip-allocated-from-pool",),
    )
    resources = ("ipaddresspools.metallb.io", "l2advertisements.metallb.io")

    def images(self, programs: Mapping[str, Path]) -> list[Image]:
        """Nothing stands for the image: Acme LB is judged on kind alone."""
        return []

    def manifests(self, programs: Mapping[str, Path]) -> list[Object]:
        """What we release, with the image under test in place of the released one."""
        texts = [file.read_text().replace(RELEASED, IMAGE) for file in sorted(DEPLOY.glob("*.yaml"))]
        return [document for text in texts for document in load_manifests(text)]
