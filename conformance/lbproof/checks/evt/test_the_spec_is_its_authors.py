"""Specs of Services, which an implementation reads and does not write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lbproof.context import proves
from lbproof.context.draws import types_to_leave_for

if TYPE_CHECKING:
    from lbproof.adapters.base import Object
    from lbproof.context import CheckContext

PORTS = [{"name": "web", "port": 80, "targetPort": 8080}, {"name": "other", "port": 8443, "targetPort": "other"}]
FIELDS: dict[str, dict[str, Any]] = {
    "local": {"externalTrafficPolicy": "Local"},
    "inside": {"internalTrafficPolicy": "Local"},
    "affinity": {"sessionAffinity": "ClientIP"},
    "portless": {"allocateLoadBalancerNodePorts": False},
    "ranges": {"loadBalancerSourceRanges": ["203.0.113.0/24"]},
    "ports": {"ports": PORTS},
}


def spec(service: Object) -> Object:
    """Return the spec of a Service."""
    return {"spec": service["spec"]}


@proves("EVT-06")
def test_the_spec_is_changed_by_its_author_alone(check: CheckContext) -> None:
    """The specs of Services with all sorts of fields stay as their author wrote them, when they are served and later.

    What the API server adds when a Service is created, or leaves the type, is part of it. By each way, Services ask for
    an address that is free, that is held, and that is in no pool. One is changed by its author, twice, and two are
    changed to other types at last.
    """
    pool = check.pool(len(FIELDS) + 8)
    plain = [check.service("web", namespace=place) for place in (check.namespace, check.second_namespace)]
    given = check.all_assigned(*plain)
    free = [address for address in pool.addresses if address not in given.values()]
    services = [check.service(f"asks-{how}", ask=free.pop(), how=how) for how in check.run.ways]
    names = check.random.sample(list(FIELDS), len(FIELDS))
    services += [service for name in names for service in check.unusable(name, **FIELDS[name])]
    for name, address in (("waits", check.run.addresses(1)[0]), ("late", given[plain[0]])):
        for how in check.run.ways:
            services += check.unusable(f"{name}-{how}", ask=address, how=how)
    with check.unchanged(*services, *plain, part=spec):
        check.control(seen=True)
        changed = check.random.choice(plain)
    for policy, ports in (("Local", PORTS), ("Cluster", PORTS[:1])):
        changed.patch(spec={"externalTrafficPolicy": policy, "ports": ports})
        with check.unchanged(*services, *plain, part=spec):
            check.control(seen=True)
    with check.unchanged(*services, *plain, part=spec):
        check.keep_assigned(*(plain if check.run.claims("etp-local") else ()))
    for service, kind in zip(plain, types_to_leave_for(check.random), strict=False):
        check.retype(service, kind)
    with check.unchanged(*services, *plain, part=spec):
        check.control(seen=True)
