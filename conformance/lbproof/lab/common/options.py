"""Options of providers that boot a cluster of a chosen shape, and the topology that they describe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lbproof.lab.base import Topology
from lbproof.lab.option import Option
from lbproof.spec.families import Family

if TYPE_CHECKING:
    from collections.abc import Mapping

WORKERS = Option(
    name="workers", metavar="N", type=int, default=Topology().workers, least=1, most=50, help="worker nodes of the lab"
)
PROXY_MODE = Option(
    name="proxy-mode",
    metavar="MODE",
    default=Topology().proxy_mode,
    choices=("iptables", "nftables", "none"),
    help="mode of kube-proxy: iptables, nftables, none",
)
PROXY_ARG = Option(
    name="proxy-arg", metavar="FLAG", many=True, config_key="proxy_args", help="another flag for kube-proxy; repeatable"
)
API_PORT = Option(
    name="api-port",
    metavar="PORT",
    type=int,
    default=0,
    default_text="a free one",
    least=0,
    most=65535,
    one_lab="a port leads to one lab",
    help="port of this machine that leads to the API",
)
FAMILIES = Option(
    name="families",
    metavar="FAMILIES",
    default="ipv4,ipv6",
    choices=("ipv4,ipv6", "ipv4", "ipv6"),
    help="address families of nodes, pods and Services: ipv4,ipv6, or ipv4 or ipv6 alone",
    doctor=True,
)
CLUSTER = (WORKERS, PROXY_MODE, PROXY_ARG, FAMILIES, API_PORT)


def families(options: Mapping[str, Any]) -> tuple[Family, ...]:
    """Return the value of `FAMILIES`, its default when it is not given."""
    return tuple(Family[name.upper()] for name in str(options.get(FAMILIES.key, FAMILIES.default)).split(","))


def shape(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `Topology` from the values of `CLUSTER`, by their keys."""
    made = {option.key: options[option.key] for option in (WORKERS, PROXY_MODE, PROXY_ARG)}
    return made | {"families": families(options)}
