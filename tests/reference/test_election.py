"""Election, plan and heartbeat, as properties over any order of messages."""

from __future__ import annotations

import ipaddress
from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbproof_reference.speaker.elect import Claim, Station, elect
from lbproof_reference.speaker.heartbeat import (
    LISTED,
    SUBNET_BYTES,
    Chunks,
    Echo,
    Heartbeat,
    InvalidHeartbeatError,
    decode,
    encode,
    key_id,
    origin,
    relayed,
    subnet_bytes,
)
from lbproof_reference.speaker.plan import Allowed, Hearing, Offer, PeerView, SegmentView, Subnet, plan, reaches

NODES = tuple(Station(node, "eth0") for node in ("n1", "n2", "n3", "n4"))
ME, PEER = NODES[:2]
ADDRESSES = [bytes([10, 0, 0, number]) for number in range(12)]
SUBNETS: tuple[Subnet, ...] = ((bytes([10, 0, 0, 0]), 24),)
KEY = b"sixteen bytes or more"
EPOCHS = st.integers(0, 9)
CLAIMS = st.builds(Claim, standing=st.integers(0, 4), epoch=EPOCHS)
HELD = st.dictionaries(st.sampled_from(ADDRESSES), CLAIMS)
WORLD = st.dictionaries(st.sampled_from(NODES), HELD, min_size=1)
RELAYED = 12
"""Offset of the mark of a relayed copy."""
PACKED = st.one_of([st.binary(min_size=size, max_size=size) for size in (4, 16)])
NETWORKS = st.one_of(
    st.builds(ipaddress.IPv4Network, st.tuples(st.integers(0, 2**32 - 1), st.integers(1, 31)), st.just(value=False)),
    st.builds(ipaddress.IPv6Network, st.tuples(st.integers(0, 2**128 - 1), st.integers(1, 127)), st.just(value=False)),
)
SEVERAL = st.lists(NETWORKS, max_size=8).map(
    lambda nets: tuple((net.network_address.packed, net.prefixlen) for net in sorted(nets, key=lambda n: n.version))
)
HEARTBEATS = st.builds(
    Heartbeat,
    station=st.builds(Station, st.text(st.characters(codec="utf-8"), max_size=40), st.text("eth0", max_size=15)),
    mac=st.binary(min_size=6, max_size=6),
    session=st.integers(0, 2**32 - 1),
    sequence=st.integers(0, 2**31 - 1),
    dead_interval_ms=st.integers(1, 65535),
    heard=st.dictionaries(
        st.integers(0, 2**32 - 1),
        st.builds(Echo, st.integers(0, 2**31 - 1), st.booleans()),
        max_size=LISTED,
    ),
    subnets=SEVERAL,
    elsewhere=SEVERAL,
    chunk=st.integers(0, 65535),
    claims=st.dictionaries(PACKED, CLAIMS, max_size=20),
    leaving=st.booleans(),
    receives=st.booleans(),
    outdated=st.booleans(),
)


def offer(*nodes: str, interfaces: frozenset[str] | None = None) -> Offer:
    """Return the offer of one advertisement."""
    return Offer(service="ns/a", allowed=(Allowed(nodes=frozenset(nodes), interfaces=interfaces),))


WANTED = dict.fromkeys(ADDRESSES, offer(*(station.node for station in NODES)))


def view(me: Station = ME, **fields: Any) -> SegmentView:  # noqa: ANN401
    """Return the view of a station that desires all addresses and claims none."""
    some = {"desired": WANTED, "claims": {}, "peers": {}, "epochs": {}, "subnets": SUBNETS, "addresses": ADDRESSES}
    return SegmentView(me=me, **(some | fields))


def peer(**fields: Any) -> PeerView:  # noqa: ANN401
    """Return the view of a peer that can announce."""
    return PeerView(**({"subnets": SUBNETS} | fields))


@given(st.sampled_from(ADDRESSES), st.permutations(NODES), st.dictionaries(st.sampled_from(NODES), CLAIMS))
def test_all_speakers_elect_the_same(address: bytes, order: list[Station], claims: dict[Station, Claim]) -> None:
    """The result depends on candidates and claims, not on their order."""
    assert elect(address, order, claims) == elect(address, NODES, claims)


