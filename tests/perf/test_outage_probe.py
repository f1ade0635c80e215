"""The ruler, for real: two hosts on a cable, a server whose outages are known, frames that are put on the wire."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from contextlib import closing
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lbproof.witnesses.frames import BROADCAST, ETHERTYPE_ARP, Frame, Op, encode
from lbproof.witnesses.packets import opened
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

STRANGER = "02:00:00:00:00:77"


@pytest.fixture
def pair() -> Iterator[tuple[NamespaceVantage, NamespaceVantage]]:
    """A client and a server's host."""
    with hosts.two_hosts() as made:
        yield made


def hands_of(store: ResultStore) -> BenchContext:
    """What a benchmark without arms is given."""
    return BenchContext(store=store, arms=(), labs=LabPool(None, print), say=lambda _: None)


def test_an_outage_of_known_length_is_seen_at_that_length(tmp_path: Path) -> None:
    """Deaf for a tenth of a second and frozen for two: the figures are the truth's, and all raw data is kept."""
    store = ResultStore(tmp_path)
    outage_probe.run(
        BenchContext(labs=LabPool(None, print), store=store, arms=(), say=lambda _: None),
        outage_probe.OutageProbePlan(outages=1, freezes=1),
    )

    trials = {trial.id.case: trial for trial in store.trials}

    for case, share in (("a-a", 0.3), ("freeze", 0.1)):  # a busy machine is late, which is no fault of the reading
        truth, seen = trials[case].values["truth_seconds"], trials[case].values["seen_seconds"]
        assert truth
        assert seen == pytest.approx(truth, rel=share)
    raw = store.arrays(trials["a-a"])
    assert np.isnan(raw["udp_answered"]).sum() > 50
    assert np.allclose(np.diff(raw["udp_due"]), 0.001)


def test_a_run_that_was_stopped_measures_only_what_is_missing(tmp_path: Path) -> None:
    """Nothing is measured twice, and nothing that was measured is lost."""
    context = hands_of(ResultStore(tmp_path))
    outage_probe.run(context, outage_probe.OutageProbePlan(outages=1, freezes=0))
    before = [trial.at for trial in context.store.trials]

    outage_probe.run(
        BenchContext(labs=LabPool(None, print), store=ResultStore(tmp_path), arms=(), say=lambda _: None),
        outage_probe.OutageProbePlan(outages=1, freezes=0),
    )

    assert [trial.at for trial in ResultStore.read(tmp_path).trials] == before


def test_the_census_touches_no_neighbour_table(pair: tuple[NamespaceVantage, NamespaceVantage]) -> None:
    """Who answers is seen, and the client's own kernel learns nothing by it, not even where it is mistaken.

    For longer than a second: the kernel changes no entry that is younger (`locktime`).
    """
    client, server = pair
    silent = Streams(udp=0, tcp=0)
    wrong = ("ip", "neigh", "replace", str(server.address), "lladdr", STRANGER, "dev", "eth0", "nud", "stale")
    assert client.popen(wrong).wait() == 0

    with OutageProbe(client, server.address, census_from=f"{hosts.NETWORK}.254", streams=silent) as probe:
        assert probe.until(lambda found, _: bool(len(found.answers.at) and np.ptp(found.answers.at) > 1.5), 10)

    assert set(probe.reading().macs) == {server.mac}
    with client.inside():
        table = subprocess.run(["ip", "neigh", "show"], capture_output=True, text=True, check=True)
    assert f"{server.address} dev eth0 lladdr {STRANGER}" in table.stdout


def test_announcements_are_told_by_whether_a_neighbour_takes_them(
    pair: tuple[NamespaceVantage, NamespaceVantage],
) -> None:
    """A gratuitous request counts, a reply to broadcast is one that a Linux neighbour may ignore."""
    client, server = pair
    address = IPv4Address(server.address)

    def said(op: Op, target_mac: str) -> bytes:
        return encode(
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

    with (
        OutageProbe(client, address, census_from=f"{hosts.NETWORK}.254", streams=Streams(tcp=0)) as probe,
        closing(opened(server, ETHERTYPE_ARP)) as wire,
    ):
        # both processes are at work
        assert probe.until(lambda found, _: bool(len(found.turned.at) and len(found.answers.at)), 10)
        for frame in (said(Op.REPLY, BROADCAST), said(Op.REPLY, STRANGER), said(Op.REQUEST, "00:00:00:00:00:00")):
            wire.send(frame)
        assert probe.until(lambda found, _: len(found.announced.at) + len(found.garp_ignored.at) >= 3, 10)

    found = probe.reading()
    assert (len(found.announced.at), len(found.garp_ignored.at)) == (2, 1)
    assert found.macs[found.announced.who[0]] == STRANGER
    assert {found.macs[who] for who in found.answers.who} == {server.mac}  # what is said unasked answers nothing


def test_what_is_lost_is_told_while_the_ruler_runs(pair: tuple[NamespaceVantage, NamespaceVantage]) -> None:
    """Nobody has the address: probes count as lost after their second, and all is not well."""
    client, _ = pair

    with OutageProbe(client, IPv4Address(f"{hosts.NETWORK}.77"), streams=Streams(udp=0.01, tcp=0.1, census=0)) as probe:
        assert probe.until(lambda found, _: bool(found.udp.lost.any() and found.tcp.lost.any()), 10)
        assert not probe.quiet(0.6)


@pytest.mark.parametrize(("host", "well"), [("2", True), ("77", False)])
def test_all_is_well_only_where_somebody_answers_arp(
    pair: tuple[NamespaceVantage, NamespaceVantage], host: str, well: bool
) -> None:
    """Traffic that still flows by an old neighbour entry is no sign that a new client would be served."""
    client, _ = pair
    address, census = IPv4Address(f"{hosts.NETWORK}.{host}"), f"{hosts.NETWORK}.254"

    with OutageProbe(client, address, census_from=census, streams=Streams(udp=0, tcp=0)) as probe:
        assert probe.until(lambda found, _: len(found.asked) > 100, 10)
        assert probe.quiet(1.5) is well


def test_a_process_that_ends_by_itself_is_told(pair: tuple[NamespaceVantage, NamespaceVantage]) -> None:
    """A ruler that lost a part measures nothing more, and says so."""
    client, server = pair

    with OutageProbe(client, server.address) as probe:
        probe._parts[1][0].process.kill()  # noqa: SLF001 - there is no other way to break it
        with pytest.raises(RuntimeError, match="ended with -9"):
            probe.until(lambda _, __: False, 10)


def test_nothing_of_two_hosts_is_left() -> None:
    """The namespaces go with the block."""
    with hosts.two_hosts() as (one, _):
        holder = int(Path(one.netns).parts[2])
        assert Path(one.netns).exists()

    assert not Path(f"/proc/{holder}").exists()


def test_a_stall_is_logged_once_at_its_length() -> None:
    """The logger is stopped for a while: that is what a machine that stands still looks like."""
    with JitterLog() as jitter:
        process = jitter.prober.process  # a stall of the machine's cannot be ordered
        began = time.monotonic()
        os.kill(process.pid, signal.SIGSTOP)
        threading.Event().wait(0.3)
        os.kill(process.pid, signal.SIGCONT)
        ended = time.monotonic()
        rows = eventually(
            lambda: [row for row in jitter.between(began - 0.1, ended) if row[1] > 0.2], bool, what="told", within=5
        ).value

    assert len(rows) == 1
    assert rows[0][1] <= ended - began + 0.1
