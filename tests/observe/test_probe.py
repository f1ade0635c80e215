"""Requests to a probe and their records, and every way in which they can be lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbproof.probe import tasks
from lbproof.probe.server import BadRequest, Server
from lbproof.witnesses import bootstrap, stream
from lbproof.witnesses import probe as witness
from lbproof.witnesses.clock import Clock, measured
from lbproof.witnesses.probe import Probe
from lbproof.witnesses.stream import ProbeError, Stream
from lbproof.witnesses.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HELLO = {"hello": {"version": 1, "pid": 1, "boot_id": "other", "time_namespace": ""}}


def here(argv: Sequence[str], *, stdin: int, stdout: int, stderr: IO[bytes] | int) -> subprocess.Popen[bytes]:
    """Start a program in this place."""
    return subprocess.Popen(argv, stdin=stdin, stdout=stdout, stderr=stderr)


def written(text: str) -> list[str]:
    """The command line of a program that says hello, answers clock exchanges, and then writes this."""
    clocks = "for i in range(8): sys.stdin.readline(); print(json.dumps({'clock': i, 't': 1.5}), flush=True)"
    source = f"import sys, json; print({json.dumps(HELLO)!r}, flush=True)\n{clocks}\nsys.stdin.readline()\n{text}"
    return [sys.executable, "-c", source]


@pytest.fixture
def probe() -> Iterator[Probe]:
    """A probe as a child of this process."""
    with Probe("here", here) as started:
        yield started


def connect(probe: Probe) -> str:
    """What a connection to a closed port of this machine is."""
    found = probe.call("connect", within=1, host="127.0.0.1", port=9, timeout=0.5)
    return str(found.records[0]["kind"])


def endless(probe: Probe) -> Stream:
    """A task that does not end by itself."""
    found = probe.request("frames", interface="lo", protocol=0x88B5, filter=[], send=[], seconds=None)
    found.wait_ready()
    return found


def test_a_request_has_records_and_an_end(probe: Probe) -> None:
    """The result holds all records, and nothing was dropped."""
    found = probe.call("connect", within=1, host="127.0.0.1", port=9, timeout=0.5)

    assert [record["kind"] for record in found.records] == ["refused"]
    assert found.dropped == 0


def test_requests_run_at_the_same_time(probe: Probe) -> None:
    """A long one does not hold up a short one, and each answer goes to its own request."""
    with endless(probe) as running:
        assert {connect(probe) for _ in range(20)} == {"refused"}
        assert not running.ended
    assert running.ended


def test_the_same_kernel_is_the_same_clock(probe: Probe) -> None:
    """Nothing is measured where nothing can differ."""
    assert probe.clock == Clock(offset=0, uncertainty=0)


def test_another_time_namespace_is_another_clock() -> None:
    """The offset is measured, and the true one lies within its uncertainty."""

    def shifted(argv: Sequence[str], *, stdin: int, stdout: int, stderr: IO[bytes] | int) -> subprocess.Popen[bytes]:
        return here(["unshare", "--time", "--monotonic=1000", "--", *argv], stdin=stdin, stdout=stdout, stderr=stderr)

    with Probe("shifted", shifted) as probe:
        assert abs(probe.clock.offset - 1000) <= probe.clock.uncertainty + 1e-6
        assert 0 < probe.clock.uncertainty < 0.1


def test_a_clock_is_measured_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clocks of two kernels drift apart: before a request the offset is not old."""

    def shifted(argv: Sequence[str], *, stdin: int, stdout: int, stderr: IO[bytes] | int) -> subprocess.Popen[bytes]:
        return here(["unshare", "--time", "--monotonic=1000", "--", *argv], stdin=stdin, stdout=stdout, stderr=stderr)

    with Probe("shifted", shifted) as probe:
        first = probe.clock
        connect(probe)
        assert probe.clock is first
        monkeypatch.setattr(witness, "SYNCHRONIZED", 0.0)
        probe.clock = Clock(offset=5, uncertainty=0.1)
        connect(probe)

        assert abs(probe.clock.offset - 1000) <= probe.clock.uncertainty + 1e-6


def test_a_probe_whose_output_stays_open_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process has it; the suite does not wait for that one."""
    monkeypatch.setattr(witness, "_GONE", 0.2)
    monkeypatch.setattr(witness, "_CLOSED", 0.1)
    probe = Probe("left", here, argv=written("import os, time\nos.fork() or time.sleep(1)"))

    with pytest.raises(ProbeError, match=r"probe at left: it does not end, 0\.2 s after it was killed"):
        probe.close()
    eventually(probe.close, lambda _: True, what="the other process ends", within=10, ignore=(ProbeError,))


def test_the_shortest_round_trip_counts() -> None:
    """Its middle is the vantage's moment, and half of it the uncertainty."""
    clock = measured([(0.0, 7.0, 4.0), (10.0, 15.5, 11.0), (20.0, 24.0, 22.0)])

    assert clock == Clock(offset=5.0, uncertainty=0.5)
    assert clock.local(clock.remote(3.0)) == 3.0