@given(st.sampled_from(ADDRESSES), st.sampled_from(NODES))
def test_the_loss_of_another_moves_nothing(address: bytes, lost: Station) -> None:
    """Without claims, only the addresses of the lost node move."""
    winner = elect(address, NODES, {})
    left = [node for node in NODES if node != lost]

    assert winner == lost or elect(address, left, {}) == winner


def test_an_incumbent_keeps_its_address() -> None:
    """A node with a claim keeps the address against nodes of any score."""
    for address in ADDRESSES:
        for holder in NODES:
            assert elect(address, NODES, {holder: Claim(standing=1, epoch=1)}) == holder


@given(WORLD)
def test_stations_that_hear_each_other_end_with_one_announcer(world: dict[Station, dict[bytes, Claim]]) -> None:
    """From any claims, two rounds of exchange and planning result in one announcer per address."""
    for _ in range(2):
        heard = {station: peer(claims=dict(held)) for station, held in world.items()}
        for station, mine in world.items():
            todo = plan(view(station, claims=mine, peers={n: o for n, o in heard.items() if n != station}))
            world[station] = {a: c for a, c in mine.items() if a not in todo.withdraw} | dict(todo.acquire)

    for address in ADDRESSES:
        assert sum(address in held for held in world.values()) == 1


@given(st.dictionaries(st.sampled_from(NODES[1:]), st.builds(Claim, standing=st.just(0), epoch=EPOCHS), min_size=1))
def test_of_stations_that_may_not_announce_the_best_claim_is_kept(claims: dict[Station, Claim]) -> None:
    """All that claim an address withdraw, but one that defends it and waits for the winner that has not claimed yet."""
    address = ADDRESSES[0]
    desired = {address: offer(ME.node)}
    kept = []
    for station, own in claims.items():
        peers = {other: peer(claims={address: claim}) for other, claim in claims.items() if other != station}
        todo = plan(view(station, desired=desired, claims={address: own}, peers=peers | {ME: peer()}))
        assert todo.awaits == {address: ME}
        assert todo.defend == (() if todo.withdraw or len(claims) == 1 else (address,))
        kept += [] if todo.withdraw else [station]

    assert kept == [elect(address, claims, claims)]


@given(
    WORLD,
    st.fixed_dictionaries({station: st.sets(st.sampled_from(NODES)) for station in NODES}),
    st.sets(st.sampled_from(NODES)),
)
def test_stations_that_differ_on_who_may_announce_end_with_one_announcer(
    world: dict[Station, dict[bytes, Claim]], views: dict[Station, set[Station]], outdated: set[Station]
) -> None:
    """From any claims and views, and with any outdated lists, eight rounds leave each address at most one announcer.

    There is one if a station may announce it in its own view, as none is awaited for ever, and nothing changes any
    more. An announcer with outdated lists gives way to a station with current ones, by which it may not announce.
    """
    for _ in range(8):
        before = {station: dict(held) for station, held in world.items()}
        for station, mine in before.items():
            peers = {other: peer(claims=held, outdated=other in outdated) for other, held in before.items()}
            del peers[station]
            desired = dict.fromkeys(ADDRESSES, offer(*(allowed.node for allowed in views[station])))
            todo = plan(
                view(
                    station, claims=mine, peers=peers, desired=desired, outdated=station in outdated,
                    passed_over=dict.fromkeys(ADDRESSES, len(NODES)),
                )
            )  # fmt: skip
            world[station] = {a: c for a, c in mine.items() if a not in todo.withdraw} | dict(todo.acquire)
            world[station] |= {a: world[station][a]._replace(standing=0) for a in todo.lower if a in world[station]}

    assert world == before
    able = [station for station in world if station in views[station]]
    for address in ADDRESSES:
        holders = [station for station in world if address in world[station]]
        assert len(holders) == bool(able)
        for station in set(able) - outdated:
            assert not outdated.intersection(holders) - views[station]


@given(WORLD)
def test_a_listener_takes_nothing(world: dict[Station, dict[bytes, Claim]]) -> None:
    """A listening station acquires nothing, whatever others claim."""
    others = {station: peer(claims=held) for station, held in world.items()}

    assert plan(view(Station("me", "eth0"), peers=others, listening=True)).acquire == {}


def test_one_that_leaves_is_silent_only_after_its_successor_speaks() -> None:
    """A leaving station withdraws only addresses that a successor claims."""
    mine = {ADDRESSES[0]: Claim(standing=2, epoch=1), ADDRESSES[1]: Claim(standing=2, epoch=1)}
    successor = peer(claims={ADDRESSES[0]: Claim(standing=1, epoch=2)})

    assert plan(view(claims=mine, peers={PEER: successor}, leaving=True)).withdraw == (ADDRESSES[0],)


