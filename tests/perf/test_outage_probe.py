"""The outage probe, for real: two hosts on a cable, a server whose outages are known, frames that are sent."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lbproof.probe.protocol import text_of
from lbproof.spec.families import Family
from lbproof.witnesses import frames, ndp
from lbproof.witnesses.frames import BROADCAST, Frame, Op
from lbproof.witnesses.stream import ProbeError
from lbproof.witnesses.wait import eventually
from lbproof_perf.benchmarks import outage_probe
from lbproof_perf.benchmarks.base import BenchContext
from lbproof_perf.outage_probe import hosts
from lbproof_perf.outage_probe.jitter import JitterLog
from lbproof_perf.outage_probe.probe import OutageProbe, Streams
from lbproof_perf.results import ResultStore
from lbproof_perf.sut.system import LabPool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.lab.common.vantage import NamespaceVantage
    from lbproof.spec.families import IPAddress

STRANGER = "02:00:00:00:00:77"
FAMILIES = pytest.mark.parametrize("family", list(Family), ids=lambda family: family.label)
EVERY_FRAME = 3
"""ETH_P_ALL."""


def numbered(family: Family, number: int) -> IPAddress:
    """An address of the two hosts' subnet."""
    if family is Family.IPV4:
        return IPv4Address(f"{hosts.NETWORK}.{number}")
    return IPv6Address(f"{hosts.NETWORK_6}:{number}")


@pytest.fixture
def pair() -> Iterator[tuple[NamespaceVantage, NamespaceVantage]]:
    """A client and a server's host."""
    with hosts.two_hosts() as made:
        yield made


def context_of(store: ResultStore) -> BenchContext:
    """What a benchmark without arms is given."""
    return BenchContext(store=store, arms=(), labs=LabPool(None, print), say=lambda _: None)


def test_an_outage_of_known_length_is_seen_at_that_length(tmp_path: Path) -> None:
    """Deaf for a tenth of a second and frozen for two: the figures are the truth's, and all raw data is kept."""
    store = ResultStore(tmp_path)
    outage_probe.run(context_of(store), outage_probe.OutageProbePlan(outages=1, freezes=1))

    trials = {trial.id.case: trial for trial in store.trials}

    for case, share in (("a-a", 0.3), ("freeze", 0.1)):  # a busy machine is late, which is no fault of the reading
        truth, seen = trials[case].values["truth_seconds"], trials[case].values["seen_seconds"]
        assert truth
        assert seen == pytest.approx(truth, rel=share)
        (clock,) = trials[case].clocks.values()
        assert (clock.offset, clock.uncertainty) == (0, 0)  # namespaces of one machine share its clock
    raw = store.arrays(trials["a-a"])
    assert np.isnan(raw["udp_answered"]).sum() > 50
    assert np.allclose(np.diff(raw["udp_due"]), 0.001)


def test_a_run_that_was_stopped_measures_only_what_is_missing(tmp_path: Path) -> None:
    """Nothing is measured twice, and nothing that was measured is lost."""
    context = context_of(ResultStore(tmp_path))
    outage_probe.run(context, outage_probe.OutageProbePlan(outages=1, freezes=0))
    before = [trial.at for trial in context.store.trials]

    outage_probe.run(context_of(ResultStore(tmp_path)), outage_probe.OutageProbePlan(outages=1, freezes=0))

    assert [trial.at for trial in ResultStore.read(tmp_path).trials] == before


@FAMILIES
def test_the_census_touches_no_neighbour_table(pair: tuple[NamespaceVantage, NamespaceVantage], family: Family) -> None:
    """Who answers is seen, and the client's own kernel learns nothing by it, not even where it is mistaken.

    For longer than a second: the kernel changes no entry that is younger (`locktime`).
    """
    client, server = pair
    address = server.address_for(family)
    silent = Streams(udp=0, tcp=0)
    wrong = ("ip", "neigh", "replace", str(address), "lladdr", STRANGER, "dev", "eth0", "nud", "stale")
    assert client.popen(wrong).wait() == 0

    with OutageProbe(client, address, census_from=numbered(family, 254), streams=silent) as probe:
        assert probe.until(lambda found, _: bool(len(found.answers.at) and np.ptp(found.answers.at) > 1.5), 10)

    assert set(probe.reading().macs) == {server.mac}
    with client.popen(["ip", "neigh", "show"], stdout=subprocess.PIPE) as table:
        assert f"{address} dev eth0 lladdr {STRANGER}" in table.communicate()[0].decode()


def gratuitous(op: Op, target_mac: str, address: IPv4Address) -> bytes:
    """An announcement by ARP."""
    return frames.encode(
        Frame(
            ether_dst=BROADCAST,
            ether_src=STRANGER,
            op=op,
            sender_mac=STRANGER,
            sender_ip=address,
            target_mac=target_mac,
            target_ip=address,
        )
    )


def announcements(address: IPAddress) -> list[bytes]:
    """One that a Linux neighbour may ignore, and two that it takes."""
    if isinstance(address, IPv4Address):
        kinds = ((Op.REPLY, BROADCAST), (Op.REPLY, STRANGER), (Op.REQUEST, "00:00:00:00:00:00"))
        return [gratuitous(op, target_mac, address) for op, target_mac in kinds]
    taken = ndp.announcement(mac=STRANGER, address=address)
    ignored = ndp.Message(
        ether_dst=taken.ether_dst,
        ether_src=STRANGER,
        source=address,
        destination=taken.destination,
        type=ndp.Type.ADVERTISEMENT,
        target=address,
        link_layer=STRANGER,
    )
    return [ndp.encode(ignored), ndp.encode(taken), ndp.encode(taken)]


