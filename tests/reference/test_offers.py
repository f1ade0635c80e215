"""What is announced, a Service at a time: the sum of the changes is what a look at everything would give."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbproof_reference.speaker.__main__ import PROFILES, main
from lbproof_reference.speaker.offers import EXCLUDED, Board, Rules, service_of
from lbproof_reference.speaker.plan import Offer

NODES = [{"metadata": {"name": name, "labels": {"rack": name}}} for name in ("n1", "n2")]
EVERYWHERE: list[dict[str, Any]] = [{"spec": {}}]
IP = bytes([10, 0, 0, 1])
OFFERS = st.dictionaries(
    st.sampled_from([bytes([10, 0, 0, number]) for number in range(4)]),
    st.builds(Offer, service=st.just("ns/a"), nodes=st.frozensets(st.sampled_from(["n1", "n2"]))),
)


def rules(*, nodes: list[dict[str, Any]] = NODES, advertisements: list[dict[str, Any]] = EVERYWHERE) -> Rules:
    """Of one pool, `web`."""
    pools = [{"metadata": {"name": "web", "labels": {"for": "web"}}}]
    return Rules(advertisements=advertisements, pools=pools, nodes=nodes, lb_class=None)


def service(**spec: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a ServiceSpec
    """One that was given an address of the pool `web`."""
    return {
        "metadata": {"annotations": {"metallb.io/ip-allocated-from-pool": "web"}},
        "spec": {"type": "LoadBalancer", **spec},
        "status": {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}},
    }


def piece(*ready: tuple[str, bool]) -> dict[str, Any]:
    """An EndpointSlice of ns/a."""
    return {
        "metadata": {"namespace": "ns", "name": "a-x", "labels": {"kubernetes.io/service-name": "a"}},
        "endpoints": [{"nodeName": node, "conditions": {"ready": fine}} for node, fine in ready],
    }


def test_every_node_that_is_not_excluded_may_announce() -> None:
    """KEP-1143's label takes a node out."""
    excluded = {"metadata": {"name": "n3", "labels": {EXCLUDED: ""}}}

    found = rules(nodes=[*NODES, excluded]).offers("ns/a", service(), [])

    assert found == {IP: Offer(service="ns/a", nodes=frozenset({"n1", "n2"}))}


def test_only_nodes_with_a_ready_endpoint_announce_a_local_service() -> None:
    """`externalTrafficPolicy: Local`; with `Cluster` the endpoints' places do not matter."""
    assert service_of(piece()) == "ns/a"
    local = rules().offers("ns/a", service(externalTrafficPolicy="Local"), [piece(("n1", True), ("n2", False))])
    cluster = rules().offers("ns/a", service(externalTrafficPolicy="Cluster"), [piece(("n1", True))])

    assert local[IP].nodes == {"n1"}
    assert cluster[IP].nodes == {"n1", "n2"}


@pytest.mark.parametrize(
    ("advertisement", "nodes"),
    [
        ({"ipAddressPools": ["web"]}, {"n1", "n2"}),
        ({"ipAddressPools": ["other"]}, None),
        ({"ipAddressPoolSelectors": [{"matchLabels": {"for": "web"}}]}, {"n1", "n2"}),
        ({"nodeSelectors": [{"matchExpressions": [{"key": "rack", "operator": "In", "values": ["n2"]}]}]}, {"n2"}),
    ],
)
def test_an_advertisement_says_which_pools_and_nodes(advertisement: dict[str, Any], nodes: set[str] | None) -> None:
    """What none carries is not announced."""
    found = rules(advertisements=[{"spec": advertisement}]).offers("ns/a", service(), [])

    assert (found[IP].nodes if found else None) == nodes


def test_a_foreign_class_is_not_announced() -> None:
    """Whatever its status says."""
    assert rules().offers("ns/a", service(loadBalancerClass="example.com/other"), []) == {}


@given(st.lists(st.tuples(st.sampled_from(["ns/a", "ns/b", "ns/c"]), OFFERS)))
def test_changes_add_up(history: list[tuple[str, dict[bytes, Offer]]]) -> None:
    """An address is offered as long as any Service offers it, and only then."""
    board, offered = Board(), dict[bytes, Offer]()
    for key, offers in history:
        for address, offer in board.renew(key, offers).items():
            if offer is None:
                del offered[address]
            else:
                offered[address] = offer
    last = dict(history)

    assert offered.keys() == {address for offers in last.values() for address in offers}
    assert all(any(offer == offers.get(address) for offers in last.values()) for address, offer in offered.items())
    assert all(board.renew(key, offers) == {} for key, offers in last.items())


def test_the_profiles_are_documented(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` names each and its heartbeat; another is refused."""
    with pytest.raises(SystemExit):
        main(["--help"])
    said = " ".join(capsys.readouterr().out.split())

    assert all(f"{name}: " in said and f"{seconds * 1000:.0f}ms" in said for name, (seconds, _) in PROFILES.items())
    with pytest.raises(SystemExit):
        main(["--node=n1", "--profile=faster"])