def test_only_named_nodes_and_interfaces_announce() -> None:
    """An offer for other nodes or interfaces is not acquired; a named interface needs no subnet with the address."""
    desired = {ADDRESSES[0]: offer("n1", interfaces=frozenset({"eth1"}))}

    assert plan(view(Station("n1", "eth0"), desired=desired)).acquire == {}
    assert plan(view(Station("n2", "eth1"), desired=desired)).acquire == {}
    assert plan(view(Station("n1", "eth1"), desired=desired, subnets=())).acquire.keys() == desired.keys()


def test_each_of_several_pairs_is_a_node_with_its_own_interface() -> None:
    """Two advertisements of a pool are alternatives: a node does not announce on what another one names."""
    pairs = (("n1", "eth0"), ("n2", "eth1"))
    allowed = tuple(Allowed(nodes=frozenset({node}), interfaces=frozenset({name})) for node, name in pairs)
    both = Offer(service="default/web", allowed=allowed)

    assert {(node, name) for node in ("n1", "n2") for name in ("eth0", "eth1") if both.allows(node, name)} == set(pairs)


ETH0 = frozenset({"eth0"})
ELSEWHERE: tuple[Subnet, ...] = ((bytes([10, 9, 0, 0]), 24), (bytes([10, 8, 0, 0]), 16))


@pytest.mark.parametrize(
    ("mine", "others", "announcers"),
    [
        (SUBNETS, SUBNETS, {ME, PEER}),
        (SUBNETS, ELSEWHERE, {ME}),
        (ELSEWHERE, SUBNETS, {PEER}),
        (ELSEWHERE, ELSEWHERE, {ME, PEER}),
    ],
    ids=["both", "peer-elsewhere", "me-elsewhere", "nobody-there"],
)
def test_a_station_without_the_subnet_is_no_candidate(
    mine: tuple[Subnet, ...], others: tuple[Subnet, ...], announcers: set[Station]
) -> None:
    """Only stations with a subnet of the address announce it, or all that are allowed if no station has one."""
    todo = plan(view(subnets=mine, peers={PEER: PeerView(subnets=others)}))
    found = ({ME} if todo.acquire else set()) | set(todo.awaits.values())

    assert found == announcers
    assert todo.acquire.keys() | todo.awaits.keys() == set(ADDRESSES)


def test_what_a_peer_reaches_by_another_interface_is_announced_there() -> None:
    """A station without the subnet of an address announces it if no node has it, on whatever segment."""
    peers = {PEER: PeerView(subnets=ELSEWHERE, elsewhere=SUBNETS)}
    todo = plan(view(subnets=ELSEWHERE, peers=peers))
    named = plan(view(subnets=ELSEWHERE, peers=peers, desired=dict.fromkeys(ADDRESSES, offer("n1", interfaces=ETH0))))

    assert not todo.acquire
    assert not todo.awaits
    assert named.acquire.keys() == set(ADDRESSES)


def test_one_that_was_passed_over_blocks_nothing() -> None:
    """A winner that was awaited too long is left out for that address."""
    waiting = plan(view(peers={PEER: peer()}))
    assert set(waiting.awaits.values()) == {PEER}

    after = plan(view(peers={PEER: peer()}, passed_over=dict.fromkeys(waiting.awaits, 1)))

    assert after.acquire.keys() == set(ADDRESSES)


@pytest.mark.parametrize("standing", [0, 5])
def test_a_deaf_peer_that_receives_is_yielded_to(standing: int) -> None:
    """A peer that cannot hear this station and receives other frames keeps what it claims, whatever the ranks."""
    address = ADDRESSES[0]
    deaf = peer(claims={address: Claim(standing=standing, epoch=1)}, hearing=Hearing.DEAF)
    mine = {address: Claim(standing=3, epoch=3)}

    assert plan(view(claims=mine, peers={PEER: deaf})).withdraw == (address,)


def test_a_deaf_peer_that_receives_nothing_takes_nothing() -> None:
    """A peer that shows no sign of receiving takes no address from this station, and keeps none."""
    address = ADDRESSES[0]
    broken = peer(claims={address: Claim(standing=5, epoch=5)}, hearing=Hearing.BROKEN)

    assert plan(view(claims={address: Claim(standing=1, epoch=1)}, peers={PEER: broken})).withdraw == ()
    assert address in plan(view(peers={PEER: broken})).acquire