def test_an_error_at_the_vantage_is_told(probe: Probe) -> None:
    """With the kernel's words and its number."""
    with pytest.raises(ProbeError, match="task frames at here: eth77: No such device") as failed:
        probe.call("frames", within=1, interface="eth77", protocol=3, filter=[], send=[], seconds=0)

    assert failed.value.errno == 19


@pytest.mark.parametrize("name", ["nothing", "../http", "http.client"])
def test_an_unknown_task_is_named(probe: Probe, name: str) -> None:
    """What is not a task is not imported."""
    with pytest.raises(ProbeError, match=r"LookupError: no task '"):
        probe.call(name, within=1)


def test_a_missing_argument_is_named(probe: Probe) -> None:
    """By its type and name, as Python says it."""
    with pytest.raises(ProbeError, match="task connect at here: KeyError: 'host'"):
        probe.call("connect", within=1)


def test_a_killed_probe_fails_what_runs_and_what_comes(probe: Probe) -> None:
    """Everyone who waits is told at once, which vantage, which task, and how it ended."""
    running = endless(probe)
    os.kill(probe.process.pid, signal.SIGKILL)

    with pytest.raises(ProbeError, match="task frames at here: probe at here: it ended with -9"):
        running.result(5)
    with pytest.raises(ProbeError, match="probe at here: it ended with -9"):
        connect(probe)
    assert not probe.alive


def test_the_records_of_a_killed_probe_are_not_read(probe: Probe) -> None:
    """A stream that is read now and then fails as well: what it has is not all there was."""
    running = endless(probe)
    os.kill(probe.process.pid, signal.SIGKILL)

    with pytest.raises(ProbeError, match="it ended with -9"):
        eventually(lambda: running.records, bool, what="it fails", within=5)


def test_a_request_without_end_fails(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long after its time; the probe itself goes on."""
    monkeypatch.setattr(stream, "END", 0.1)
    running = endless(probe)

    with pytest.raises(ProbeError, match=r"task frames at here: no end within 0\.2 s"):
        running.result(0.1)
    assert connect(probe) == "refused"


def test_a_probe_that_stands_still_fails(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is there, and answers nothing."""
    monkeypatch.setattr(stream, "END", 0.1)
    os.kill(probe.process.pid, signal.SIGSTOP)

    with pytest.raises(ProbeError, match="no end within"):
        connect(probe)


def test_a_closed_probe_fails_what_runs(probe: Probe) -> None:
    """As when a lab is removed while something still listens."""
    running = endless(probe)
    probe.close()

    with pytest.raises(ProbeError, match="it was closed"):
        running.result(1)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("print('nonsense', flush=True); sys.stdin.read()", r"not a line of the protocol: b'nonsense\\n'"),
        ("print(json.dumps({'id': 1, 'n': 0, 'records': [1]})[:-4], end='')", "not a line of the protocol"),
        ("print(json.dumps({'id': 99, 'n': 0, 'records': [1]}), flush=True); sys.stdin.read()", "not a line of the"),
        ("print(json.dumps({'id': 1, 'other': 0}), flush=True); sys.stdin.read()", "not a line of the protocol"),
        ("print(json.dumps({'id': 1, 'n': 1, 'records': [1]}), flush=True); sys.stdin.read()", "record 1 arrived"),
        ("print(json.dumps({'id': 1, 'end': {'records': 1, 'dropped': 0}}), flush=True); sys.stdin.read()", "0 of 1"),
        ("sys.exit('out of memory')", "it ended with 1: out of memory"),
    ],
    ids=["nonsense", "cut", "foreign", "unknown", "gap", "short", "died"],
)
def test_a_wrong_line_is_no_verdict(text: str, why: str) -> None:
    """Whatever is wrong, the request fails, with a reason."""
    with Probe("there", here, argv=written(text)) as probe, pytest.raises(ProbeError, match=why) as failed:
        probe.call("any", within=1)

    assert "task any at there" in str(failed.value)


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (["/nonexistent/python3"], "it cannot be started: .*No such file"),
        ([sys.executable, "-c", "import sys; sys.exit('no such module')"], "it ended with 1: no such module"),
        ([sys.executable, "-c", "input()"], r"it has not said hello within 0\.5 s"),
        ([sys.executable, "-c", f"print({json.dumps(HELLO)!r}.replace(' 1,', ' 7,', 1)); input()"], "speaks version 7"),
    ],
    ids=["absent", "died", "silent", "version"],
)
def test_a_probe_that_does_not_start_says_why(argv: list[str], why: str) -> None:
    """At once, or when it has had its time."""
    with pytest.raises(ProbeError, match=f"probe at there: .*{why}"):
        Probe("there", here, argv=argv, within=0.5)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
