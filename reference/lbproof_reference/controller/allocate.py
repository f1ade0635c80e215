"""Allocate addresses of pools to Services. Pure: no clock, client or socket.

A Service keeps its address until it is deleted, requests another one, or the address becomes a node's, whatever
happens to the pools; only if it names a pool while another one has its address, it moves to the former. An address that
it left goes to another Service only when the caller says so, because its status may still show it. The lowest free
address of a pool is found without a scan of the pool.

Services share an address by one key (`metallb.io/allow-shared-ip`) if they have different ports and the policy Cluster,
or the same backends. One that is edited so that it does not agree with the others any more leaves the address to them.

A dual-stack Service has an address of each family, each kept by itself and each from the first pool that has one free.
With RequireDualStack it gets both or none; with PreferDualStack what there is, and the other one as soon as it can
(KEP-563).
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lbproof_reference.kube import labels_of
from lbproof_reference.pools import IP, Pool, build_index, ip_from_int, parse_ip, pool_holding
from lbproof_reference.services import annotation, families

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from lbproof_reference.kube import Object


_MOST_AVAILABLE = 2**63 - 1
"""Largest integer of the API (int64)."""


class AllocationError(Exception):
    """Address request that cannot be met now; the message is shown to the Service's author."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """How a Service uses an address; without a key, alone."""

    key: str = ""
    backend: str = ""
    """Where its traffic goes with the policy Local; empty with Cluster, where it is the same on every node."""
    ports: frozenset[tuple[str, int]] = frozenset()
    """Protocols and numbers."""

    def conflict_with(self, other: Sharing) -> str | None:
        """Return why this Service cannot join the other one, or None."""
        if not other.key:
            return "it does not allow sharing"
        if not self.key:
            return "this Service does not allow sharing"
        if self.key != other.key:
            return f"sharing key {self.key!r} is not {other.key!r}"
        if self.backend != other.backend:
            return "the external traffic policy is not Cluster for both, and their backends are not the same"
        for protocol, port in sorted(self.ports & other.ports):
            return f"port {protocol}/{port} is in use"
        return None


ALONE = Sharing()


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressRequest:
    """Address family that a Service requests and, optionally, an address or a pool."""

    key: str
    family: int = 4
    requested_ip: IP | None = None
    pool: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    """Labels of the Service, by which pools select it."""
    sharing: Sharing = ALONE
    is_optional: bool = False
    """Whether an address of the other family is enough."""
    second: AddressRequest | None = None
    """Request of a dual-stack Service for its other family."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """Address and the pool that contains it, or the last one that did; empty if none ever did."""

    ip: IP
    pool: str


def read_address_request(key: str, service: Object) -> AddressRequest:
    """Read a Service's request, for its first family. Raises AllocationError if it is contradictory or malformed."""
    spec = service["spec"]
    field, text = spec.get("loadBalancerIP"), annotation(service, "loadBalancerIPs")
    if field and text and field != text:
        raise AllocationError(f"spec.loadBalancerIP {field!r} and annotation loadBalancerIPs {text!r} disagree")
    asked = _parse_addresses(text or field or "")
    wanted = families(service)
    other = next((ip for ip in asked.values() if ip.version not in wanted), None)  # refused as it is allocated
    is_optional = spec.get("ipFamilyPolicy") == "PreferDualStack"

    def request(family: int, *others: int) -> AddressRequest:
        return AddressRequest(
            key=key,
            family=family,
            requested_ip=other or asked.get(family),
            pool=annotation(service, "address-pool"),
            labels=labels_of(service),
            sharing=read_sharing(key, service),
            is_optional=is_optional and family not in asked,
            second=request(*others) if others else None,
        )

    return request(*wanted)