@given(HEARTBEATS, st.lists(st.binary(min_size=16), min_size=1, max_size=2, unique=True))
def test_a_heartbeat_is_read_as_it_was_written(heartbeat: Heartbeat, keys: list[bytes]) -> None:
    """Decoding with either key returns the encoded heartbeat, also with Ethernet padding and as a relayed copy."""
    data = encode(heartbeat, keys) + bytes(20)

    assert origin(data) == (heartbeat.session, heartbeat.sequence)
    for key in keys:
        assert decode(data, [b"another key", key]) == heartbeat
        assert decode(relayed(data), [key]) == heartbeat._replace(relayed=True)


@given(HEARTBEATS, st.integers(0, 10_000), st.integers(1, 255))
def test_no_changed_byte_is_believed(heartbeat: Heartbeat, place: int, change: int) -> None:
    """A message with one changed byte, or of another Secret, is rejected; the mark of a relayed copy is not signed."""
    data = bytearray(encode(heartbeat, [KEY]))
    place %= len(data)
    data[place] ^= change

    with pytest.raises(InvalidHeartbeatError) if place != RELAYED else nullcontext():
        decode(bytes(data), [KEY])
    with pytest.raises(InvalidHeartbeatError):
        decode(encode(heartbeat, [b"wrong"]), [KEY])


@given(st.binary(max_size=200))
def test_noise_is_refused(data: bytes) -> None:
    """Random bytes are rejected with InvalidHeartbeatError, also behind the right magic and key ID."""
    for noise in (data, b"LBP5" + key_id(KEY) + data):
        with pytest.raises(InvalidHeartbeatError):
            decode(noise, [KEY])


@pytest.mark.parametrize(("size", "most"), [(4, 36), (16, 16)])
def test_the_longest_message_fits_a_frame(size: int, most: int) -> None:
    """A full chunk with the longest names, 64 sessions, many subnets and two keys is at most 1,280 bytes."""
    station = Station("n" * 253, "i" * 15)
    many = Chunks()
    for number in range(1000):
        many.put(number.to_bytes(size), Claim(standing=1, epoch=1))
    subnets = ((bytes(4), 24),) * 3 + ((bytes(16), 64),) * 6
    heartbeat = Heartbeat(
        station=station, mac=bytes(6), session=1, sequence=1, dead_interval_ms=1,
        heard=dict.fromkeys(range(LISTED), Echo(sequence=1, direct=True)),
        subnets=subnets, chunk=0, claims=many.pieces[0],
    )  # fmt: skip

    assert sum(len(subnet_bytes(subnet)) for subnet in subnets) == SUBNET_BYTES
    assert {len(piece) for piece in many.pieces[:-1]} == {most}
    assert 1230 < len(encode(heartbeat, [KEY, KEY + KEY])) <= 1280


def test_a_released_claim_makes_room_for_another() -> None:
    """A chunk takes claims of both families up to its size, and what was dropped leaves room for what comes."""
    chunks = Chunks()
    for number in range(36):
        chunks.put(number.to_bytes(4), Claim(standing=1, epoch=1))

    assert chunks.put(bytes(16), Claim(standing=1, epoch=1)) == 1
    assert {chunks.drop(number.to_bytes(4)) for number in range(3)} == {0}
    assert chunks.put(bytes(15) + b"\1", Claim(standing=1, epoch=1)) == 0
    assert chunks.put(bytes(4), Claim(standing=1, epoch=1)) == 1


@pytest.mark.parametrize(
    ("subnet", "address", "inside"),
    [
        ("fd00:1::/64", "fd00:1::7", True),
        ("fd00:1::/64", "fd00:1:0:1::7", False),
        ("fd00:1::/60", "fd00:1:0:f::7", True),
        ("::/0", "10.0.0.1", False),
        ("10.0.0.0/24", "::a00:1", False),
        ("0.0.0.0/0", "10.0.0.1", True),
    ],
)
def test_a_subnet_reaches_addresses_of_its_family(subnet: str, address: str, inside: bool) -> None:
    """A subnet reaches the addresses that it contains, and none of the other family."""
    network = ipaddress.ip_network(subnet)
    one = (network.network_address.packed, network.prefixlen)

    assert reaches((one,), ipaddress.ip_address(address).packed) is inside
