"""Which Service has which address: pure functions over objects of the API. Addresses are numbers."""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network
from itertools import chain
from typing import Any, NamedTuple

ASK = "acme.example/address"


class Service(NamedTuple):
    """What matters of a Service, in the order of age."""

    created: str
    uid: str
    path: str
    version: str
    ours: bool
    shown: tuple[int, ...]
    """Addresses in its status."""
    asked: int
    """Address that its annotation asks for, 0 without one, -1 for what is not an IPv4 address."""


def service(raw: dict[str, Any]) -> Service:
    meta, spec = raw["metadata"], raw["spec"]
    ingress = raw.get("status", {}).get("loadBalancer", {}).get("ingress", [])
    return Service(
        created=meta["creationTimestamp"],
        uid=meta["uid"],
        path=f"/api/v1/namespaces/{meta['namespace']}/services/{meta['name']}",
        version=meta["resourceVersion"],
        ours=spec["type"] == "LoadBalancer" and not spec.get("loadBalancerClass") and "IPv4" in spec["ipFamilies"],
        shown=tuple(number(row.get("ip", "")) for row in ingress),
        asked=number(meta.get("annotations", {}).get(ASK, "")),
    )


def number(text: str) -> int:
    try:
        return int(IPv4Address(text.strip() or 0))
    except ValueError:
        return -1


def read_pools(data: Mapping[str, str]) -> tuple[list[range], list[str]]:
    """Return the blocks of the pools that are well-formed, and a line for each pool that is not."""
    blocks, errors = [], []
    for name, text in sorted(data.items()):
        try:
            blocks += [block(part.strip()) for part in text.split(",")]
        except ValueError as error:
            errors.append(f"{name}: {error}")
    return blocks, errors


def block(text: str) -> range:
    """Return the addresses of `192.0.2.64/28`, `192.0.2.10-192.0.2.19` or `192.0.2.1`. Raises ValueError."""
    if "-" in text:
        first, last = (IPv4Address(end.strip()) for end in text.split("-", 1))
    else:
        network = IPv4Network(text)
        first, last = network[0], network[-1]
    if first > last:
        raise ValueError(f"{text} ends before it begins")
    for end in (first, last):
        if end.is_unspecified or end.is_loopback or end.is_multicast or end.is_reserved:
            raise ValueError(f"{text}: {end} is not the address of a host")
    return range(int(first), int(last) + 1)


def assign(services: Sequence[Service], blocks: Sequence[range], *, complete: bool) -> dict[Service, int]:
    """Return the address of each Service of ours, 0 for none.

    `complete`: all pools are known. Otherwise nobody loses an address, since it may be of a pool that is not known.
    An address in any status is free only when the status is seen without it, so that it never has two holders.
    """
    ours = sorted(one for one in services if one.ours)
    taken = {address for one in services for address in one.shown}
    kept = {address for one in services if not one.ours for address in one.shown}
    given = dict.fromkeys(ours, 0)
    for one in ours:
        for address in one.shown[:1]:
            explained = not complete or any(address in numbers for numbers in blocks)
            if explained and address not in kept and one.asked in (0, address):
                given[one] = address
                kept.add(address)
    free = (address for address in chain(*blocks) if address not in taken)
    for one in sorted(ours, key=lambda one: not one.asked):  # first those that cannot take another one
        if not given[one]:
            address = one.asked or next(free, 0)
            if address not in taken and any(address in numbers for numbers in blocks):
                given[one] = address
                taken.add(address)
    return given
