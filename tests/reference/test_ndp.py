"""Neighbour discovery: frames that scapy reads and writes, and speakers on a cable that answer and announce."""

from __future__ import annotations

import asyncio
from ipaddress import IPv6Address
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet6 import (
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6NDOptDstLLAddr,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
    IPv6ExtHdrHopByHop,
)
from scapy.layers.l2 import Ether
from tests.reference.cable import CLIENT, CLIENT_6, Cable, cable, mac_of
from tests.reference.polling import stays, until

from lbproof_reference.frames import (
    ADVERTISEMENT,
    NDP_FRAME_BYTES,
    SOLICITATION,
    NdpFrame,
    announcements,
    ndp_reply,
    read_ndp,
    solicited_node,
)
from lbproof_reference.speaker import loop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

VIP, HOST = "fd00:a::1:7", CLIENT_6
GROUP, ALL_NODES = "ff02::1:ff01:7", "ff02::1"
OURS, THEIRS = "02:00:00:00:00:01", CLIENT.hex(":")
ADDRESS = IPv6Address(VIP).packed
IPS = st.integers(2**125, 2**126 - 1).map(IPv6Address)  # 2000::/3: of others scapy writes some as IPv4


def mac_bytes(mac: str) -> bytes:
    """Return a MAC address as six bytes."""
    return bytes.fromhex(mac.replace(":", ""))


def solicitation(option: bytes | str | None = THEIRS, *, to: str = "33:33:ff:01:00:07", **fields: Any) -> bytes:  # noqa: ANN401 - whatever scapy takes
    """Return a solicitation for the VIP, encoded by scapy; an option of bytes is put there as it is."""
    wanted: dict[str, Any] = {"src": HOST, "dst": GROUP, "hlim": 255, "tgt": VIP, "code": 0, **fields}
    message: Any = ICMPv6ND_NS(tgt=wanted.pop("tgt"), code=wanted.pop("code"))
    if "cksum" in wanted:
        message.cksum = wanted.pop("cksum")
    if option is not None:
        message /= option if isinstance(option, bytes) else ICMPv6NDOptSrcLLAddr(lladdr=option)
    return bytes(Ether(dst=to, src=THEIRS) / IPv6(**wanted) / message)


def advertisement(*, flags: str = "O", dst: str = ALL_NODES, option: str | None = THEIRS, mac: str = THEIRS) -> bytes:
    """Return an advertisement of the VIP, encoded by scapy."""
    bits: dict[str, Any] = {flag: int(flag in flags) for flag in "RSO"}
    message: Any = ICMPv6ND_NA(tgt=VIP, **bits)
    if option is not None:
        message /= ICMPv6NDOptDstLLAddr(lladdr=option)
    return bytes(Ether(dst="33:33:00:00:00:01", src=mac) / IPv6(src=VIP, dst=dst, hlim=255) / message)


def read(frame: bytes) -> NdpFrame:
    """Decode a frame that is valid. Raises AssertionError for another one."""
    found = read_ndp(frame)
    assert found
    return found


def assert_advertises(frame: bytes, *, solicited: bool, dst: str, to: str, mac: str = OURS, address: str = VIP) -> None:
    """Assert that scapy reads an advertisement, from the address at `mac`, with O and the right checksum."""
    packet = Ether(frame)
    said = packet[ICMPv6ND_NA]
    rebuilt = Ether(frame)
    del rebuilt[ICMPv6ND_NA].cksum

    assert (packet.dst, packet.src) == (to, mac)
    assert (packet[IPv6].src, packet[IPv6].dst, packet[IPv6].hlim) == (address, dst, 255)
    assert (said.R, said.S, said.O, said.tgt, said.code) == (0, int(solicited), 1, address, 0)
    assert said[ICMPv6NDOptDstLLAddr].lladdr == mac
    assert bytes(rebuilt) == frame


def test_a_reply_tells_the_asker_alone() -> None:
    """The answer is unicast and solicited (RFC 4861 section 7.2.4)."""
    reply = ndp_reply(read(solicitation()), mac_bytes(OURS))

    assert_advertises(reply, solicited=True, dst=HOST, to=THEIRS)


def test_a_probe_without_an_option_is_answered_where_it_came_from() -> None:
    """A unicast solicitation needs no option (section 7.2.2); the answer goes to its Ethernet source."""
    reply = ndp_reply(read(solicitation(None, to=OURS, dst=VIP)), mac_bytes(OURS))

    assert_advertises(reply, solicited=True, dst=HOST, to=THEIRS)


def test_a_host_that_is_about_to_take_the_address_is_told_with_all_others() -> None:
    """A probe from the unspecified address is answered to all nodes, not solicited (RFC 4862 section 5.4)."""
    asked = read(solicitation(None, src="::"))

    assert asked.needs_reply
    assert_advertises(
        ndp_reply(asked, mac_bytes(OURS)), solicited=False, dst=ALL_NODES, to="33:33:00:00:00:01"
    )  # fmt: skip


