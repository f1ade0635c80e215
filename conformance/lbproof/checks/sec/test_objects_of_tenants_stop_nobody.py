"""Objects that a tenant may write, with whatever the API server accepts: other tenants are served as before."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from lbproof.adapters.base import Ask
from lbproof.context import manifests, proves
from lbproof.text import words
from lbproof.witnesses.kube import ApiError
from lbproof.witnesses.wait import Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lbproof.adapters.base import Object
    from lbproof.context import CheckContext, Pool, Service
    from lbproof.spec.families import IPAddress

MOST = 262_144
"""Bytes that are allowed for the keys and values of all annotations of an object (`TotalAnnotationSizeLimitB`)."""
LARGE = 200_000
"""Characters of an annotation."""
FULL = 3
"""Services whose annotations leave no room for another one."""
ODD_TEXTS = (
    "\x00\x01\x1b[2J\x7f",
    "line\nfeed\r\u2028line\u2029paragraph\x85",
    "\u202eright to left\ufeff\ufffe\U0001f4a5\u0661\u0662.\u0663",
    "%s{0}{x!r:>9}$(x)`x`\\'\"",
    "1" * 5000,
    "[" * 5000,
    "1.2.3.4.5/33-::ffff:1.2.3.4%eth0,,;",
    "",
)
"""Values of annotations: control characters, separators of lines, Unicode, formats, numbers and nesting without end."""
PORTS = 120


def annotated(key: str, value: str) -> Callable[[Object], None]:
    """Return a change of a manifest that sets an annotation."""

    def change(made: Object) -> None:
        made["metadata"].setdefault("annotations", {})[key] = value

    return change


def filled(made: Object) -> None:
    """Change a manifest so that its annotations leave no room: whoever wants to add one is refused."""
    annotations = made["metadata"].setdefault("annotations", {})
    size = sum(len(text.encode()) for row in annotations.items() for text in row)
    key = "example.com/full"
    annotations[key] = "x" * (MOST - size - len(key))


def shapes(check: CheckContext) -> list[Callable[[Object], None]]:
    """Return changes of a Service's manifest that its API accepts and hardly anybody expects."""
    adapter = check.run.adapter
    keys = [adapter.address_annotation] if Ask.ANNOTATION in check.run.ways else []
    if check.run.claims("pool-select") and adapter.pool_request.annotation:
        keys.append(adapter.pool_request.annotation)
    found = [annotated(key, value) for key in keys for value in ODD_TEXTS]
    found += [annotated("example.com/odd", value) for value in ODD_TEXTS]
    found.append(annotated("example.com/large", "x" * LARGE))

    def many_ports(made: Object) -> None:
        made["spec"]["ports"] = [{"name": f"p{n}", "port": 1000 + n} for n in range(PORTS)]

    def labelled(made: Object) -> None:
        made["metadata"]["labels"] |= {f"example.com/label-{n}": "x" * 63 for n in range(100)}

    def owned(made: Object) -> None:
        row = {"apiVersion": "example.com/v1", "kind": "Nothing", "name": "x", "uid": made["metadata"]["name"]}
        made["metadata"]["ownerReferences"] = [row]

    def many_annotations(made: Object) -> None:
        made["metadata"]["annotations"] = {f"example.com/{n}": "" for n in range(1000)}

    return [*found, many_ports, labelled, owned, many_annotations]


def odd_endpoints(check: CheckContext) -> list[Object]:
    """Return EndpointSlices with all that is optional left out or set to what nobody expects."""
    rows: list[dict[str, Any]] = [
        {"endpoints": []},
        {"endpoints": [{"addresses": ["192.0.2.1"], "conditions": {}}], "ports": None},
        {"endpoints": [{"addresses": [f"198.51.100.{n}"], "nodeName": "no-such-node"} for n in range(1, 200)]},
        {"endpoints": [{"addresses": ["192.0.2.2"], "nodeName": None, "zone": "x" * 60, "hints": {"forZones": []}}]},
    ]
    return [
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"odd-slice-{n}",
                "namespace": check.namespace,
                "labels": {**manifests.OURS, "kubernetes.io/service-name": "odd-0"},
            },
            "addressType": "IPv4",
            "ports": [],
        }
        | {key: value for key, value in row.items() if value is not None}
        for n, row in enumerate(rows)
    ]


def create_if_allowed(check: CheckContext, path: str, made: Object) -> None:
    """Create an object unless the API server finds it invalid, which is recorded."""
    try:
        check.cluster.create(path, made)
    except ApiError as error:
        if error.status not in {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}:
            raise
        check.saw("api", f"the creation of {made['kind']} {made['metadata']['name']} is refused", str(error))


