"""Probes of vantages that are network namespaces: where they run, whom they serve, and when they are replaced."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address, ip_network
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from tests.observe.places import Segment, frozen, ip

from lbproof.context import RunContext
from lbproof.lab.common.exec_vantage import ExecVantage
from lbproof.lab.common.netns import namespace_identity
from lbproof.lab.common.probes import Probes
from lbproof.lab.common.vantage import NamespaceVantage
from lbproof.probe.protocol import bytes_of, text_of
from lbproof.witnesses import probe as witness
from lbproof.witnesses import stream
from lbproof.witnesses.clock import Clock
from lbproof.witnesses.journal import Journal
from lbproof.witnesses.stream import ProbeError
from lbproof.witnesses.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.witnesses.probe import Probe
    from lbproof.witnesses.stream import Stream

TEST_TYPE = 0x88B5
"""The EtherType for experiments (IEEE 802, local experimental 1)."""


@pytest.fixture
def place() -> Iterator[NamespaceVantage]:
    """A namespace with nothing in it."""
    name = f"lbo{os.getpid() % 100000}-place"
    ip("netns", "add", name)
    found = NamespaceVantage(
        name="place",
        addresses=(IPv4Address("127.0.0.1"),),
        mac="",
        netns=f"/run/netns/{name}",
        pidns="/proc/self/ns/pid",
    )
    yield found
    found.probes.close()
    ip("netns", "del", name)


def namespace(probe: Probe) -> str:
    """The network namespace that a probe is in."""
    return str(Path(f"/proc/{probe.process.pid}/ns/net").readlink())


def listening(probe: Probe, send: list[tuple[float, str]] | None = None) -> Stream:
    """Every frame of the test's type, until it is cancelled."""
    found = probe.request("frames", interface="eth0", protocol=TEST_TYPE, filter=[], send=send or [], seconds=None)
    found.wait_ready()
    return found


def test_a_vantage_has_one_probe_in_its_namespace(place: NamespaceVantage) -> None:
    """Everyone who asks is given the same one, and it is not in this namespace."""
    probe = place.probe()

    assert place.probe() is probe
    assert namespace(probe) != str(Path("/proc/self/ns/net").readlink())


def test_a_measurement_has_a_probe_of_its_own(place: NamespaceVantage) -> None:
    """In the same namespace, in another process."""
    with place.start_probe() as own:
        assert own.process.pid != place.probe().process.pid
        assert namespace(own) == namespace(place.probe())
    assert own.process.returncode == 0


def test_the_clock_of_each_vantage_is_told(place: NamespaceVantage) -> None:
    """As its last probe measured it last."""
    assert place.probes.clocks() == {}
    probe = place.probe()
    assert place.probes.clocks() == {"place": Clock(offset=0, uncertainty=0)}

    probe.clock = Clock(offset=1, uncertainty=0.1)
    assert place.probes.clocks() == {"place": probe.clock}


def test_a_clock_is_written_down_once() -> None:
    """And again when it is measured anew."""
    journal = Journal(None)
    rows: list[dict[str, Any]] = []
    journal.listeners.append(rows.append)
    found = {"place": Clock(offset=1.5, uncertainty=0.1)}
    lab: Any = SimpleNamespace(
        clocks=lambda: found, segment=SimpleNamespace(free=(), subnets=(ip_network("192.0.2.0/24"),))
    )
    adapter: Any = SimpleNamespace(workloads=())
    nothing: Any = None
    run = RunContext(
        lab=lab, cluster=nothing, adapter=adapter, journal=journal, waiter=nothing, programs={}, claimed=frozenset()
    )
    run.note_clocks()
    run.note_clocks()
    found["place"] = Clock(offset=1.6, uncertainty=0.1)
    run.note_clocks()

    assert [(row["event"], row["vantage"], row["offset"], row["uncertainty"]) for row in rows] == [
        ("probe", "place", 1.5, 0.1),
        ("probe", "place", 1.6, 0.1),
    ]


def test_a_replaced_namespace_has_a_new_probe(place: NamespaceVantage) -> None:
    """As of a node that crashed and is back: the name is the same, the place is not."""
    before = place.probe()
    where = namespace(before)
    name = place.netns.rpartition("/")[2]
    ip("netns", "del", name)
    ip("netns", "add", name)
    after = place.probe()

    assert namespace(after) != where
    assert before.process.returncode is not None


