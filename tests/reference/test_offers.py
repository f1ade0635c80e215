"""Announced addresses per Service; the sum of changes equals a complete evaluation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from lbproof_reference.nodes import EXCLUDED
from lbproof_reference.options import PROFILES, speaker_options
from lbproof_reference.reading import SkipLog
from lbproof_reference.speaker.offers import AnnouncementPolicy, Known, OfferIndex, service_of
from lbproof_reference.speaker.plan import Allowed, Offer

NODES = [{"metadata": {"name": name, "labels": {"rack": name}}} for name in ("n1", "n2")]
IP = bytes([10, 0, 0, 1])
_RACK_N1 = {"nodeSelectors": [{"matchLabels": {"rack": "n1"}}]}
OFFERS = st.dictionaries(
    st.sampled_from([bytes([10, 0, 0, number]) for number in range(4)]),
    st.frozensets(st.sampled_from(["n1", "n2"])).map(
        lambda nodes: Offer(service="ns/a", allowed=(Allowed(nodes=nodes),))
    ),
)


def advertisement(name: str = "everywhere", **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return an L2Advertisement, minimal without `fields`."""
    return {"metadata": {"name": name, "namespace": "metallb-system"}, **fields}


EVERYWHERE: list[dict[str, Any]] = [advertisement(spec={})]


def pool(name: str = "web", *addresses: str) -> dict[str, Any]:
    """Return an IPAddressPool of `addresses` (default: 10.0.0.0/28)."""
    meta = {"name": name, "namespace": "metallb-system", "labels": {"for": name}}
    return {"metadata": meta, "spec": {"addresses": list(addresses) or ["10.0.0.0/28"]}}


WEB = [pool()]


def policy(
    *,
    nodes: list[dict[str, Any]] = NODES,
    advertisements: list[dict[str, Any]] = EVERYWHERE,
    pools: list[dict[str, Any]] = WEB,
    skip_log: SkipLog | None = None,
    ignore_exclude: bool = False,
) -> AnnouncementPolicy:
    """Return a policy with the pool `web` unless `pools` are given."""
    return AnnouncementPolicy(
        advertisements=advertisements,
        pools=pools,
        nodes=nodes,
        lb_class=None,
        skip_log=skip_log,
        ignore_exclude=ignore_exclude,
    )


