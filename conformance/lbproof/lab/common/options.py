"""Options of providers that boot a cluster of a chosen shape, and the topology that they describe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lbproof.lab.base import Topology
from lbproof.lab.option import Option

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
CLUSTER = (WORKERS, PROXY_MODE, PROXY_ARG, API_PORT)


def shape(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `Topology` from the values of `CLUSTER`, by their keys."""
    return {option.key: options[option.key] for option in (WORKERS, PROXY_MODE, PROXY_ARG)}
