"""Which node has which name and address: the article's cluster for any number of workers."""

from __future__ import annotations

import ipaddress

import pytest

from lbproof.lab.base import LabError, Role, Topology
from lbproof.lab.netns import plan


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


def test_a_hardware_address_holds_its_ipv4_address() -> None:
    """A frame names its sender."""
    assert plan.mac_of("192.168.172.152") == "02:00:c0:a8:ac:98"


@pytest.mark.parametrize("workers", [0, 3, 9, 10, 170])
def test_no_address_is_given_twice_and_none_of_a_pool_is_taken(workers: int) -> None:
    """Nodes, pools, the client and the router are all apart, and all on the segment."""
    nodes = [place.node.address for place in plan.places(Topology(workers=workers))]
    around = [ipaddress.ip_address(one) for one in (plan.CLIENT, plan.ROUTER)]
    everyone = [*nodes, *plan.SEGMENT.free, *around]

    assert len(nodes) == workers + 1
    assert len(set(everyone)) == len(everyone)
    assert all(one in plan.SEGMENT.subnets[0] for one in everyone)


def test_more_workers_than_addresses_are_refused() -> None:
    """One line says how many there may be."""
    with pytest.raises(LabError, match="1000 workers: the netns lab has room for 0 to 171"):
        plan.places(Topology(workers=1000))


def test_interface_names_fit_the_kernel() -> None:
    """Linux allows 15 characters."""
    assert all(len(place.port) <= 15 for place in plan.places(Topology(workers=171)))