def service(**spec: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a ServiceSpec
    """Return a Service with an address of the pool `web`."""
    return {
        "metadata": {"uid": "u", "annotations": {"metallb.io/ip-allocated-from-pool": "web"}},
        "spec": {"type": "LoadBalancer", **spec},
        "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}},
    }


def piece(*ready: tuple[str, bool]) -> dict[str, Any]:
    """Return an EndpointSlice of ns/a."""
    return {
        "metadata": {"namespace": "ns", "name": "a-x", "labels": {"kubernetes.io/service-name": "a"}},
        "endpoints": [{"nodeName": node, "conditions": {"ready": fine}} for node, fine in ready],
    }


def offers(
    made: AnnouncementPolicy, of: dict[str, Any], slices: list[dict[str, Any]], before: Known | None = None
) -> dict[bytes, Offer]:
    """Return the offers of a policy for the Service ns/a, for which `before` is known."""
    return made.offers("ns/a", of, made.announceable("ns/a", of, before), slices)


def with_status(*addresses: str, uid: str = "u", **annotations: str) -> dict[str, Any]:
    """Return a Service with these addresses in its status."""
    made = service()
    made["metadata"] = {"uid": uid, "annotations": annotations}
    made["status"]["loadBalancer"]["ingress"] = [{"ip": address} for address in addresses]
    return made


def offer(*nodes: str) -> Offer:
    """Return the offer of one advertisement that selects these nodes."""
    return Offer(service="ns/a", allowed=(Allowed(nodes=frozenset(nodes)),))


@pytest.mark.parametrize(
    ("value", "excludes"),
    [("", True), ("true", True), ("1", True), ("no", True), ("false", False), ("F", False), ("0", False)],
)
def test_every_node_that_is_not_excluded_may_announce(value: str, *, excludes: bool) -> None:
    """The label of KEP-1143 excludes a node, unless its value means false, as Kubernetes reads it."""
    labelled = {"metadata": {"name": "n3", "labels": {EXCLUDED: value}}}

    found = offers(policy(nodes=[*NODES, labelled]), service(), [])

    assert found == {IP: offer("n1", "n2") if excludes else offer("n1", "n2", "n3")}


def test_the_label_can_be_ignored() -> None:
    """With `--ignore-exclude-lb`, as in MetalLB, a cluster whose nodes are all excluded is served."""
    excluded = [{"metadata": {"name": "n1", "labels": {EXCLUDED: ""}}}]

    assert offers(policy(nodes=excluded), service(), []) == {IP: offer()}
    assert offers(policy(nodes=excluded, ignore_exclude=True), service(), []) == {IP: offer("n1")}


@pytest.mark.parametrize(
    ("conditions", "announces"),
    [
        ([{"type": "NetworkUnavailable", "status": "True"}], False),
        ([{"type": "NetworkUnavailable", "status": "False"}, {"type": "Ready", "status": "True"}], True),
        ([{"type": "Ready", "status": "Unknown"}], True),
        (None, True),
    ],
)
def test_a_node_without_network_does_not_announce(conditions: object, *, announces: bool) -> None:
    """NetworkUnavailable excludes a node; NotReady does not, because a dead node is noticed by its heartbeats."""
    node = {"metadata": {"name": "n3"}, "status": {"conditions": conditions}}

    found = offers(policy(nodes=[*NODES, node]), service(), [])

    assert found == {IP: offer("n1", "n2", *(["n3"] if announces else []))}


def test_a_cordoned_node_announces() -> None:
    """Cordon changes nothing: it is about new Pods."""
    cordoned = {
        "metadata": {"name": "n3"},
        "spec": {
            "unschedulable": True,
            "taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}],
        },
    }

    assert offers(policy(nodes=[cordoned]), service(), []) == {IP: offer("n3")}


def test_only_nodes_with_a_ready_endpoint_announce_a_local_service() -> None:
    """With `externalTrafficPolicy: Local` only nodes with a ready endpoint announce; with `Cluster` all do."""
    assert service_of(piece()) == "ns/a"
    local = offers(policy(), service(externalTrafficPolicy="Local"), [piece(("n1", True), ("n2", False))])
    cluster = offers(policy(), service(externalTrafficPolicy="Cluster"), [piece(("n1", True))])

    assert local == {IP: offer("n1")}
    assert cluster == {IP: offer("n1", "n2")}


def test_a_terminating_endpoint_that_serves_counts_when_none_is_ready() -> None:
    """As KEP-1669 says: of a terminating endpoint only `serving` is left; one that is ready elsewhere comes first."""
    local = service(externalTrafficPolicy="Local")

    def slice_of(**conditions: object) -> dict[str, Any]:
        endpoints = [{"nodeName": node, "conditions": found} for node, found in conditions.items()]
        return {**piece(), "endpoints": endpoints}

    serving = {"ready": False, "serving": True, "terminating": True}
    gone = {"ready": False, "serving": False, "terminating": True}
    assert offers(policy(), local, [slice_of(n1=serving, n2=gone)]) == {IP: offer("n1")}
    assert offers(policy(), local, [slice_of(n1=serving), slice_of(n2={"ready": True})]) == {IP: offer("n2")}
    assert offers(policy(), local, [slice_of(n1=gone, n2=gone)]) == {IP: offer()}
    assert offers(policy(), local, [slice_of(n1={}, n2=None)]) == {IP: offer("n1", "n2")}
    assert offers(policy(), local, [slice_of(n1={"ready": None}, n2={"ready": False})]) == {IP: offer("n1")}
    assert offers(policy(), local, []) == {IP: offer()}


@pytest.mark.parametrize(
    ("spec", "nodes"),
    [
        ({"ipAddressPools": ["web"]}, {"n1", "n2"}),
        ({"ipAddressPools": ["other"]}, None),
        ({"ipAddressPoolSelectors": [{"matchLabels": {"for": "web"}}]}, {"n1", "n2"}),
        ({"nodeSelectors": [{"matchExpressions": [{"key": "rack", "operator": "In", "values": ["n2"]}]}]}, {"n2"}),
    ],
)
def test_an_advertisement_says_which_pools_and_nodes(spec: dict[str, Any], nodes: set[str] | None) -> None:
    """An address is announced only if an advertisement selects its pool, and by the selected nodes."""
    found = offers(policy(advertisements=[advertisement(spec=spec)]), service(), [])

    assert found == ({IP: offer(*nodes)} if nodes else {})


@pytest.mark.parametrize(
    ("selectors", "labels", "is_announced"),
    [
        ([], {}, True),
        ([{"matchLabels": {"tier": "front"}}], {"tier": "front"}, True),
        ([{"matchLabels": {"tier": "front"}}], {"tier": "back"}, False),
        ([{"matchLabels": {"tier": "front"}}, {"matchLabels": {"tier": "back"}}], {"tier": "back"}, True),
        ([{"matchExpressions": [{"key": "tier", "operator": "Exists"}]}], {}, False),
        ([{}], {}, True),
    ],
)
def test_an_advertisement_selects_services(
    selectors: list[dict[str, Any]], labels: dict[str, str], *, is_announced: bool
) -> None:
    """With `serviceSelectors`, an advertisement is about the Services that one of them matches."""
    made = policy(advertisements=[advertisement(spec={"serviceSelectors": selectors})])
    of = service()
    of["metadata"]["labels"] = labels

    assert offers(made, of, []) == ({IP: offer("n1", "n2")} if is_announced else {})


def test_an_advertisement_of_some_services_stands_beside_one_of_all() -> None:
    """Each Service has the advertisements that select it, and another Service of the pool has its own."""
    some = advertisement("some", spec={"serviceSelectors": [{"matchLabels": {"app": "a"}}], "interfaces": ["eth1"]})
    made = policy(advertisements=[advertisement("one", spec=_RACK_N1), some])
    chosen = service()
    chosen["metadata"]["labels"] = {"app": "a"}
    everywhere = Allowed(nodes=frozenset({"n1", "n2"}), interfaces=frozenset({"eth1"}))

    assert offers(made, chosen, []) == {IP: replace(offer("n1"), allowed=(*offer("n1").allowed, everywhere))}
    assert offers(made, service(), []) == {IP: offer("n1")}


def test_several_advertisements_are_alternatives() -> None:
    """Nodes of one advertisement may not announce through the interfaces of another."""
    both = [
        advertisement(node, spec={"nodeSelectors": [{"matchLabels": {"rack": node}}], "interfaces": [interface]})
        for node, interface in (("n1", "eth0"), ("n2", "eth1"))
    ]
    found = offers(policy(advertisements=both), service(), [])[IP]

    assert [(node, name) for node in ("n1", "n2") for name in ("eth0", "eth1") if found.allows(node, name)] == [
        ("n1", "eth0"),
        ("n2", "eth1"),
    ]


@pytest.mark.parametrize("fields", [{}, {"spec": None}, {"spec": {}}])
def test_an_advertisement_that_says_nothing_carries_every_pool(fields: dict[str, Any]) -> None:
    """An advertisement without a spec selects every pool and node."""
    found = offers(policy(advertisements=[advertisement(**fields)]), service(), [])

    assert found == {IP: offer("n1", "n2")}


UNREADABLE_SPECS: list[Any] = [
    "text",
    {"nodeSelectors": [{"matchExpressions": [{"key": "rack", "operator": "Near"}]}]},
    {"ipAddressPoolSelectors": [{"matchLabels": {"x": "y"}, "matchExpressions": [{"key": "for", "operator": "Gt"}]}]},
    {"nodeSelectors": [{"matchExpressions": [{"operator": "Exists"}]}]},
    {"nodeSelectors": [{"matchExpressions": [{"key": "rack", "operator": "In", "values": 1}]}]},
    {"nodeSelectors": ["rack"]},
    {"interfaces": 1},
]


@pytest.mark.parametrize("spec", UNREADABLE_SPECS)
def test_an_advertisement_that_cannot_be_read_is_logged_once_and_stops_no_other(spec: Any) -> None:  # noqa: ANN401
    """A malformed advertisement is logged once, and the others are used."""
    skip_log = SkipLog()
    both = [advertisement("odd", spec=spec), advertisement("fine")]
    with capture_logs() as said:
        for _ in range(3):
            assert IP in offers(policy(advertisements=both, skip_log=skip_log), service(), [])

    assert [line["object"] for line in said] == ["metallb-system/odd"]


def test_no_object_that_cannot_be_read_stops_the_others() -> None:
    """A malformed pool, node address, EndpointSlice or status address does not affect other objects."""
    odd_node: dict[str, Any] = {
        "metadata": {"name": "n3"},
        "status": {"addresses": [{"type": "InternalIP", "address": "n3.lan"}, {}]},
    }
    odd_pools: list[dict[str, Any]] = [
        {"metadata": {"name": "odd"}},
        {"metadata": {"name": "text"}, "spec": {"addresses": [1, None]}},
    ]
    odd_slice: dict[str, Any] = {"metadata": {"namespace": "ns", "name": "odd"}, "endpoints": ["n1"]}
    local = service(externalTrafficPolicy="Local")
    local["status"]["loadBalancer"]["ingress"] = [{"ip": "10.0.0.01"}, {"ip": "10.0.0.1"}]
    with capture_logs() as said:
        made = policy(nodes=[*NODES, odd_node], pools=[*odd_pools, *WEB])
        found = offers(made, local, [odd_slice, piece(("n2", True))])

    assert found == {IP: offer("n2")}
    assert {line["kind"] for line in said} == {"Node", "EndpointSlice", "address"}


ALLOCATED = "lbproof.dev/allocated-ip"
FROM_POOL = "metallb.io/ip-allocated-from-pool"
ONLY_WEB = [advertisement(spec={"ipAddressPools": ["web"]})]
GONE: list[list[dict[str, Any]]] = [[], [pool("web", "10.9.0.0/28")], [pool("web", "ten")]]
"""Pools of which none contains 10.0.0.1."""


@pytest.mark.parametrize("annotations", [{}, {FROM_POOL: "other"}, {ALLOCATED: "10.9.0.1"}, {FROM_POOL: ""}])
def test_annotations_change_no_offer(annotations: dict[str, str]) -> None:
    """The pool that contains the address counts, whatever annotations say, and also after it is gone."""
    noted = with_status("10.0.0.1", **annotations)
    made = policy(advertisements=ONLY_WEB, pools=[*WEB, pool("other", "10.9.0.0/28")])
    known = made.announceable("ns/a", noted, None)

    assert list(offers(made, noted, [])) == [IP]
    for pools in GONE:
        assert list(offers(policy(advertisements=ONLY_WEB, pools=pools), noted, [], known)) == [IP]


@pytest.mark.parametrize("annotations", [{}, {ALLOCATED: "10.0.0.1", FROM_POOL: "web"}])
@pytest.mark.parametrize("pools", GONE)
def test_what_no_pool_holds_is_not_announced(annotations: dict[str, str], pools: list[dict[str, Any]]) -> None:
    """An address outside all pools that was not announced before is not announced, whatever annotations say."""
    assert offers(policy(pools=pools), with_status("10.0.0.1", **annotations), []) == {}


def test_an_address_outlives_its_pool_for_the_same_service() -> None:
    """An address of a deleted pool is announced for the Service that had it, and not for one created in its place."""
    known = policy().announceable("ns/a", with_status("10.0.0.1"), None)
    for pools in GONE:
        later = policy(advertisements=ONLY_WEB, pools=pools)

        assert list(offers(later, with_status("10.0.0.1"), [], known)) == [IP]
        assert offers(later, with_status("10.0.0.1", uid="v"), [], known) == {}


@pytest.mark.parametrize("forged", [("10.0.0.254",), ("10.0.0.254", "10.0.0.253"), ("10.0.0.01",), ("10.0.0.9",)])
def test_a_status_that_nothing_explains_changes_nothing(forged: tuple[str, ...]) -> None:
    """An address goes on when the status shows only addresses outside all pools, of nodes, or unreadable ones."""
    node = {"metadata": {"name": "n3"}, "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.9"}]}}
    made = policy(nodes=[*NODES, node])
    known = made.announceable("ns/a", with_status("10.0.0.1"), None)
    for _ in range(2):
        known = made.announceable("ns/a", with_status(*forged), known)

        assert list(made.offers("ns/a", with_status(*forged), known, [])) == [IP]


