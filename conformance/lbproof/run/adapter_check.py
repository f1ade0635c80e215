"""Verification of an adapter without a cluster: what it renders and what it says; a line for each step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from lbproof.adapters import rendering
from lbproof.adapters.base import WORKLOAD_KINDS, AddressRange, PoolSpec, Site
from lbproof.adapters.rendering import AdapterError
from lbproof.adapters.validation import members
from lbproof.context import manifests
from lbproof.context.pools import Pools
from lbproof.lab.base import LabError, Node, Role
from lbproof.lab.common.image_names import matches
from lbproof.run.failures import first_line
from lbproof.spec import claims

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from lbproof.adapters.base import Adapter, Block, Object

SUBNET = ip_network("192.168.172.0/24")
FIRST = ip_address("192.168.172.170")
BLOCKS: Mapping[str, tuple[Block, ...]] = {
    "a network": (ip_network("192.168.172.172/30"),),
    "a range": (AddressRange(FIRST, FIRST + 5),),
    "an address": (FIRST,),
    "two blocks": (AddressRange(FIRST, FIRST + 1), ip_network("192.168.172.180/30")),
    "an IPv6 range": (AddressRange(ip_address("fd00::10"), ip_address("fd00::1f")),),
    "a reversed range": (AddressRange(FIRST + 5, FIRST),),
    "no block": ("192.168.172.300/28",),
}
"""Forms of a pool that checks use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Result of one step."""

    what: str
    ok: bool
    text: str
    seconds: float | None = None
    """Duration of a step in a lab."""
    of_environment: bool = False
    """Whether the lab or this machine failed, and not the implementation or its adapter."""

    def __str__(self) -> str:
        """`✓ pools    7 forms of a pool`."""
        took = "" if self.seconds is None else f"{self.seconds:5.1f} s  "
        return f"{'✓' if self.ok else '✗'} {self.what:10} {took}{self.text}"


def example_site(paths: Mapping[str, Path]) -> Site:
    """Return the site of a cluster that does not exist: the article's."""
    nodes = tuple(
        Node(
            name=name,
            role=Role.CONTROL_PLANE if name == "m01" else Role.WORKER,
            addresses=(SUBNET[150 + at],),
            mac=f"02:00:00:00:00:{at:02x}",
        )
        for at, name in enumerate(("m01", "w01", "w02", "w03"), 1)
    )
    return Site(
        paths=paths,
        nodes=nodes,
        subnets=(SUBNET,),
        interface="eth0",
        api_server=f"{nodes[0].address}:6443",
        proxy_mode="iptables",
    )


def offline(adapter: Adapter, paths: Mapping[str, Path]) -> Iterator[Line]:
    """Verify what can be verified without a cluster; `paths` are those of its components and files."""
    site, claimed = example_site(paths), claims(adapter.features)
    steps: dict[str, Callable[[Adapter, Site], str]] = {
        "manifests": _manifests,
        "images": _images,
        **({"class": _class} if "class" in claimed else {}),
        **({"pools": _pools} if "pool" in claimed else {}),
        "service": _service,
        "reports": _reports,
    }
    told: set[str] = set()
    yield Line(what="members", ok=True, text=f"{len(members())} members; claims {', '.join(sorted(claimed))}")
    for what, step in steps.items():
        try:
            yield Line(what=what, ok=True, text=step(adapter, site))
        except LabError as error:
            if (text := first_line(error)) not in told:  # several steps render the manifests
                yield Line(what=what, ok=False, text=text)
            told.add(text)


def _manifests(adapter: Adapter, site: Site) -> str:
    objects = rendering.manifests(adapter, site)
    twice = {str(key) for key in map(Pools.key, objects) if [Pools.key(made) for made in objects].count(key) > 1}
    if twice:
        raise AdapterError(f"manifests() returns an object twice: {', '.join(sorted(twice))}")
    there = {
        f"{made['kind']} {made['metadata'].get('namespace', 'default')}/{made['metadata']['name']}": made
        for made in objects
        if made["kind"] in WORKLOAD_KINDS
    }
    found = []
    for workload in adapter.workloads:
        made = there.get(str(workload))
        if made is None and workload.kind != "StaticPod" and there and not any(map(_is_custom, objects)):
            raise AdapterError(f"workloads has {workload}, but manifests() returns {', '.join(there)}")
        has = manifests.labels_of(made) if made else workload.selector
        if not workload.selector.items() <= has.items():
            raise AdapterError(
                f"the selector of {workload}, {dict(workload.selector)}, does not match its labels, {has}"
            )
        found.append(f"{workload}{'' if made else ' (not among them)'}")
    return f"{len(objects)} objects; workloads: {', '.join(found) or 'none'}"


def _is_custom(made: Object) -> bool:
    """Return whether an object is a custom resource, from which an operator may make workloads."""
    group, slash, _ = made["apiVersion"].partition("/")
    return bool(slash) and "." in group and not group.endswith(".k8s.io")