def _parse_addresses(text: str) -> dict[int, IP]:
    """Return the requested addresses by family, at most one of each. Raises AllocationError."""
    found: dict[int, IP] = {}
    for one in text.split(",") if text else ():
        try:
            ip = parse_ip(one.strip())
        except ValueError as error:
            raise AllocationError(f"invalid request {text!r}: not an IP address") from error
        if found.setdefault(ip.version, ip) != ip:
            raise AllocationError(f"invalid request {text!r}: two addresses of IPv{ip.version}")
    return found


def read_sharing(key: str, service: Object) -> Sharing:
    """Read how a Service shares its address. With the policy Local, only with Services of the same Pods."""
    spec, share = service["spec"], annotation(service, "allow-shared-ip")
    if not share:
        return ALONE
    backend = ""
    if spec.get("externalTrafficPolicy") == "Local":
        selector = spec.get("selector")
        backend = f"{key.partition('/')[0]} {sorted(selector.items())}" if selector else key
    ports = frozenset((port.get("protocol", "TCP"), port["port"]) for port in spec.get("ports") or [])
    return Sharing(key=share, backend=backend, ports=ports)


class FreeList:
    """Free addresses of one family in one pool, lowest first."""

    def __init__(self, pool: Pool, family: int, excluded: Collection[IP] = ()) -> None:
        """Start with every address of the pool that is of `family` (4 or 6) and not excluded."""
        self.pool, self._family, self._excluded = pool, family, excluded
        ranges = [address_range for address_range in pool.ranges if address_range.family == family]
        self._unused = (number for one in ranges for number in range(one.first, one.last + 1))
        self._used = -1  # the last number that `_unused` returned
        self._returned: list[int] = []  # of those up to `_used`, sorted

    def put_back(self, number: int) -> None:
        """Return a released address to the list."""
        at = bisect_left(self._returned, number)
        if number <= self._used and self._returned[at : at + 1] != [number]:
            self._returned.insert(at, number)

    def take(self, held: Collection[IP]) -> IP | None:
        """Remove and return the lowest address that is assignable and not in `held`; None when the list is empty."""
        while (number := self._next()) is not None:
            ip = ip_from_int(self._family, number)
            if ip not in held and ip not in self._excluded and self.pool.is_assignable(self._family, number):
                return ip
        return None

    def _next(self) -> int | None:
        if self._returned:
            return self._returned.pop(0)
        if (number := next(self._unused, None)) is not None:
            self._used = number
        return number