def test_a_status_that_is_empty_or_shows_another_address_of_a_pool_counts() -> None:
    """An address is announced no more after the status is empty or shows another one that may be announced."""
    made = policy()
    known = made.announceable("ns/a", with_status("10.0.0.1"), None)

    assert offers(made, with_status(), [], known) == {}
    assert list(offers(made, with_status("10.0.0.2", "10.0.0.254"), [], known)) == [bytes([10, 0, 0, 2])]


def test_an_address_of_a_node_is_not_announced() -> None:
    """An address of a node is not announced, even if a pool contains it and it was announced before."""
    node = {"metadata": {"name": "n3"}, "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}}
    known = policy().announceable("ns/a", with_status("10.0.0.1"), None)

    for addresses in (("10.0.0.1",), ("10.0.0.254",)):
        assert offers(policy(nodes=[*NODES, node]), with_status(*addresses), [], known) == {}


def test_of_two_services_the_first_keeps_an_address() -> None:
    """A later Service with the same address changes nothing, and gets it when the first has it no more."""
    index = OfferIndex()
    first, second, changed = (Offer(service=name, allowed=offer("n1").allowed) for name in ("ns/a", "ns/b", "ns/a"))
    changed = replace(changed, allowed=offer("n2").allowed)

    assert index.update("ns/a", {IP: first}) == {IP: first}
    assert index.update("ns/b", {IP: second}) == {IP: first}
    assert index.update("ns/a", {IP: changed}) == {IP: changed}
    assert index.update("ns/a", {}) == {IP: second}
    assert index.update("ns/b", {}) == {IP: None}


def test_a_foreign_class_is_not_announced() -> None:
    """A Service of another class is not announced."""
    assert offers(policy(), service(loadBalancerClass="example.com/other"), []) == {}


@given(st.lists(st.tuples(st.sampled_from(["ns/a", "ns/b", "ns/c"]), OFFERS)))
def test_changes_add_up(history: list[tuple[str, dict[bytes, Offer]]]) -> None:
    """An address is offered if and only if a Service offers it."""
    index, offered = OfferIndex(), dict[bytes, Offer]()
    for key, offers in history:
        for address, offer in index.update(key, offers).items():
            if offer is None:
                del offered[address]
            else:
                offered[address] = offer
    last = dict(history)

    assert offered.keys() == {address for offers in last.values() for address in offers}
    assert all(any(offer == offers.get(address) for offers in last.values()) for address, offer in offered.items())
    assert all(index.update(key, offers) == {} for key, offers in last.items())


def test_the_profiles_are_documented(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` lists each profile with its interval, and an unknown profile is an error."""
    with pytest.raises(SystemExit):
        speaker_options(["--help"])
    said = " ".join(capsys.readouterr().out.split())

    assert all(f"{name}: " in said and f"{seconds * 1000:.0f}ms" in said for name, (seconds, _) in PROFILES.items())
    with pytest.raises(SystemExit):
        speaker_options(["--node=n1", "--profile=faster"])


def test_neither_a_request_nor_a_cluster_address_is_announced() -> None:
    """Without an address in the status nothing is announced; with one, that address alone."""
    waiting = service(loadBalancerIP="10.0.0.5", clusterIP="10.96.0.7")
    waiting["status"] = {"loadBalancer": {}}

    assert offers(policy(), waiting, []) == {}
    assert offers(policy(), service(clusterIP="10.96.0.7"), []) == {IP: offer("n1", "n2")}


def test_a_pool_that_is_no_longer_advertised_is_not_announced() -> None:
    """An address is announced for as long as an advertisement selects its pool."""
    assert offers(policy(), service(), []) == {IP: offer("n1", "n2")}
    assert offers(policy(advertisements=[]), service(), []) == {}
