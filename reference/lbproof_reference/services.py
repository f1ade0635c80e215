"""Read the fields and annotations of a Service, with the names that MetalLB uses."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from lbproof_reference.pools import parse_ip

if TYPE_CHECKING:
    from lbproof_reference.kube import Object
    from lbproof_reference.pools import IP

OWN_CLASS = "lbproof.dev/reference"
_IP_MODE = "VIP"  # KEP-1860
FROM_POOL = "metallb.io/ip-allocated-from-pool"
"""Annotation with the pool of the address, as in MetalLB; any author of the Service may change it."""
ALLOCATED = "lbproof.dev/allocated-ip"
"""Annotation with the assigned address, or with two and a comma; a status with another was not written here."""


def is_managed(service: Object, lb_class: str | None) -> bool:
    """Whether this implementation serves the Service (KEP-1959).

    With `lb_class`, only Services of that class; without it, Services of no class and of this implementation's own
    class.
    """
    spec = service["spec"]
    if spec.get("type") != "LoadBalancer":
        return False
    asked = spec.get("loadBalancerClass")
    return asked == lb_class if lb_class else asked in (None, OWN_CLASS)


def families(service: Object) -> list[int]:
    """Return the IP versions that a Service asks for, the primary one first; one that says nothing: IPv4."""
    return [6 if name == "IPv6" else 4 for name in service["spec"].get("ipFamilies") or ["IPv4"]]


def ingress(service: Object) -> list[Object]:
    """Return the entries of the Service's status (API type LoadBalancerIngress)."""
    return service.get("status", {}).get("loadBalancer", {}).get("ingress") or []


def ingress_of(ips: list[str]) -> list[Object]:
    """Return the entries of a status with these addresses."""
    return [{"ip": ip, "ipMode": _IP_MODE} for ip in ips]


def is_shown(service: Object, ips: list[str]) -> bool:
    """Whether the status has these addresses and says nothing else; Kubernetes before 1.29 keeps no `ipMode`."""
    return [{"ipMode": _IP_MODE} | entry for entry in ingress(service)] == ingress_of(ips)


def ingress_ips(service: Object) -> list[str]:
    """Return the addresses in the Service's status."""
    return [entry["ip"] for entry in ingress(service) if entry.get("ip")]


def shown_ips(service: Object) -> set[IP]:
    """Return the addresses in the Service's status that can be read."""
    found: set[IP] = set()
    for text in ingress_ips(service):
        with suppress(TypeError, ValueError):
            found.add(parse_ip(text))
    return found


def assigned(service: Object) -> tuple[str | None, str | None]:
    """Return the addresses and the pools in the controller's annotations; of two, with a comma."""
    found = service["metadata"].get("annotations") or {}
    return found.get(ALLOCATED), found.get(FROM_POOL)


def annotation(service: Object, name: str) -> str | None:
    """Return the annotation `metallb.io/<name>`, or `metallb.universe.tf/<name>` of the older group."""
    found = service["metadata"].get("annotations") or {}
    value = found.get(f"metallb.io/{name}") or found.get(f"metallb.universe.tf/{name}")
    return str(value) if value else None
