"""What a Service says of itself, in the words that MetalLB taught its users."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lbproof_reference.kube import Object

OWN_CLASS = "lbproof.dev/reference"
FROM_POOL = "metallb.io/ip-allocated-from-pool"
"""The annotation that names the pool of an address, as MetalLB writes it; any author of the Service may change it."""
ALLOCATED = "lbproof.dev/allocated-ip"
"""The annotation that repeats the address that was given: a status that says another was not written by us."""


def is_ours(service: Object, lb_class: str | None) -> bool:
    """Whether this implementation serves it (KEP-1959).

    With `lb_class`, that class alone is served; without, Services of no class and of our own.
    """
    spec = service["spec"]
    if spec.get("type") != "LoadBalancer":
        return False
    asked = spec.get("loadBalancerClass")
    return asked == lb_class if lb_class else asked in (None, OWN_CLASS)


def ingress_of(service: Object) -> list[str]:
    """The addresses in its status."""
    entries = service.get("status", {}).get("loadBalancer", {}).get("ingress") or []
    return [entry["ip"] for entry in entries if entry.get("ip")]


def recorded_ip(service: Object) -> str | None:
    """The address that the controller noted on the Service."""
    found: str | None = (service["metadata"].get("annotations") or {}).get(ALLOCATED)
    return found


def recorded_pool(service: Object) -> str | None:
    """The pool that the controller noted on the Service."""
    found: str | None = (service["metadata"].get("annotations") or {}).get(FROM_POOL)
    return found


def annotation(service: Object, name: str) -> str | None:
    """The annotation `metallb.io/<name>`, or the one of the older group `metallb.universe.tf`."""
    found = service["metadata"].get("annotations") or {}
    value = found.get(f"metallb.io/{name}") or found.get(f"metallb.universe.tf/{name}")
    return str(value) if value else None