def test_an_option_says_where_the_asker_is() -> None:
    """The answer goes to the address in the option, which may differ from the Ethernet source."""
    assert ndp_reply(read(solicitation("02:00:00:00:00:aa")), mac_bytes(OURS))[:6] == mac_bytes("02:00:00:00:00:aa")


@given(IPS, st.binary(min_size=6, max_size=6))
def test_an_announcement_moves_a_neighbour(ip: IPv6Address, mac: bytes) -> None:
    """It is sent to all nodes, not solicited, and overrides what they know (section 7.2.6)."""
    (frame,) = announcements(ip.packed, mac)

    assert_advertises(
        frame, solicited=False, dst=ALL_NODES, to="33:33:00:00:00:01", mac=mac.hex(":"), address=str(ip)
    )  # fmt: skip


@given(IPS)
def test_the_group_of_an_address_ends_like_the_address(ip: IPv6Address) -> None:
    """It is ff02::1:ff00:0 with the last three bytes of the address (RFC 4291 section 2.7.1)."""
    expected = int(IPv6Address("ff02::1:ff00:0")) | int(ip) & 0xFFFFFF

    assert solicited_node(ip.packed) == expected.to_bytes(16)


@pytest.mark.parametrize(
    "frame",
    [
        solicitation(hlim=254),
        solicitation(code=1),
        solicitation(cksum=0x1234),
        solicitation(tgt="ff02::1"),
        solicitation(src="ff02::9"),
        solicitation(b"\x01\x00\x02\x00\x00\x00\x00\xfe"),
        solicitation(b"\x01\x02\x02\x00\x00\x00\x00\xfe"),
        solicitation(b"\x01"),
        solicitation(src="::"),
        solicitation(None, src="::", dst=VIP),
        solicitation()[:-1],
        solicitation()[: NDP_FRAME_BYTES - 1],
        advertisement(flags="SO"),
        bytes(Ether(dst="33:33:ff:01:00:07") / IPv6(dst=GROUP, hlim=255) / IPv6ExtHdrHopByHop() / ICMPv6ND_NS(tgt=VIP)),
    ],
    ids=[
        "forwarded", "code", "checksum", "group as target", "group as source", "option of no length",
        "option beyond the end", "half an option", "probe with an option", "probe to one host", "cut", "short",
        "solicited, to all", "extension header",
    ],
)  # fmt: skip
def test_what_receivers_discard_is_ignored(frame: bytes) -> None:
    """Messages that RFC 4861 sections 7.1.1 and 7.1.2 have every receiver discard are not decoded."""
    assert read_ndp(frame) is None


def test_other_options_are_skipped() -> None:
    """An option of another type, such as a nonce (RFC 3971), and bytes behind the packet change nothing."""
    nonce = b"\x0e\x01\x01\x02\x03\x04\x05\x06"

    assert read(solicitation(nonce)) == read(solicitation()) == read(solicitation() + bytes(9))
    assert read(solicitation(nonce, src="::")).source == bytes(16)


def test_who_claims_an_address() -> None:
    """An advertisement claims its target, a solicitation its source; only solicitations of one host need a reply."""
    asked, said = read(solicitation()), read(advertisement())

    assert (asked.kind, asked.sender, asked.needs_reply) == (SOLICITATION, IPv6Address(HOST).packed, True)
    assert (said.kind, said.sender, said.needs_reply) == (ADVERTISEMENT, ADDRESS, False)
    assert read(advertisement(option=None, mac=OURS)).mac == mac_bytes(OURS)
    assert [
        read(frame).needs_reply
        for frame in (solicitation("ff:ff:ff:ff:ff:ff"), solicitation("00:00:00:00:00:00"), solicitation(src=VIP))
    ] == [False, False, False]


@given(
    st.one_of(
        st.binary(max_size=120),
        st.tuples(st.sampled_from([solicitation(), advertisement()]), st.integers(12, 85), st.integers(1, 255)).map(
            lambda case: case[0][: case[1]] + bytes([case[0][case[1]] ^ case[2]]) + case[0][case[1] + 1 :]
        ),
    )
)
def test_no_bytes_break_it(frame: bytes) -> None:
    """Any bytes are a frame or ignored, and a message with one changed byte is ignored, but for what is not summed."""
    found = read_ndp(frame)

    assert found is None or frame[14:18] != solicitation()[14:18] or frame[21:22] == b"\xff"
    assert found is None or (frame[54:], frame[22:54]) in {
        (good[54:], good[22:54]) for good in (solicitation(), advertisement())
    }


def play(monkeypatch: pytest.MonkeyPatch, scenario: Callable[[Cable], Awaitable[None]], *nodes: str) -> None:
    """Run a scenario on a cable with speakers on these nodes."""

    async def run() -> None:
        async with cable(monkeypatch, *nodes) as made:
            await scenario(made)

    asyncio.run(run())