def _images(adapter: Adapter, site: Site) -> str:
    wanted = manifests.images_of(rendering.manifests(adapter, site))
    programs = rendering.images(adapter, site)
    if not programs:
        return f"{len(wanted)} images and no program: for labs that run images"
    lost = [name for name in wanted if not any(matches(one.pattern, name) for one in programs)]
    if lost:
        raise AdapterError(f"images() has no program for {', '.join(lost)}")
    return f"{len(wanted)} images, a program for each"


def _class(adapter: Adapter, site: Site) -> str:
    before, during = (rendering.manifests(adapter, replace(site, class_only=only)) for only in (False, True))
    changed = [f"{made['kind']} {made['metadata']['name']}" for made in during if made not in before]
    if not changed:
        raise AdapterError("manifests() is the same with and without site.class_only")
    return f"{adapter.own_class} changes {', '.join(changed)}"


def _pools(adapter: Adapter, site: Site) -> str:
    for form, blocks in BLOCKS.items():
        alive = [PoolSpec(name="first", blocks=(FIRST + 20,)), PoolSpec(name="second", blocks=blocks)]
        objects = rendering.pools(adapter, alive, site)
        if objects != rendering.pools(adapter, alive, site):
            raise AdapterError(f"pools() returns other objects when it is called again ({form})")
        keys = [Pools.key(made) for made in objects]
        if len(set(keys)) < len(keys):
            raise AdapterError(f"pools() returns an object twice ({form}): {keys}")
        names = [rendering.pool_name(adapter, pool) for pool in alive]
        if len(set(names)) < len(names):
            raise AdapterError(f"pool_name() is {names[0]} for two pools, {alive[0].name} and {alive[1].name}")
        if objects == rendering.pools(adapter, alive[:1], site):
            raise AdapterError(f"pools() is the same with and without a second pool ({form})")
    none = rendering.pools(adapter, [], site)
    _fields(adapter, site)
    kinds = dict.fromkeys(made["kind"] for made in objects)
    return f"{len(BLOCKS)} forms of a pool as {', '.join(kinds)}; {len(none)} objects without a pool"


def _fields(adapter: Adapter, site: Site) -> None:
    """Verify that each field of a pool changes what is rendered, where its feature is claimed."""
    claimed = claims(adapter.features)
    pool = PoolSpec(name="pool", blocks=BLOCKS["a network"])
    scoped = replace(pool, namespaces=("tenant",))
    left, right, *_ = (node.name for node in site.nodes if node.role is Role.WORKER)
    variants = {
        "auto-assign": ("auto_assign", pool, replace(pool, auto_assign=False)),
        "include-edges": ("include_edges", pool, replace(pool, include_edges=False)),
        "advertised": ("advertised", pool, replace(pool, advertised=False)),
        "pool-scope": ("namespaces", scoped, replace(pool, namespaces=("other",))),
        "pool-labels": ("labels", replace(pool, labels=(("a", "b"),)), replace(pool, labels=(("a", "c"),))),
        "pool-priority": ("priority", replace(scoped, priority=1), replace(scoped, priority=2)),
        "if-select": ("interfaces", replace(pool, interfaces=("eth0",)), replace(pool, interfaces=("eth1",))),
        "node-select": ("nodes", replace(pool, nodes=(left,)), replace(pool, nodes=(right,))),
        "pair-select": (
            "pairs",
            replace(pool, pairs=((left, "eth0"), (right, "eth1"))),
            replace(pool, pairs=((left, "eth1"), (right, "eth0"))),
        ),
    }
    for feature, (field, one, changed) in variants.items():
        if feature in claimed and rendering.pools(adapter, [one], site) == rendering.pools(adapter, [changed], site):
            raise AdapterError(
                f"pools() is the same for {field} {getattr(one, field)} and {getattr(changed, field)}, "
                f"but {feature} is claimed"
            )


def _service(adapter: Adapter, site: Site) -> str:  # noqa: ARG001 - as the other steps
    claimed = claims(adapter.features)
    said = {
        "opt-in": str(dict(adapter.service_opt_in)) if adapter.service_opt_in else "none",
        "asks by": ", ".join(
            ([adapter.address_annotation] if "explicit-ip-annotation" in claimed else [])
            + ["spec.loadBalancerIP"] * ("explicit-ip-field" in claimed)
        )
        or "nothing",
        "names its pool by": str(adapter.pool_request) if "pool-select" in claimed else "nothing",
    }
    return "; ".join(f"{name} {text}" for name, text in said.items())


def _reports(adapter: Adapter, site: Site) -> str:  # noqa: ARG001 - as the other steps
    claimed = claims(adapter.features)
    parts = [
        f"allocation by {adapter.allocation}" if "allocation-event" in claimed else "",
        f"{len(adapter.refusals)} causes of a refusal" if "refusal-reason" in claimed else "",
        f"pool by {' or '.join(map(str, adapter.pool_marks))}" if "pool-mark" in claimed else "",
        f"announcer by {type(adapter.announcer_status).__name__}" if "announcer-status" in claimed else "",
    ]
    return "; ".join(filter(None, parts)) or "nothing"
