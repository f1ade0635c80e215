"""How lbproof installs Acme LB, gives it a pool, and reads what it says."""

from pathlib import Path

from lbproof.adapters.base import Cause, Object, Site, Workload, WorkloadRole
from lbproof.adapters.metallb_objects import MetalLBObjects
from lbproof.adapters.reports import EventPattern
from lbproof.witnesses.kube import load_manifests

DEPLOY = Path(__file__).parent / "deploy"
RELEASED = "lbproof/reference:dev"
"""The image that the manifests name."""
IMAGE = "acme/lb:under-test"


class Acme(MetalLBObjects):
    """Acme LB takes MetalLB's objects, so the methods for pools and requests come from there.

    An implementation with objects of its own derives from `lbproof.adapters.base.Adapter`, which says what each member
    must do.
    """

    name = "acme"
    version = "1.0"
    features = frozenset(
        {
            "core",
            "pool",
            "l2",
            "garp",
            "default-class",
            "allocation-event",
            "refusal-reason",
            "explicit-ip-annotation",
            "explicit-ip-field",
        }
    )
    workloads = (
        Workload(
            kind="Deployment",
            namespace="metallb-system",
            name="controller",
            selector={"component": "controller"},
            roles={WorkloadRole.CONTROLLER},
        ),
        Workload(
            kind="DaemonSet",
            namespace="metallb-system",
            name="speaker",
            selector={"component": "speaker"},
            roles={WorkloadRole.ANNOUNCER},
        ),
    )
    allocation = EventPattern(type="Normal", reason="^IPAllocated$")
    refusals = {cause: EventPattern(type="Warning", reason="^AllocationFailed$") for cause in Cause}

    def manifests(self, site: Site) -> list[Object]:
        """What we release, with the image under test in place of the released one."""
        texts = [file.read_text().replace(RELEASED, IMAGE) for file in sorted(DEPLOY.glob("*.yaml"))]
        return [document for text in texts for document in load_manifests(text)]
