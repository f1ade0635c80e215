"""Classes of LoadBalancers (`spec.loadBalancerClass`): a Service without one, and names that are nearly another."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lbproof.adapters.base import Object
    from lbproof.context.check import CheckContext
    from lbproof.context.objects import Service
    from lbproof.spec.families import IPAddress


def without_class(service: Object) -> None:
    """Remove the class from a Service's manifest that the implementation may demand on each."""
    service["spec"].pop("loadBalancerClass", None)


def of_own_class(check: CheckContext, *, serving: bool = False) -> dict[Service, IPAddress]:
    """Create a Service of the implementation's own class; return it if it is served as the implementation runs now.

    What says so is a newer Service: nothing says that the class is served where it was not configured.
    """
    if not check.run.claims("class"):
        return {}
    own = check.service("own-class", serving=serving, loadBalancerClass=check.run.adapter.own_class)
    newer = check.service("newer")
    with check.precondition():
        check.assigned(newer)
    given = check.statuses(own)[own]
    check.delete_all(newer, *([] if given else [own]))
    return {own: given[0]} if given else {}


def similar_classes(name: str) -> list[str]:
    """Return valid classes that are not the named one: longer, shorter, the last part alone, in other letters."""
    prefix, slash, last = name.rpartition("/")
    begins = f"{prefix}{slash}"
    shorter = last[:-1].rstrip("-._")
    other = last.lower() if last != last.lower() else last.upper()
    found = [f"{name}-2", f"x{name}", f"{begins}{shorter}" if shorter else "", last, f"{begins}{other}"]
    return [one for one in dict.fromkeys(found) if one and one != name]