def test_a_probe_that_a_fault_killed_with_its_namespace_is_replaced(place: NamespaceVantage) -> None:
    """As by the crash of a node, also where the kernel gives the inode of the namespace to the next one."""
    before = place.probe()
    identity = namespace_identity(place.netns)
    name = place.netns.rpartition("/")[2]
    os.kill(before.process.pid, signal.SIGKILL)
    eventually(lambda: before.alive, lambda alive: not alive, what="it dies", within=5)
    assert namespace_identity(place.netns) == identity
    ip("netns", "del", name)
    ip("netns", "add", name)

    assert namespace_identity(place.netns)[2] != identity[2]  # the inode may be the same
    assert place.probe().alive


def test_a_slow_vantage_delays_no_other() -> None:
    """The start of a probe may take half a minute in a pod."""
    probes, arrived, go_on = Probes(), threading.Event(), threading.Event()
    quick: Any = SimpleNamespace(alive=True, clock=Clock(), close=lambda: None)

    def slow() -> Any:  # noqa: ANN401 - a probe
        arrived.set()
        assert go_on.wait(5)
        return quick

    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(probes.shared, "slow", 1, slow)
        assert arrived.wait(5)
        assert probes.shared("quick", 1, lambda: quick) is quick
        assert not waiting.done()
        go_on.set()


def test_pods_of_one_name_have_a_probe_each(segment: Segment) -> None:
    """Their namespaces tell them apart."""
    vantage, probes = segment.hosts["client"], Probes()
    command = 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"'
    kubectl = ("nsenter", f"--net={vantage.netns}", "sh", "-c", command, "kubectl")

    def pod(namespace: str) -> ExecVantage:
        status = {"name": "main", "state": {"running": {}}, "containerID": namespace}
        seen = {"containerStatuses": [status], "podIPs": [{"ip": str(vantage.address)}]}
        return ExecVantage.of_pod(
            {"metadata": {"namespace": namespace, "name": "web"}, "status": seen}, kubectl, probes
        )

    one, other = pod("one"), pod("other")

    assert one.probe() is not other.probe()
    assert one.probe().alive
    assert list(probes.clocks()) == ["pod one/web", "pod other/web"]
    probes.close()


def test_a_namespace_that_is_gone_is_said_to_be(place: NamespaceVantage) -> None:
    """While a node has crashed there is nothing to ask from."""
    gone = NamespaceVantage(name="gone", addresses=(), mac="", netns=f"{place.netns}x", pidns=place.pidns)

    with pytest.raises(ProbeError, match=r"probe at gone: its namespace is not there: .*No such file"):
        gone.probe()


def test_a_probe_that_died_is_replaced(place: NamespaceVantage, caplog: pytest.LogCaptureFixture) -> None:
    """What it was doing fails; the next user gets another one."""
    dead = place.probe()
    running = dead.request("frames", interface="lo", protocol=TEST_TYPE, filter=[], send=[], seconds=None)
    os.kill(dead.process.pid, signal.SIGKILL)
    eventually(lambda: dead.alive, lambda alive: not alive, what="it dies", within=5)

    assert place.probe().alive
    assert "probe at place: it ended with -9; another one is started" in caplog.text
    with pytest.raises(ProbeError, match="task"):
        running.result(1)


