"""Frames of some hosts that another one sends again at once: what is sent and when, and on a real segment."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import TYPE_CHECKING, Any

import pytest

from lbproof.probe.protocol import text_of
from lbproof.probe.tasks.replay import HELD, KINDS, Copies
from lbproof.witnesses import crafted, frames, ndp, neighbour
from lbproof.witnesses.wait import eventually

if TYPE_CHECKING:
    from tests.observe.places import Segment

NODE, OTHER, OWN = (f"0200000077{number:02x}" for number in (1, 2, 3))
V4, V6 = IPv4Address("10.77.0.9"), IPv6Address("fd00:77::9")
"""Addresses that no host has."""
EXPERIMENT = "88b5"
"""The EtherType for experiments (IEEE 802, local experimental 1)."""


def frame(text: str, *, source: str = NODE, to: str = "ff" * 6) -> bytes:
    """A frame of a host."""
    return bytes.fromhex(to + source + EXPERIMENT) + text.encode()


def copies(**asked: Any) -> Copies:  # noqa: ANN401 - arguments of the task
    """Copies of the frames of a node, from the moment 0; unless asked, without those of the last frames."""
    bounds = {"seconds": 10.0, "most": 1000, "rate": 100}
    shape = {"hosts": [NODE], "source": "", "after": 0.0, "every": 0.0, "first": [], "skip": []}
    return Copies(shape | bounds | asked, 0.0)


def sent(made: Copies, *, until: float) -> list[tuple[float, bytes]]:
    """Moments and frames that are sent until a moment."""
    found = []
    while (now := made.due) <= until:
        found += [(round(now, 3), one) for one in made.take(now)]
    return found


def test_a_frame_is_sent_again_once_and_at_once() -> None:
    """Those of other hosts are not."""
    made = copies()
    made.hear(frame("one"), 1.0)
    made.hear(frame("two", source=OTHER), 1.1)
    made.hear(frame("three"), 1.2)

    assert sent(made, until=9) == [(1.0, frame("one")), (1.2, frame("three"))]
    assert (made.heard, made.sent, made.withheld) == (2, 2, 0)


def test_a_copy_may_be_late_and_from_another_source() -> None:
    """Nothing else of the frame differs."""
    made = copies(source=OWN, after=0.02)
    made.hear(frame("one"), 1.0)
    made.hear(frame("two"), 1.01)

    assert sent(made, until=9) == [(1.02, frame("one", source=OWN)), (1.03, frame("two", source=OWN))]


def test_the_last_of_each_kind_is_sent_again_and_again() -> None:
    """By destination and EtherType; what was heard before counts until there is something newer."""
    group = "01" * 6
    made = copies(every=0.5, first=[text_of(frame("zero")), text_of(frame("any", to=group)), text_of(b"\0" * 14)])
    before = sent(made, until=0.6)
    made.hear(frame("one"), 0.7)
    after = sent(made, until=1.2)

    assert before == [(at, one) for at in (0.0, 0.5) for one in (frame("zero"), frame("any", to=group))]
    assert after == [(0.7, frame("one")), (1.0, frame("any", to=group)), (1.0, frame("one"))]
    assert made.heard == 1


def test_no_more_kinds_are_sent_again_than_there_is_room_for() -> None:
    """The one that was heard longest ago is forgotten."""
    made = copies(first=[text_of(frame("", to=f"{number:012x}")) for number in range(KINDS + 1)], every=1.0)

    assert [one[5] for _, one in sent(made, until=0.5)] == [*range(1, KINDS + 1)]


def test_two_that_repeat_each_other_come_to_an_end() -> None:
    """A frame that one sent is no news when it comes back from the other, also while both repeat the last one."""
    one, other = copies(every=0.2), copies(every=0.2)
    one.hear(frame("one"), 1.0)
    other.hear(frame("one"), 1.0)
    heard = 0
    for turn in range(1000, 3000):
        now = turn / 1000
        for sender, receiver in ((one, other), (other, one)):
            for copy in sender.take(now):
                receiver.hear(copy, now)
                heard += 1

    assert heard == 2 * (1 + 9)
    assert one.withheld == other.withheld == 0
    one.hear(frame("one"), 3.0 + 2 * HELD)
    assert frame("one") in one.take(3.0 + 2 * HELD)


def test_time_number_and_rate_are_bounded() -> None:
    """What is withheld is counted, and nothing is due afterwards."""
    late, many, fast = copies(seconds=2.0, every=0.5), copies(most=3, every=0.5), copies(rate=4)
    for made in (late, many):
        made.hear(frame("one"), 1.0)
        sent(made, until=9)
        made.hear(frame("two"), 9.0)
    for turn in range(20):
        fast.hear(frame(str(turn)), 1.0)
    fast.hear(frame("later"), 1.5)

    assert (late.sent, late.withheld) == (2, 1)
    assert (many.sent, many.withheld) == (3, 1)
    assert [sent(made, until=9) for made in (late, many)] == [[], []]
    assert (len(sent(fast, until=9)), fast.withheld) == (5, 16)


def test_messages_that_name_an_address_are_left_out() -> None:
    """Whether they say where it is, ask for it, or probe it, in both families; others are sent again."""
    own = bytes.fromhex(NODE).hex(":")
    made = copies(hosts=[NODE], skip=list(crafted.naming([V4, V6])))
    naming = [frames.request(mac=own, address=one, target=other) for one, other in ((V4, V4 + 1), (V4 + 1, V4))]
    telling = [
        ndp.solicitation(mac=own, address=V6, target=V6 + 1),
        ndp.solicitation(mac=own, address=V6 + 1, target=V6),
        ndp.dad_probe(mac=own, target=V6),
        ndp.announcement(mac=own, address=V6),
        replace(ndp.announcement(mac=own, address=V6 + 1), destination=V6),
    ]
    for frame_that_names in (*map(frames.encode, naming), *map(ndp.encode, telling)):
        made.hear(frame_that_names, 1.0)
    assert made.heard == 0
    others = [
        frames.encode(frames.request(mac=own, address=V4 + 1, target=V4 + 2)),
        ndp.encode(ndp.solicitation(mac=own, address=V6 + 1, target=V6 + 2)),
    ]
    for other in others:
        made.hear(other, 1.0)

    assert made.take(1.0) == others


@pytest.mark.parametrize("kept", [True, False], ids=["original source", "own source"])
def test_what_a_host_sends_is_heard_a_second_time(segment: Segment, *, kept: bool) -> None:
    """Once at once, and then again and again, until the end of the block; two that do this do not answer each other."""
    client, web, twin = (segment.hosts[name] for name in ("client", "web", "twin"))

    def heard(target: IPv4Address = V4) -> list[str]:
        return [message.ether_src for message in listener.messages if message.target_ip == target]

    with neighbour.Listener(client) as listener:
        with (
            crafted.Replayer(twin, [client.mac], mac="" if kept else twin.mac) as often,
            crafted.Replayer(web, [client.mac], mac="" if kept else web.mac, every=0.0) as once,
        ):
            neighbour.ask(client, V4)
            eventually(heard, lambda sources: len(sources) > 4, what="the request is heard five times", within=10)
        found = heard()
        neighbour.ask(client, V4 + 1)
        neighbour.ask(web, V4 + 2)
        eventually(lambda: heard(V4 + 2), bool, what="the request of another host is heard", within=10)
        assert heard(V4 + 1) == []  # a host does not hear its own

    assert {*found} == ({client.mac} if kept else {twin.mac, web.mac})
    assert once.counts["sent"] < often.counts["sent"]
    assert (often.counts["withheld"], often.counts["lost"]) == (0, 0)