def in_turn(check: CheckContext, service: Service, before: Sequence[Service]) -> IPAddress:
    """Wait until a Service has an address, for as long as older ones are given theirs, and return it.

    The budget applies to each further Service, as nothing says that a controller serves several at a time.
    """
    given = -1
    while True:
        seen = check.wait.eventually(
            lambda: check.statuses(service, *before),
            lambda statuses: statuses[service] or sum(map(bool, statuses.values())) > given,  # noqa: B023 - called at once
            what=f"{service} is given an address, or one more of {len(before)} Services of another tenant",
            budget="address_assigned",
            show=lambda statuses: f"{sum(map(bool, statuses.values()))} of {len(statuses)}",
        )
        if seen[service]:
            return seen[service][0]
        given = sum(map(bool, seen.values()))


def impossible(check: CheckContext) -> list[Service]:
    """Create Services of one tenant that ask for an address outside every pool, for what is none, or no such pool."""
    asks: list[Any] = [*check.run.addresses(1), "no-address"]
    made: list[dict[str, Any]] = [{"ask": asked, "how": how} for how in check.run.ways for asked in asks]
    if check.run.claims("pool-select"):
        made.append({"change": lambda service: check.run.adapter.pool_request.set(service, "no-pool")})
    return [one for n, fields in enumerate(made) for one in check.unusable(f"impossible-{n}", **fields)]


def served_beside_older_waiters(check: CheckContext) -> None:
    """Free the only address for a Service of another tenant that waits: while it waits alone, and beside older ones.

    Where it is not given one while it waits alone, nobody has stopped it.
    """
    pool = check.pool(1)
    place = check.second_namespace
    holder = check.service("waits-0", namespace=place)
    with check.precondition():
        check.assigned(holder, budget="pool_applied")
    alone = check.service("waits-1", namespace=place)
    with check.precondition("PEND-03"):
        freed_for(check, alone, holder, pool)
    older = impossible(check)
    check.next_second()
    beside = check.service("waits-2", namespace=place)
    freed_for(check, beside, alone, pool, older)


def freed_for(
    check: CheckContext, waiting: Service, holder: Service, pool: Pool, others: Sequence[Service] = ()
) -> None:
    """Delete the holder of the only address of a pool, and wait until a Service that waits is given it.

    Before that, a newer one is served from a pool apart, if there can be one. `others`: who must not be given the
    address, which another requirement judges: nothing is shown then.
    """
    if controls := check.apart():
        newer = check.service(f"{waiting.name}-newer", namespace=waiting.namespace, **controls[0])
        check.assigned(newer, budget="pool_applied")
    else:
        with check.precondition():
            check.stays_pending(waiting)
    check.delete(holder)
    seen = check.wait.eventually(
        lambda: {
            service: set(held) & set(pool.addresses) for service, held in check.statuses(waiting, *others).items()
        },
        lambda seen: any(seen.values()),
        what=f"the address that was freed is given to {waiting}, which waits",
        budget="reclaimed",
        show=lambda seen: words({str(service): sorted(map(str, held)) for service, held in seen.items()}),
    )
    with check.precondition("REQ-04"):
        if wrong := {str(service): held for service, held in seen.items() if held and service is not waiting}:
            raise Violation(f"given an address that was not asked for: {words(wrong)}")


@proves("SEC-06")
def test_objects_of_tenants_stop_nobody(check: CheckContext) -> None:
    """Services with odd annotations, labels, ports and endpoints are created, changed and deleted by one tenant.

    Some have annotations that leave no room for the implementation's. Those of another one are given addresses and
    answered as soon as ever, and no process of the implementation ends. Before that, they wait for an address while
    older ones of the first tenant wait for what there is not.
    """
    if check.run.ways or check.run.claims("pool-select"):
        served_beside_older_waiters(check)
    changes = shapes(check)
    check.pool(len(changes) + FULL + 4)
    ended = check.run.workloads.ended()
    before = check.control(namespace=check.second_namespace, seen=True)
    for made in odd_endpoints(check):
        create_if_allowed(check, f"/apis/discovery.k8s.io/v1/namespaces/{check.namespace}/endpointslices", made)
    odd = [one for n, change in enumerate(changes) for one in check.unusable(f"odd-{n}", change=change)]
    full = [one for n in range(FULL) for one in check.unusable(f"full-{n}", change=filled)]
    first = in_turn(check, check.service("first", namespace=check.second_namespace), [*odd, *full])
    check.holders(first)
    for service in check.random.sample(odd, len(odd) // 2):
        service.patch(metadata={"annotations": {"example.com/odd": ODD_TEXTS[1]}}, spec={"sessionAffinity": "ClientIP"})
    check.delete_all(*odd, *full)
    second = check.assigned(check.service("second", namespace=check.second_namespace))
    check.holders(before, first, second)
    now = check.run.workloads.ended()
    assert now == ended, f"containers have ended: {words(now)}, before {words(ended)}"
