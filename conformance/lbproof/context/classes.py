"""Classes of LoadBalancers (`spec.loadBalancerClass`): a Service without one, and names that are nearly another."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lbproof.adapters.base import Object


def without_class(service: Object) -> None:
    """Remove the class from a Service's manifest that the implementation may demand on each."""
    service["spec"].pop("loadBalancerClass", None)


def similar_classes(name: str) -> list[str]:
    """Return valid classes that are not the named one: longer, shorter, the last part alone, in other letters."""
    prefix, slash, last = name.rpartition("/")
    begins = f"{prefix}{slash}"
    shorter = last[:-1].rstrip("-._")
    other = last.lower() if last != last.lower() else last.upper()
    found = [f"{name}-2", f"x{name}", f"{begins}{shorter}" if shorter else "", last, f"{begins}{other}"]
    return [one for one in dict.fromkeys(found) if one and one != name]
