"""How lbproof installs Acme LB, gives it pools and asks it for an address."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lbproof.adapters.base import Ask, Cause, EventPattern, EventPatterns, Object, Workload
from lbproof.lab.base import Image
from lbproof.witnesses.kube import Kube, load_manifests

HOME = Path(__file__).parent
RELEASED = "acme/lb:1.0"
"""The image that the manifests name."""
IMAGE = "acme/lb:under-test"
NEVER = EventPattern(type="Normal", reason="^$", message="^$")


class Acme:
    """Acme LB."""

    name = "acme"
    version = "1.0"
    features = frozenset({"core", "pool", "l2", "garp", "explicit-ip"})
    budgets: Mapping[str, float] = {}
    components: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    namespace = "acme-lb"
    pool_path = "/api/v1/namespaces/acme-lb/configmaps"
    resources: tuple[str, ...] = ()
    controller = announcer = Workload(
        kind="DaemonSet", namespace="acme-lb", name="acme-lb", selector={"app": "acme-lb"}
    )
    event_patterns = EventPatterns(
        allocated=NEVER, refused=dict.fromkeys(Cause, NEVER), announcing=NEVER, pool_annotations=()
    )

    def __init__(self) -> None:
        self.alive: dict[str, str] = {}

    def images(self, programs: Mapping[str, Path]) -> list[Image]:
        paths = {"/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", sys.prefix, sys.base_prefix, str(HOME)}
        return [
            Image(
                pattern="acme/lb",
                program=sys.executable,
                args=("-m", "acme_lb"),
                binds=tuple(sorted(path for path in paths if Path(path).exists())),
                env={"PYTHONPATH": str(HOME), "PYTHONDONTWRITEBYTECODE": "1"},
            )
        ]

    def manifests(self, programs: Mapping[str, Path]) -> list[Object]:
        """What we release, with the image under test in place of the released one."""
        texts = [file.read_text().replace(RELEASED, IMAGE) for file in sorted((HOME / "deploy").glob("*.yaml"))]
        return [document for text in texts for document in load_manifests(text)]

    def pool(self, name: str, blocks: Sequence[str], **kind: bool) -> list[Object]:
        case = name.rpartition("-")[0]
        self.alive = {other: text for other, text in self.alive.items() if other.rpartition("-")[0] == case}
        self.alive[name] = ", ".join(blocks)
        meta = {"name": "pools", "namespace": "acme-lb"}
        return [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": dict(self.alive)}]

    def ask(self, service: Object, addresses: str, how: Ask) -> None:
        service["metadata"].setdefault("annotations", {})["acme.example/address"] = addresses

    def ask_pool(self, service: Object, pool: str) -> None:
        """Acme LB has no choice of pools."""

    def pool_error(self, cluster: Kube, pool: str) -> str:
        """Acme LB lists malformed pools in an annotation of the ConfigMap."""
        found = cluster.get(f"{self.pool_path}/pools")["metadata"].get("annotations", {})
        lines = found.get("acme.example/invalid-pools", "").split("; ")
        return next((line for line in lines if line.startswith(f"{pool}: ")), "")

    def with_class(self, cluster: Kube, rolled_out: object) -> None:
        raise NotImplementedError
