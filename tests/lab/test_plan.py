"""Which node has which name and address: the article's cluster for any number of workers."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest

from lbproof.lab.base import LabError, Role, Topology
from lbproof.lab.netns import plan
from lbproof.spec.families import Family, family_of
from lbproof.witnesses.ndp import solicited_node


def test_the_default_is_the_article_s_cluster() -> None:
    """Names and addresses are those of the article, control plane first."""
    nodes = [place.node for place in plan.places(Topology())]

    assert [(node.name, str(node.address)) for node in nodes] == [
        ("m01", "192.168.172.141"),
        ("w01", "192.168.172.151"),
        ("w02", "192.168.172.152"),
        ("w03", "192.168.172.153"),
    ]
    assert [node.role for node in nodes] == [Role.CONTROL_PLANE, Role.WORKER, Role.WORKER, Role.WORKER]


def test_both_addresses_of_a_host_read_like_its_number() -> None:
    """On the segment and among the pods; without IPv4 the hardware address is still that of the number."""
    both, *_, alone = (
        plan.places(Topology(workers=11, families=families))[-1] for families in (tuple(Family), (Family.IPV6,))
    )

    assert list(map(str, both.node.addresses)) == ["192.168.172.3", "fd00:192:168:172::3"]
    assert list(map(str, both.pod_addresses(254))) == ["10.244.11.254", "fd00:10:244:11::254"]
    assert list(map(str, both.pod_ranges)) == ["10.244.11.0/24", "fd00:10:244:11::/64"]
    assert list(map(str, alone.node.addresses)) == ["fd00:192:168:172::3"]
    assert (alone.node.mac, alone.pod_mac(254)) == ("02:00:c0:a8:ac:03", "02:00:0a:f4:0b:fe")


def test_a_hardware_address_holds_its_ipv4_address() -> None:
    """A frame names its sender."""
    assert plan.mac_of(IPv4Address("192.168.172.152")) == "02:00:c0:a8:ac:98"


@pytest.mark.parametrize("workers", [0, 3, 9, 10, 170])
def test_no_address_is_given_twice_and_none_of_a_pool_is_taken(workers: int) -> None:
    """Nodes, pools, the client and the router are all apart, and all on the segment."""
    topology = Topology(workers=workers)
    segment = plan.LAN.segment("lan", topology.families)
    nodes = [address for place in plan.places(topology) for address in place.node.addresses]
    around = [address for number in (plan.CLIENT, plan.ROUTER) for address in plan.LAN.hosts(number, topology.families)]
    everyone = [*nodes, *segment.free, *segment.same_solicited_node, *around]

    assert len(nodes) == 2 * (workers + 1)
    assert len(set(everyone)) == len(everyone)
    assert all(one in segment.subnet_for(family_of(one)) for one in everyone)
    assert [len(segment.free_for(family)) for family in Family] == [80, 218]


def test_some_free_addresses_of_ipv6_are_of_one_group() -> None:
    """They differ above their last 24 bits; IPv4 has no such groups."""
    found = plan.LAN.segment("lan", tuple(Family)).same_solicited_node
    (group,) = {solicited_node(address) for address in found if isinstance(address, IPv6Address)}

    assert str(group) == "ff02::1:ff00:255"
    assert len(found) == len(set(found)) == 8
    assert not plan.LAN.segment("lan", [Family.IPV4]).same_solicited_node


def test_more_workers_than_addresses_are_refused() -> None:
    """One line says how many there may be."""
    with pytest.raises(LabError, match="1000 workers: the netns lab has room for 0 to 170"):
        plan.places(Topology(workers=1000))


def test_interface_names_fit_the_kernel() -> None:
    """Linux allows 15 characters."""
    assert all(len(place.port) <= 15 for place in plan.places(Topology(workers=170)))