async def answer(made: Cable, frame: bytes) -> tuple[str, bytes]:
    """Send a frame until it is answered, since a speaker that was suspended listens; return the one answer."""
    async with asyncio.timeout(5):
        while not (found := await made.advertisements(frame)):  # noqa: ASYNC110 - as in polling
            await asyncio.sleep(0.01)
    (one,) = found
    return one


def test_one_node_answers_each_kind_of_solicitation(monkeypatch: pytest.MonkeyPatch) -> None:
    """A question by multicast, a reachability probe and a duplicate-address probe are answered by the same node."""

    async def scenario(made: Cable) -> None:
        made.offer(ADDRESS)
        await made.owner(ADDRESS)
        for frame in (solicitation(), solicitation(None, to=mac_of("n1").hex(":"), dst=VIP)):
            node, reply = await answer(made, frame)
            assert_advertises(reply, solicited=True, dst=HOST, to=THEIRS, mac=mac_of(node).hex(":"))
        node, reply = await answer(made, solicitation(None, src="::"))
        assert_advertises(reply, solicited=False, dst=ALL_NODES, to="33:33:00:00:00:01", mac=mac_of(node).hex(":"))
        assert await made.advertisements(solicitation(tgt="fd00:a::1:8")) == []

    play(monkeypatch, scenario, "n1", "n2")


def test_the_group_is_joined_by_the_announcer_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node joins the group of what it answers, and leaves it when another node takes over or nobody wants it."""

    async def scenario(made: Cable) -> None:
        made.offer(ADDRESS)
        owner = await made.owner(ADDRESS)
        (other,) = set(made.speakers) - {owner}
        joined = {f"n{wire.link.mac[-1]}": wire.groups for wire in made.wires}
        assert joined == {owner: {ADDRESS}, other: set()}
        made.offer(ADDRESS, nodes=[other])
        await until(lambda: made.owners(ADDRESS) == [other])
        assert joined == {owner: set(), other: {ADDRESS}}
        made.withdraw(ADDRESS)
        assert joined == {owner: set(), other: set()}

    play(monkeypatch, scenario, "n1", "n2")


def test_an_acquired_address_is_announced_at_most_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three advertisements say where the address is, a RetransTimer apart (section 7.2.6), whoever had it before."""
    sent: list[tuple[float, bytes]] = []

    async def scenario(made: Cable) -> None:
        clock = asyncio.get_running_loop()
        for wire in made.wires:
            monkeypatch.setattr(wire, "send", lambda frame: sent.append((clock.time(), frame)))
        made.offer(ADDRESS)
        await until(lambda: len(sent) == 3)

    play(monkeypatch, scenario, "n1")
    times = [at for at, _ in sent]
    assert {frame for _, frame in sent} == set(announcements(ADDRESS, mac_of("n1")))
    assert all(after - before >= loop.RETRANS_TIMER for before, after in pairwise(times))


async def announced(made: Cable, owner: str) -> None:
    """Wait until a node has announced the address as often as it does when it acquires it."""
    (announcement,) = announcements(ADDRESS, mac_of(owner))
    times = sum(not 0 < delay < loop.RETRANS_TIMER for delay in loop.ANNOUNCE_SECONDS)
    await until(lambda: made.sent.count((owner, announcement)) == times)


@pytest.mark.parametrize("claim", [advertisement(), solicitation(src=VIP, tgt=HOST)], ids=["said", "asks from it"])
def test_an_address_is_defended_against_another_host(monkeypatch: pytest.MonkeyPatch, claim: bytes) -> None:
    """A host that uses an announced address is answered by one announcement and reported once, a speaker by none."""

    async def scenario(made: Cable) -> None:
        made.offer(ADDRESS)
        await announced(made, await made.owner(ADDRESS))
        conflicts: list[tuple[str, str]] = []
        for speaker in made.speakers.values():
            monkeypatch.setattr(
                speaker,
                "_config",
                loop.Config(**vars(speaker._config) | {"on_conflict": lambda *of: conflicts.append(of)}),  # noqa: SLF001 - its callback
            )
        assert [frame for _, frame in await made.advertisements(claim)] == list(announcements(ADDRESS, mac_of("n1")))
        await made.advertisements(claim)
        await stays(lambda: made.sent == [], 0.5)
        assert conflicts == [("ns/a", f"{VIP} is also used by the host with MAC address {THEIRS}")]

    play(monkeypatch, scenario, "n1")


def test_what_another_speaker_says_of_an_address_is_no_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    """The advertisement of a peer does not start a defence: `plan` decides between speakers."""

    async def scenario(made: Cable) -> None:
        made.offer(ADDRESS)
        owner = await made.owner(ADDRESS)
        (peer,) = set(made.speakers) - {owner}
        await announced(made, owner)
        mac = mac_of(peer).hex(":")
        assert await made.advertisements(advertisement(option=mac, mac=mac)) == []
        await stays(lambda: made.sent == [], 0.3)

    play(monkeypatch, scenario, "n1", "n2")
