"""What an adapter may put on each LoadBalancer of the suite: annotations, labels, and fields that no check sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypedDict, cast

from lbproof.adapters.syntax import check_key
from lbproof.adapters.typecheck import check_value

_Policy = Literal["Cluster", "Local"]
_Texts = Mapping[str, str]


class _Metadata(TypedDict, total=False):
    labels: _Texts
    annotations: _Texts


class _Spec(TypedDict, total=False):
    """Fields of `v1` ServiceSpec, without ports, selector and addresses, which are the suite's."""

    allocateLoadBalancerNodePorts: bool
    externalTrafficPolicy: _Policy
    internalTrafficPolicy: _Policy
    ipFamilies: list[Literal["IPv4", "IPv6"]]
    ipFamilyPolicy: Literal["SingleStack", "PreferDualStack", "RequireDualStack"]
    loadBalancerClass: str
    loadBalancerSourceRanges: list[str]
    publishNotReadyAddresses: bool
    sessionAffinity: Literal["None", "ClientIP"]
    sessionAffinityConfig: Mapping[Literal["clientIP"], Mapping[Literal["timeoutSeconds"], int]]
    trafficDistribution: str
    type: Literal["LoadBalancer"]


class _OptIn(TypedDict, total=False):
    metadata: _Metadata
    spec: _Spec


def check_opt_in(value: Mapping[str, Any], place: str) -> None:
    """Raise `BadOption` or `UnknownName` for a part that is wrong or that would have no effect."""
    check_value(value, _OptIn, place)
    given = cast("_OptIn", value)
    for name, keys in given.get("metadata", {}).items():
        for key in cast("_Texts", keys):
            check_key(key, f"a key of {place}.metadata.{name}")
    if "loadBalancerClass" in (spec := given.get("spec", {})):
        check_key(spec["loadBalancerClass"], f"{place}.spec.loadBalancerClass")
