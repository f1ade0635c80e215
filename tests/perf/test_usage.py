"""What an implementation costs is read whole and attributed to the right part."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lbproof.adapters.base import Workload, WorkloadRole
from lbproof_perf.benchmarks.allocate import cost
from lbproof_perf.sut.usage import Used, by_part, cpu_between, private_bytes, rates, read, requests, restless

PARTS = {"controller": [("metallb-system", "controller-")], "speakers": [("metallb-system", "speaker-")]}
BUSY = """
import sys, time
def burn():
    until = time.thread_time() + 0.3
    while time.thread_time() < until: pass
block = bytearray(b'x') * (32 << 20)
print('here', flush=True)
sys.stdin.readline(); burn()
"""


def event(**changed: object) -> bytes:
    """A line of an audit log."""
    pod = changed.pop("pod", "controller-7949f7657c-scdrj")
    user = {
        "username": "system:serviceaccount:metallb-system:controller",
        "extra": {"authentication.kubernetes.io/pod-name": [pod]},
    }
    return json.dumps({"stage": "ResponseComplete", "verb": "get", "user": user, **changed}).encode()


@pytest.fixture
def program() -> subprocess.Popen[bytes]:
    """A shell whose child holds 32 MiB and, told so, uses 0.3 s of a processor and ends; then the shell waits."""
    argv = ["sh", "-c", f'"{sys.executable}" -c "$BUSY"; echo over; cat']
    return subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "BUSY": BUSY}, start_new_session=True
    )


def test_children_are_counted_while_they_run_and_after(program: subprocess.Popen[bytes]) -> None:
    """A worker's memory and processor time are its parent's too, also when it has ended in between."""
    process = [Path(f"/proc/{program.pid}")]
    assert program.stdout
    assert program.stdin
    program.stdout.readline()
    begin = read(process)
    program.stdin.write(b"go\n")
    program.stdin.flush()
    program.stdout.readline()
    end = read(process)
    program.communicate(timeout=10)

    assert len(begin.cpu) == 2
    assert begin.private >= 32 << 20 > end.private
    assert sum(end.cpu.values()) >= 0.3


def test_a_process_that_has_ended_counts_nothing() -> None:
    """A pod that is restarted while it is read does not break the reading."""
    found = read([Path("/proc/0")])

    assert (found.cpu, found.private) == ({}, 0)


def test_only_what_was_used_in_between_counts() -> None:
    """A process of before counts its difference, a new one all, and one that ended nothing."""
    begin = read([Path(f"/proc/{os.getpid()}")])
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass
    seconds = cpu_between(begin, read([Path(f"/proc/{os.getpid()}")]))

    assert 0.05 < seconds < 1
    assert cpu_between(begin, read([])) == 0


def test_private_memory_is_what_nobody_shares() -> None:
    """Shared pages of one program in many pods are not counted for each."""
    text = (
        "55d0-7ffd ---p 0 0:0 0 [rollup]\nRss: 900 kB\nShared_Clean: 500 kB\nPrivate_Clean: 4 kB\nPrivate_Dirty: 6 kB"
    )

    assert private_bytes(text) == 10 * 1024


def test_a_request_is_its_pod_s() -> None:
    """The controller's and the speakers' requests are told apart, and from anyone else's."""
    stranger = {"username": "system:serviceaccount:other:controller", "extra": json.loads(event())["user"]["extra"]}
    lines = [event(), event(pod="speaker-x"), event(pod="speaker-y"), event(pod="web-1"), event(user=stranger)]

    assert requests(lines, PARTS) == {"controller": 1, "speakers": 2}


def test_a_watch_counts_when_it_begins() -> None:
    """A watch is one request, not one more when it ends minutes later."""
    lines = [event(verb="watch", stage="ResponseStarted"), event(verb="watch"), event(stage="ResponseStarted")]

    assert requests(lines, PARTS)["controller"] == 1
    assert [requests([line], PARTS)["controller"] for line in lines] == [1, 0, 0]


def test_rest_is_when_nothing_changes_any_more() -> None:
    """A log that still grows is waited for."""
    sizes = iter([1, 2, 3])

    assert restless(lambda: next(sizes, 3), 10) == ()
    assert next(sizes, None) is None


def test_who_does_not_come_to_rest_is_marked() -> None:
    """A figure at rest of one that is not is kept, and says so."""
    (snapshot,) = restless(time.monotonic_ns, 0.3)
    assert "0.3 s" in snapshot


@pytest.mark.parametrize(
    ("roles", "parts"),
    [
        ([{WorkloadRole.CONTROLLER}, {WorkloadRole.ANNOUNCER}], {"controller": [0], "speakers": [1]}),
        ([{WorkloadRole.CONTROLLER, WorkloadRole.ANNOUNCER}], {"speakers": [0]}),
        ([{WorkloadRole.CONTROLLER}, set()], {"controller": [0, 1]}),
    ],
)
def test_only_parts_that_there_are_are_read(roles: list[set[WorkloadRole]], parts: dict[str, list[int]]) -> None:
    """One workload for both has no controller whose figures were 0."""
    workloads = [
        Workload(kind="DaemonSet", namespace="acme", name=f"w{at}", selector={"app": "acme"}, roles=frozenset(row))
        for at, row in enumerate(roles)
    ]

    assert by_part(workloads) == {part: [workloads[at] for at in rows] for part, rows in parts.items()}


def test_a_part_that_is_not_there_has_no_figure() -> None:
    """Nothing is reported as measured that was not; sums are of what there is."""
    used = {"speakers": Used(cpu_seconds=4.0, private_bytes=30, requests=12, seconds=2.0)}

    assert not [name for name in rates(used) | cost(used) if "controller" in name]
    assert (rates(used)["api_requests_per_second"], cost(used)["cpu_seconds"]) == (6.0, 4.0)