@FAMILIES
def test_announcements_are_told_by_whether_a_neighbour_takes_them(
    pair: tuple[NamespaceVantage, NamespaceVantage], family: Family
) -> None:
    """A gratuitous request counts, a reply to broadcast is one that a Linux neighbour may ignore; likewise in NDP."""
    client, server = pair
    address = server.address_for(family)
    send = [(0.0, text_of(frame)) for frame in announcements(address)]
    asked = {"interface": server.interface, "protocol": EVERY_FRAME, "filter": (), "send": send, "seconds": 0.1}

    with OutageProbe(client, address, census_from=numbered(family, 254), streams=Streams(tcp=0)) as probe:
        # both tasks are at work
        assert probe.until(lambda found, _: bool(len(found.turned.at) and len(found.answers.at)), 10)
        server.probe().call("frames", within=0.1, **asked)
        assert probe.until(lambda found, _: len(found.announced.at) + len(found.garp_ignored.at) >= 3, 10)

    found = probe.reading()
    assert (len(found.announced.at), len(found.garp_ignored.at)) == (2, 1)
    assert found.macs[found.announced.who[0]] == STRANGER
    assert {found.macs[who] for who in found.answers.who} == {server.mac}  # what is said unasked answers nothing


@FAMILIES
def test_what_is_lost_is_told_while_the_probe_runs(
    pair: tuple[NamespaceVantage, NamespaceVantage], family: Family
) -> None:
    """Nobody has the address: samples count as lost after their second, and all is not well."""
    streams = Streams(udp=0.01, tcp=0.1, census=0)

    with OutageProbe(pair[0], numbered(family, 77), streams=streams) as probe:
        assert probe.until(lambda found, _: bool(found.udp.lost.any() and found.tcp.lost.any()), 10)
        assert not probe.quiet(0.6)


@FAMILIES
@pytest.mark.parametrize(("host", "well"), [(2, True), (77, False)])
def test_all_is_well_only_where_a_neighbour_answers(
    pair: tuple[NamespaceVantage, NamespaceVantage], family: Family, host: int, well: bool
) -> None:
    """Traffic that still flows by an old neighbour entry is no sign that a new client would be served."""
    address, census = numbered(family, host), numbered(family, 254)

    with OutageProbe(pair[0], address, census_from=census, streams=Streams(udp=0, tcp=0)) as probe:
        assert probe.until(lambda found, _: len(found.asked) > 100, 10)
        assert probe.quiet(1.5) is well


def test_udp_and_http_are_answered_by_ipv6(pair: tuple[NamespaceVantage, NamespaceVantage]) -> None:
    """The streams go to an address of either family."""
    client, server = pair
    address = server.address_for(Family.IPV6)
    with server.start_probe() as serving:
        serving.request("echo", host=str(address), port=7000).wait_ready()
        with OutageProbe(client, address, port=7000, streams=Streams(census=0)) as probe:
            assert probe.quiet(10)


def test_a_part_that_ends_by_itself_is_an_error(pair: tuple[NamespaceVantage, NamespaceVantage]) -> None:
    """An outage probe that lost a part measures nothing more, and says so."""
    client, server = pair
    probe = OutageProbe(client, server.address).__enter__()
    probe.probes[1].process.send_signal(signal.SIGKILL)

    with pytest.raises(ProbeError, match="task streams at host 1: probe at host 1: it ended with -9"):
        probe.until(lambda _, __: False, 10)
    with pytest.raises(ProbeError, match="task streams at host 1"):
        probe.__exit__()


def test_frames_that_the_kernel_dropped_are_an_error(pair: tuple[NamespaceVantage, NamespaceVantage]) -> None:
    """A capture that stood still while more frames came than its socket holds has no figure."""
    client, server = pair
    flood = [(0.0, text_of(bytes(1400)))] * 9000
    asked = {"interface": "eth0", "protocol": 0x0806, "filter": (), "send": flood, "seconds": 3.0}
    probe = OutageProbe(client, server.address).__enter__()
    assert probe.until(lambda found, _: bool(len(found.turned.at)), 10)
    probe.probes[0].process.send_signal(signal.SIGSTOP)
    server.probe().call("frames", within=3.0, **asked)
    probe.probes[0].process.send_signal(signal.SIGCONT)

    with pytest.raises(ProbeError, match="task classify at host 1: the kernel dropped"):
        probe.__exit__()


def test_nothing_of_two_hosts_is_left() -> None:
    """The namespaces go with the block."""
    with hosts.two_hosts() as (one, _):
        holder = int(Path(one.netns).parts[2])
        assert Path(one.netns).exists()

    assert not Path(f"/proc/{holder}").exists()


def test_a_stall_is_logged_once_at_its_length(pair: tuple[NamespaceVantage, NamespaceVantage]) -> None:
    """The log's process is stopped for a while: that is what a machine that stands still looks like."""
    with JitterLog(pair[0]) as jitter:
        process = jitter.probe.process  # a stall of the machine's cannot be ordered
        began = time.monotonic()
        os.kill(process.pid, signal.SIGSTOP)
        threading.Event().wait(0.3)
        os.kill(process.pid, signal.SIGCONT)
        ended = time.monotonic()
        rows = eventually(
            lambda: [row for row in jitter.between(began - 0.1, ended) if row[1] > 0.2], bool, what="told", within=5
        ).value
        process.kill()
        with pytest.raises(ProbeError, match="host 1"):
            eventually(lambda: jitter.between(began, ended), lambda _: False, what="an error", within=5)

    assert len(rows) == 1
    assert rows[0][1] <= ended - began + 0.1
