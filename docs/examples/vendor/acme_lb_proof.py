"""How lbproof installs Acme LB, gives it pools, asks it for an address and finds its leader."""

from collections.abc import Sequence
from pathlib import Path

from lbproof.adapters.base import Adapter, Object, PoolSpec, Site, Workload, WorkloadRole
from lbproof.adapters.programs import python_image
from lbproof.adapters.reports import AnnouncerLease
from lbproof.lab.base import Image
from lbproof.witnesses.kube import Kube, load_manifests

HOME = Path(__file__).parent
RELEASED = "acme/lb:1.0"
"""The image that the manifests name."""
IMAGE = "acme/lb:under-test"
NAMESPACE = "acme-lb"


class Acme(Adapter):
    """Acme LB writes nothing on a Service but its address, and knows neither classes nor a choice of pools."""

    name = "acme"
    version = "1.0"
    features = frozenset({"core", "default-class", "pool", "l2", "garp", "explicit-ip-annotation", "announcer-status"})
    workloads = (
        Workload(
            kind="DaemonSet",
            namespace=NAMESPACE,
            name="acme-lb",
            selector={"app": "acme-lb"},
            roles={WorkloadRole.CONTROLLER, WorkloadRole.ANNOUNCER},
        ),
    )
    address_annotation = "acme.example/address"
    announcer_status = AnnouncerLease(namespace=NAMESPACE, name="leader")

    def images(self, site: Site) -> Sequence[Image]:
        """In the embedded lab, which runs no images, this process's interpreter runs the same program."""
        return [python_image("acme/lb", ["-m", "acme_lb"], binds=[HOME], env={"PYTHONPATH": str(HOME)})]

    def manifests(self, site: Site) -> list[Object]:
        """What we release, with the image under test in place of the released one, on the interface of this cluster."""
        text = (HOME / "deploy/acme-lb.yaml").read_text().replace(RELEASED, IMAGE)
        return load_manifests(text.replace("value: eth0", f"value: {site.interface}"))

    def pools(self, alive: Sequence[PoolSpec], site: Site) -> list[Object]:
        """One ConfigMap with a key for each pool, also when there is none."""
        data = {pool.name: ", ".join(map(str, pool.blocks)) for pool in alive}
        meta = {"name": "pools", "namespace": NAMESPACE}
        return [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}]

    def pool_error(self, cluster: Kube, pool: PoolSpec) -> str:
        """An annotation of the ConfigMap has `NAME: ERROR` of each pool that is malformed."""
        found = cluster.get(f"/api/v1/namespaces/{NAMESPACE}/configmaps/pools")["metadata"].get("annotations", {})
        lines = found.get("acme.example/invalid-pools", "").split("; ")
        return next((line for line in lines if line.startswith(f"{pool.name}: ")), "")