messages = st.dictionaries(
    st.sampled_from(["id", "n", "records", "end", "error", "errno", "ready", "clock", "t", "task", "tell", "cancel"]),
    json_values,
)


@given(message=messages)
def test_any_answer_is_taken_or_refused(message: dict[str, Any]) -> None:
    """Nothing but ValueError comes out of a wrong one."""
    taking = Stream(1, "task", lambda _: None)
    try:
        taking.take(message)
    except ValueError:
        return


@given(data=st.binary(max_size=60) | messages.map(lambda message: json.dumps(message).encode() + b"\n"))
def test_any_line_is_a_request_or_refused(data: bytes) -> None:
    """Nothing but BadRequest comes out of a wrong one; a task that there is not is answered for."""
    with Path(os.devnull).open("wb") as out:
        serving = Server(out.fileno())
        try:
            serving.handle(data)
        except BadRequest:
            return
        eventually(lambda: serving._tasks, lambda left: not left, what="tasks end", within=5)  # noqa: SLF001


def test_a_bad_request_ends_the_probe(probe: Probe) -> None:
    """With the reason on its standard error, which the failure shows."""
    probe._write_bytes(b'{"id": "seven"}\n')  # noqa: SLF001 - the suite itself writes no such line

    with pytest.raises(ProbeError, match="it ended with 76: not a request"):
        eventually(probe.require_alive, bool, what="it ends", within=5)


def test_each_record_is_given_once_and_in_order() -> None:
    """Records that are handed on are not kept."""
    got: list[int] = []
    taking = Stream(1, "task", lambda _: None, got.append)
    taking.take({"n": 0, "records": [1, 2]})
    taking.take({"n": 2, "records": [3]})
    taking.take({"end": {"records": 3, "dropped": 0, "more": "x"}})
    found = taking.result(0)

    assert got == [1, 2, 3]
    assert (list(found.records), found.end) == ([], {"more": "x"})


def test_a_record_that_cannot_be_read_fails_the_request() -> None:
    """It does not end the thread that reads for everyone else."""
    taking = Stream(1, "task x", lambda _: None, int)
    taking.take({"n": 0, "records": ["seven"]})

    with pytest.raises(ProbeError, match="task x: ValueError: invalid literal"):
        taking.result(0)


def test_its_code_can_be_sent_to_a_place_that_has_only_python() -> None:
    """Without site-packages, every task can be imported there."""
    argv = [sys.executable, "-S", *bootstrap.ARGV[1:]]
    names = sorted(path.stem for path in Path(tasks.__file__).parent.glob("[a-z]*.py"))
    with Probe("bare", here, argv=argv, code=bootstrap.code()) as probe:
        assert connect(probe) == "refused"
        for name in names:
            with pytest.raises(ProbeError, match="KeyError"):
                probe.call(name, within=1)


def test_it_ends_with_its_starter() -> None:
    """The end of its standard input is enough, also when nobody can end it."""
    source = (
        "import subprocess, sys, time\nfrom lbproof.witnesses.probe import Probe\n"
        "probe = Probe('here', lambda argv, **pipes: subprocess.Popen(argv, **pipes))\n"
        "print(probe.process.pid, flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE) as starter:
        assert starter.stdout
        pid = int(starter.stdout.readline())
        ended = os.pidfd_open(pid)
        starter.kill()
    with os.fdopen(ended):
        eventually(lambda: Path(f"/proc/{pid}/stat").exists(), lambda there: not there, what="it ends", within=5)


def test_many_ask_at_once(probe: Probe) -> None:
    """Threads of the suite share it."""
    seen: list[str] = []
    threads = [threading.Thread(target=lambda: seen.append(connect(probe))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert seen == ["refused"] * 16


def test_what_a_task_prints_does_not_disturb_the_protocol() -> None:
    """Standard output belongs to the answers."""
    source = "import sys\nfrom lbproof.probe import server, tasks\n"
    source += "tasks.find = lambda name: lambda task: print('noise')\nserver.main()"
    with Probe("noisy", here, argv=[sys.executable, "-c", source]) as probe:
        assert probe.call("any", within=1).records == []


def test_a_failed_request_is_cancelled_once() -> None:
    """The suite gave it up, not the probe: its task would go on."""
    written_lines: list[dict[str, Any]] = []
    found = Stream(7, "task here", written_lines.append, each=int)
    found.take({"n": 0, "records": ["no number"]})
    for _ in range(2):
        with pytest.raises(ProbeError, match="task here: ValueError"):
            found.cancel()

    assert written_lines == [{"id": 7, "cancel": True}]


def test_a_request_that_failed_at_the_probe_is_not_cancelled() -> None:
    """It has ended there."""
    written_lines: list[dict[str, Any]] = []
    found = Stream(7, "task here", written_lines.append)
    found.take({"error": "broken", "errno": None})
    with pytest.raises(ProbeError, match="task here: broken"):
        found.cancel()

    assert written_lines == []