class Allocator:
    """Assigns addresses to Services; in-memory state without side effects."""

    def __init__(self, pools: Iterable[Pool] = ()) -> None:
        """Start without allocations."""
        self.holder: dict[IP, str] = {}
        """The first of the Services that have an address."""
        self._sharers: dict[IP, dict[str, Sharing]] = {}
        """All Services that have an address, if they share it or would."""
        self._allocations: dict[str, dict[IP, str]] = {}  # by Service, the current address of a family last; its pool
        self.set_pools(pools)

    def allocations(self) -> dict[str, tuple[Allocation, ...]]:
        """Return the current allocations of each Service that has one, IPv4 first."""
        return {
            key: tuple(one for family in (4, 6) if (one := self.allocation_of(key, family)))
            for key in self._allocations
        }

    def allocation_of(self, key: str, family: int | None = None) -> Allocation | None:
        """Return the current allocation of a Service (of this family, if one is given), or None."""
        found = self._allocations.get(key, {})
        ip = next((ip for ip in reversed(found) if family in (None, ip.version)), None)
        return None if ip is None else Allocation(ip=ip, pool=found[ip])

    def set_pools(self, pools: Iterable[Pool], of_nodes: Collection[IP] = ()) -> None:
        """Replace the pools, and the addresses of nodes, which are not assigned; existing allocations are kept."""
        self._pools = {pool.name: pool for pool in pools}
        automatic = [pool for pool in self._pools.values() if pool.auto_assign]
        self._for_all = [pool.name for pool in automatic if pool.scope is None]
        self._for_some = sorted((pool.scope.order, pool.name) for pool in automatic if pool.scope)
        self._of_nodes = frozenset(of_nodes)
        self._free_lists = {
            (name, family): FreeList(pool, family, self._of_nodes)
            for name, pool in self._pools.items()
            for family in (4, 6)
        }
        self._index = build_index(self._pools.values())
        for found in self._allocations.values():
            found |= {ip: self.pool_holding(ip) or pool for ip, pool in found.items()}

    def pool_of(self, ip: IP) -> str | None:
        """Return the pool that may assign this address, or None."""
        name = self.pool_holding(ip)
        return name if name is not None and self._pools[name].is_assignable(ip.version, int(ip)) else None

    def pool_holding(self, ip: IP) -> str | None:
        """Return the pool that contains this address, even if it may not be assigned; None if no pool does."""
        return pool_holding(ip, self._index)

    def usage(self) -> dict[str, dict[str, int]]:
        """Return the status of each pool: addresses that are assigned and that are available, for each family."""
        found: dict[str, dict[str, int]] = {}
        for name, pool in self._pools.items():
            found[name] = {f"assignedIPv{family}": 0 for family in (4, 6)}
            found[name] |= {f"availableIPv{family}": min(pool.size(family), _MOST_AVAILABLE) for family in (4, 6)}
        for ip in self.holder.keys() | self._of_nodes:
            if holding := self.pool_holding(ip):
                found[holding][f"assignedIPv{ip.version}"] += ip in self.holder
                found[holding][f"availableIPv{ip.version}"] -= self.pool_of(ip) is not None
        return found

    def allows(self, pool: str, request: AddressRequest) -> bool:
        """Whether a pool serves the Service of a request; one that does not exist any more refuses nobody."""
        found = self._pools.get(pool)
        return found is None or found.allows(request.key.partition("/")[0], request.labels)

    def is_of_node(self, ip: IP) -> bool:
        """Whether this is the address of a node."""
        return ip in self._of_nodes

    def sharing_of(self, key: str) -> Sharing:
        """Return how a Service shares its current address."""
        ip = next(reversed(self._allocations.get(key, {})), None)
        return ALONE if ip is None else self._sharers.get(ip, {}).get(key, ALONE)

    def conflict(self, key: str, ip: IP, sharing: Sharing) -> str | None:
        """Return why a Service that shares so cannot have an address that others have, or None."""
        if (first := self.holder.get(ip, key)) == key and ip not in self._sharers:
            return None
        for other, theirs in self._sharers.get(ip, {first: ALONE}).items():
            if other != key and (why := sharing.conflict_with(theirs)):
                return f"in use by {other}: {why}"
        return None

    def assign(self, key: str, ip: IP, pool: str = "", sharing: Sharing = ALONE) -> bool:
        """Assign an address; `pool` is its last pool if none contains it. Return False if others hold it.

        A former address of the Service stays reserved until `release`.
        """
        if (self.holder.setdefault(ip, key) != key or ip in self._sharers) and self.conflict(key, ip, sharing):
            return False
        if sharing.key:
            self._sharers.setdefault(ip, {})[key] = sharing
        else:
            self._sharers.pop(ip, None)
        found = self._allocations.setdefault(key, {})
        before = found.pop(ip, pool)
        found[ip] = self.pool_holding(ip) or before
        return True

    def release(self, key: str, keep: Collection[IP] = ()) -> list[IP]:
        """Release and return the addresses of a Service but those to keep.

        If that includes the current one, a former one of its family that is kept is current again.
        """
        found = self._allocations.get(key, {})
        released = [ip for ip in found if ip not in keep]
        for ip in released:
            del found[ip]
            others = {other: sharing for other, sharing in self._sharers.pop(ip, {}).items() if other != key}
            if others:
                self._sharers[ip], self.holder[ip] = others, next(iter(others))
                continue
            del self.holder[ip]
            if name := self.pool_of(ip):
                self._free_lists[name, ip.version].put_back(int(ip))
        if not found:
            self._allocations.pop(key, None)
        return released

    def allocate_all(self, request: AddressRequest) -> list[Allocation]:
        """Meet a request and its second one, if they are not optional; else at least one. AllocationError as below."""
        before = dict(self._allocations.get(request.key, {}))
        found, errors = list[Allocation](), list[AllocationError]()
        one: AddressRequest | None = request
        while one:
            try:
                found.append(self.allocate(one))
            except AllocationError as error:
                errors.append(error)
                if not one.is_optional:
                    break
            one = one.second
        if one or not found:
            self.release(request.key, keep=before)
            if before:
                self._allocations[request.key] = before
            raise AllocationError("; ".join(map(str, errors)))
        return found

    def allocate(self, request: AddressRequest) -> Allocation:
        """Return the current address if it meets the request, else allocate one. AllocationError changes nothing."""
        held = self.allocation_of(request.key, request.family)
        if request.requested_ip is not None:
            ip = self._allocate_requested(request, request.requested_ip)
        elif (
            held is not None
            and held.ip not in self._of_nodes
            and request.pool in (None, held.pool)
            and not self.conflict(request.key, held.ip, request.sharing)
        ):
            ip = held.ip
        else:
            ip = self._allocate_any(request)
        self.assign(request.key, ip, sharing=request.sharing)
        return Allocation(ip=ip, pool=self._allocations[request.key][ip])

    def _allocate_requested(self, request: AddressRequest, ip: IP) -> IP:
        if ip.version != request.family:
            raise AllocationError(
                f'requested address "{ip}" does not match the IPv{request.family} family of the Service'
            )
        if ip in self._of_nodes:
            raise AllocationError(f'requested address "{ip}" is the address of a node')
        if why := self.conflict(request.key, ip, request.sharing):
            raise AllocationError(f'requested address "{ip}" is {why}')
        held = self._allocations.get(request.key, {})
        pool = held.get(ip, self.pool_of(ip))
        if pool is None:
            raise AllocationError(f'"{ip}" is not allowed in config: it is in no pool')
        if ip not in held and not self.allows(pool, request):
            raise AllocationError(f'requested address "{ip}": pool "{pool}" is not for this Service')
        if request.pool is not None and pool != request.pool:
            raise AllocationError(f'requested address "{ip}" is not in the requested pool {request.pool!r}')
        return ip

    def _allocate_any(self, request: AddressRequest) -> IP:
        if request.pool is not None and request.pool not in self._pools:
            raise AllocationError(f"unknown pool {request.pool!r}")
        if request.pool is not None and not self.allows(request.pool, request):
            raise AllocationError(f'pool "{request.pool}" is not for this Service')
        names = [request.pool] if request.pool else self._eligible(request)
        if request.sharing.key and (shared := self._shared_by_key(request, names)) is not None:
            return shared
        for name in names:
            if (ip := self._free_lists[name, request.family].take(self.holder)) is not None:
                return ip
        raise AllocationError(
            f"no available IPs: no free IPv{request.family} address in pools: {', '.join(names) or 'none'}"
        )

    def _eligible(self, request: AddressRequest) -> list[str]:
        """Return the automatic pools that serve a Service, in the order in which they are tried."""
        return [*(name for _, name in self._for_some if self.allows(name, request)), *self._for_all]

    def _shared_by_key(self, request: AddressRequest, names: list[str]) -> IP | None:
        """Return the first address in pools that other Services share and this one may join, or None."""
        found: list[tuple[int, IP]] = []
        for ip, sharers in self._sharers.items():
            if ip.version == request.family and ip not in self._of_nodes and sharers.keys() - {request.key}:
                pool = self.pool_of(ip)
                if pool in names and not self.conflict(request.key, ip, request.sharing):
                    found.append((names.index(pool), ip))
        return min(found, default=(0, None))[1]