def test_a_probe_that_stands_still_is_replaced(place: NamespaceVantage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It fails one request, not all that follow."""
    monkeypatch.setattr(stream, "END", 0.1)
    monkeypatch.setattr(witness, "ALIVE", 0.1)
    stopped = place.probe()
    os.kill(stopped.process.pid, signal.SIGSTOP)

    with pytest.raises(ProbeError, match="no end within"):
        stopped.call("connect", within=0.1, host="127.0.0.1", port=9, timeout=0.1)
    assert not stopped.alive
    assert place.probe().call("connect", within=10, host="127.0.0.1", port=9, timeout=1).records


def test_the_end_of_the_lab_ends_all(place: NamespaceVantage) -> None:
    """Shared ones and others."""
    found = [place.probe(), place.start_probe()]
    place.probes.close()

    assert [probe.process.returncode for probe in found] == [0, 0]


def test_it_dies_with_the_process_namespace_of_its_lab(place: NamespaceVantage) -> None:
    """Its init is the lab's."""
    with subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child=KILL", "sleep", "60"]) as lab:
        children = Path(f"/proc/{lab.pid}/task/{lab.pid}/children")

        def init() -> str:
            return children.read_text(encoding="ascii").strip()

        eventually(init, bool, what="it has an init", within=5)
        inside = NamespaceVantage(
            name="inside", addresses=(), mac="", netns=place.netns, pidns=f"/proc/{init()}/ns/pid"
        )
        probe = inside.probe()
        lab.kill()
        eventually(lambda: probe.alive, lambda alive: not alive, what="it dies", within=5)
        probe.close()

    assert probe.process.returncode == -signal.SIGKILL


def test_frames_leave_on_a_schedule_and_arrive(segment: Segment) -> None:
    """Each has the moment of its sending at one vantage and of its arrival at the other."""
    client, web = segment.hosts["client"], segment.hosts["web"]
    frame = bytes.fromhex((web.mac + client.mac).replace(":", "")) + TEST_TYPE.to_bytes(2, "big") + bytes(46)
    with listening(web.probe()) as heard:
        asked = {"interface": "eth0", "protocol": TEST_TYPE, "filter": []}
        plan = [(0.0, text_of(frame)), (0.1, text_of(frame))]
        sent = client.probe().call("frames", within=0.2, send=plan, seconds=0.2, **asked)
        arrived = heard.wait_records(2, within=5)
    left = [record[1] for record in sent.records if record[0] == "sent"]

    assert [record[2] for record in sent.records if record[0] == "sent"] == [0, 1]
    assert left[1] - left[0] >= 0.1
    assert [record[3] for record in arrived] == [text_of(frame)] * 2
    assert all(0 <= record[1] - t < 0.1 for record, t in zip(arrived, left, strict=True))


def test_a_late_probe_reports_what_arrived_in_time(segment: Segment) -> None:
    """Frames that arrived before the end belong to the records, later ones do not."""
    client, web = segment.hosts["client"], segment.hosts["web"]
    frame = bytes.fromhex((web.mac + client.mac).replace(":", "")) + TEST_TYPE.to_bytes(2, "big")
    asked: dict[str, Any] = {"interface": "eth0", "protocol": TEST_TYPE, "filter": []}
    with web.start_probe() as slow:
        heard = slow.request("frames", send=[], seconds=1, **asked)
        end = heard.wait_ready() + 1
        with frozen(slow):
            early = [(0.0, text_of(frame + b"early" + bytes([number]))) for number in range(50)]
            client.probe().call("frames", within=0, send=early, seconds=0, **asked)
            assert time.monotonic() < end
            eventually(time.monotonic, lambda now: now > end + 0.1, what="it is over", within=5)
            client.probe().call("frames", within=0, send=[(0.0, text_of(frame + b"late"))], seconds=0, **asked)
        found = heard.result(0)

    assert [bytes_of(record[3])[14:20] for record in found.records] == [b"early" + bytes([n]) for n in range(50)]


def test_what_arrived_before_a_cancel_is_reported(segment: Segment) -> None:
    """Nothing that waits in the kernel is forgotten."""
    client, web = segment.hosts["client"], segment.hosts["web"]
    frame = bytes.fromhex((web.mac + client.mac).replace(":", "")) + TEST_TYPE.to_bytes(2, "big") + bytes(46)
    with web.start_probe() as slow:
        heard = listening(slow)
        with frozen(slow):
            asked = {"interface": "eth0", "protocol": TEST_TYPE, "filter": []}
            client.probe().call("frames", within=1, send=[(0.0, text_of(frame))] * 1000, seconds=0, **asked)
        found = heard.cancel()

    assert (len(found.records), found.dropped) == (1000, 0)


def test_a_late_frame_delays_the_later_ones(segment: Segment) -> None:
    """After a stall frames do not leave back to back, so that there is time for a reply to each."""
    with segment.hosts["client"].start_probe() as slow:
        asked: dict[str, Any] = {"interface": "eth0", "protocol": TEST_TYPE, "filter": []}
        plan = [(turn * 0.1, text_of(bytes(60))) for turn in range(4)]
        sending = slow.request("frames", send=plan, seconds=0.4, **asked)
        began = sending.wait_ready()
        with frozen(slow):
            eventually(time.monotonic, lambda now: now > began + 0.3, what="it stalls", within=5)
        left = [record for record in sending.result(0.4).records if record[0] == "sent"]

    assert [index for _, _, index, _ in left] == [0, 1, 2, 3]
    assert all(later[1] - earlier[3] >= 0.099 for earlier, later in itertools.pairwise(left))


def test_what_the_kernel_drops_is_counted(segment: Segment) -> None:
    """A probe that stands still loses frames, and says how many: each is reported or counted."""
    client, web = segment.hosts["client"], segment.hosts["web"]
    frame = bytes.fromhex((web.mac + client.mac).replace(":", "")) + TEST_TYPE.to_bytes(2, "big") + bytes(1400)
    with web.start_probe() as slow:
        heard = listening(slow)
        os.kill(slow.process.pid, signal.SIGSTOP)
        asked = {"interface": "eth0", "protocol": TEST_TYPE, "filter": []}
        client.probe().call("frames", within=10, send=[(0.0, text_of(frame))] * 12_000, seconds=0, **asked)
        os.kill(slow.process.pid, signal.SIGCONT)
        found = heard.cancel()

    assert found.dropped > 0
    assert len(found.records) + found.dropped == 12_000
