"""Election, plan and heartbeat, as properties over any order of messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbproof_reference.speaker.elect import Claim, elect
from lbproof_reference.speaker.heartbeat import CHUNK, Chunks, Heartbeat, InvalidHeartbeatError, decode, encode, is_news
from lbproof_reference.speaker.plan import Allowed, Offer, PeerView, SegmentView, plan
from lbproof_reference.speaker.segment import Segment

NODES = ("n1", "n2", "n3", "n4")
ADDRESSES = [bytes([10, 0, 0, number]) for number in range(6)]
CLAIMS = st.builds(Claim, standing=st.integers(0, 4), epoch=st.integers(0, 9))
HELD = st.dictionaries(st.sampled_from(ADDRESSES), CLAIMS)
WORLD = st.dictionaries(st.sampled_from(NODES), HELD, min_size=1)
WANTED = {address: Offer(service="ns/a", allowed=(Allowed(nodes=frozenset(NODES)),)) for address in ADDRESSES}
DEAD_INTERVAL = 0.15
HEARTBEATS = st.builds(
    Heartbeat,
    node=st.text(st.characters(codec="utf-8"), max_size=40),
    interface=st.text("eth0", max_size=15),
    boot=st.integers(0, 2**63),
    sequence=st.integers(0, 2**63),
    dead_interval_ms=st.integers(1, 65535),
    chunk=st.integers(0, 65535),
    claims=st.dictionaries(
        st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16), CLAIMS, max_size=48
    ),
    leaving=st.booleans(),
)


@given(st.sampled_from(ADDRESSES), st.permutations(NODES), st.dictionaries(st.sampled_from(NODES), CLAIMS))
def test_all_speakers_elect_the_same(address: bytes, order: list[str], claims: dict[str, Claim]) -> None:
    """The result depends on candidates and claims, not on their order."""
    assert elect(address, order, claims) == elect(address, NODES, claims)


@given(st.sampled_from(ADDRESSES), st.sampled_from(NODES))
def test_the_loss_of_another_moves_nothing(address: bytes, lost: str) -> None:
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
def test_speakers_that_hear_each_other_end_with_one_announcer(world: dict[str, dict[bytes, Claim]]) -> None:
    """From any claims, two rounds of exchange and planning result in one announcer per address."""
    for _ in range(2):
        heard = {node: PeerView(interface="eth0", claims=dict(held)) for node, held in world.items()}
        for node, mine in world.items():
            todo = plan(
                SegmentView(
                    me=node, interface="eth0", desired=WANTED, claims=mine,
                    peers={n: o for n, o in heard.items() if n != node}, epochs={},
                )
            )  # fmt: skip
            world[node] = {a: c for a, c in mine.items() if a not in todo.withdraw} | dict(todo.acquire)

    for address in ADDRESSES:
        assert sum(address in held for held in world.values()) == 1


@given(WORLD)
def test_a_listener_takes_nothing(world: dict[str, dict[bytes, Claim]]) -> None:
    """A listening speaker acquires nothing, whatever others claim."""
    others = {node: PeerView(interface="eth0", claims=held) for node, held in world.items()}
    view = SegmentView(me="me", interface="eth0", desired=WANTED, claims={}, peers=others, epochs={}, listening=True)

    assert plan(view).acquire == {}


def test_one_that_leaves_is_silent_only_after_its_successor_speaks() -> None:
    """A leaving speaker withdraws only addresses that a successor claims."""
    mine = {ADDRESSES[0]: Claim(standing=2, epoch=1), ADDRESSES[1]: Claim(standing=2, epoch=1)}
    successor = PeerView(interface="eth0", claims={ADDRESSES[0]: Claim(standing=1, epoch=2)})
    view = SegmentView(
        me="n1", interface="eth0", desired=WANTED, claims=mine, peers={"n2": successor}, epochs={}, leaving=True
    )

    assert plan(view).withdraw == (ADDRESSES[0],)


def test_only_named_nodes_and_interfaces_announce() -> None:
    """An offer for other nodes or interfaces is not acquired."""
    offer = Offer(service="ns/a", allowed=(Allowed(nodes=frozenset({"n1"}), interfaces=frozenset({"eth1"})),))
    desired = {ADDRESSES[0]: offer}

    assert plan(SegmentView(me="n1", interface="eth0", desired=desired, claims={}, peers={}, epochs={})).acquire == {}
    assert plan(SegmentView(me="n2", interface="eth1", desired=desired, claims={}, peers={}, epochs={})).acquire == {}
    assert (
        ADDRESSES[0]
        in plan(SegmentView(me="n1", interface="eth1", desired=desired, claims={}, peers={}, epochs={})).acquire
    )


@given(HEARTBEATS, st.binary(min_size=1))
def test_a_heartbeat_is_read_as_it_was_written(heartbeat: Heartbeat, secret: bytes) -> None:
    """Decoding returns the encoded heartbeat, also with Ethernet padding."""
    assert decode(encode(heartbeat, secret) + bytes(20), secret) == heartbeat


@given(HEARTBEATS, st.integers(0, 10_000), st.integers(1, 255))
def test_no_changed_byte_is_believed(heartbeat: Heartbeat, place: int, change: int) -> None:
    """A message with one changed byte, or of another Secret, is rejected."""
    data = bytearray(encode(heartbeat, b"right"))
    data[place % len(data)] ^= change

    with pytest.raises(InvalidHeartbeatError):
        decode(bytes(data), b"right")
    with pytest.raises(InvalidHeartbeatError):
        decode(encode(heartbeat, b"wrong"), b"right")


@given(st.binary(max_size=200))
def test_noise_is_refused(data: bytes) -> None:
    """Random bytes are rejected with InvalidHeartbeatError."""
    with pytest.raises(InvalidHeartbeatError):
        decode(data, b"right")


def test_the_longest_message_fits_a_frame() -> None:
    """A full chunk of IPv6 claims with the longest names is at most 1,500 bytes."""
    many = Chunks()
    for number in range(1000):
        many.put(number.to_bytes(16), Claim(standing=1, epoch=1))
    heartbeat = Heartbeat(
        node="n" * 253, interface="i" * 15, boot=1, sequence=1, dead_interval_ms=1, chunk=0, claims=many[0]
    )

    assert len(heartbeat.claims) == CHUNK
    assert len(encode(heartbeat, b"s")) <= 1500


def test_the_past_is_not_news() -> None:
    """A replayed message and one of an earlier boot are not news."""
    heartbeat = Segment(node="n1", interface="eth0", boot=5, dead_interval=DEAD_INTERVAL, now=0).heartbeats()[0]

    assert is_news(heartbeat, None)
    assert not is_news(heartbeat, (5, heartbeat.sequence))
    assert not is_news(heartbeat, (6, 0))


def test_one_that_slept_yields_to_who_took_over() -> None:
    """A suspended speaker withdraws an address that another one took over meanwhile."""
    address = ADDRESSES[0]
    offer = {address: WANTED[address]}
    one = Segment(node="n1", interface="eth0", boot=1, dead_interval=DEAD_INTERVAL, now=0)
    two = Segment(node="n2", interface="eth0", boot=2, dead_interval=DEAD_INTERVAL, now=0)
    one.set_desired(offer)
    two.set_desired(offer)
    assert one.reconcile(0.2).acquire
    for heartbeat in one.heartbeats():
        two.receive(heartbeat, 0.2)
    assert not two.reconcile(0.2).acquire

    assert two.expire_peers(0.4) == ["n1"]
    assert two.reconcile(0.4).acquire
    for heartbeat in two.heartbeats():
        one.receive(heartbeat, 1.0)
    one.on_suspend(0.8, 1.0)

    assert one.reconcile(1.0).withdraw == (address,)
    assert not one.answers(address, 2.0)
    for heartbeat in one.heartbeats():
        two.receive(heartbeat, 1.0)
    assert two.reconcile(1.0).withdraw == ()
    assert two.answers(address, 1.0)


def test_one_that_slept_for_a_term_is_silent_and_takes_nothing_until_it_has_listened_for_one() -> None:
    """After a suspension of a dead interval a speaker listens for one before it answers or acquires."""
    held, other = ADDRESSES[:2]
    one = Segment(node="n1", interface="eth0", boot=1, dead_interval=DEAD_INTERVAL, now=0)
    one.set_desired({held: WANTED[held]})
    assert one.reconcile(0.2).acquire

    one.on_suspend(DEAD_INTERVAL, 1.0)
    one.set_desired({other: WANTED[other]})
    listening = one.reconcile(1.0 + 0.9 * DEAD_INTERVAL)

    assert not one.answers(held, 1.0 + 0.9 * DEAD_INTERVAL)
    assert not listening.acquire
    assert one.reconcile(1.0 + 1.1 * DEAD_INTERVAL).acquire.keys() == {other}
    assert one.answers(held, 1.0 + 1.1 * DEAD_INTERVAL)


def test_one_that_slept_for_less_than_a_term_goes_on() -> None:
    """After a suspension shorter than the dead interval a speaker continues to answer."""
    address = ADDRESSES[0]
    one = Segment(node="n1", interface="eth0", boot=1, dead_interval=DEAD_INTERVAL, now=0)
    one.set_desired({address: WANTED[address]})
    assert one.reconcile(0.2).acquire

    one.on_suspend(0.9 * DEAD_INTERVAL, 1.0)

    assert one.answers(address, 1.0)


def test_claims_arrive_in_chunks_and_leave_with_them() -> None:
    """A thousand claims and their withdrawal arrive complete; a single change takes one message."""
    only = Offer(service="ns/a", allowed=(Allowed(nodes=frozenset({"n1"})),))
    many = dict.fromkeys((number.to_bytes(4) for number in range(1000)), only)
    one = Segment(node="n1", interface="eth0", boot=1, dead_interval=DEAD_INTERVAL, now=0)
    two = Segment(node="n2", interface="eth0", boot=2, dead_interval=DEAD_INTERVAL, now=0)
    one.set_desired(many)
    one.reconcile(0.2)
    for heartbeat in one.heartbeats():
        two.receive(heartbeat, 0.2)
    assert two.peers["n1"].claims == one.claims

    one.set_desired(dict.fromkeys(list(many)[3:]))
    one.reconcile(0.3)
    for heartbeat in one.heartbeats():
        two.receive(heartbeat, 0.3)
    assert set(two.peers["n1"].claims) == set(one.desired) == set(list(many)[:3])

    one.heartbeats()
    one.set_desired({ADDRESSES[0]: many[bytes(4)]})
    assert ADDRESSES[0] in one.reconcile(0.4).acquire
    assert len([heartbeat for heartbeat in one.heartbeats() if ADDRESSES[0] in heartbeat.claims]) == 1
