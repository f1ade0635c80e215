"""What the checks of PERF compute from what they read: processor time, memory, requests, medians."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from lbproof.checks.perf import figures
from lbproof.checks.perf import test_what_it_costs as costs
from lbproof.checks.perf.figures import Moments, spread, usage, used

if TYPE_CHECKING:
    from lbproof.context import CheckContext

STAT = "{pid} (a (b) c) S 1 1 1 0 -1 0 0 0 0 0 {user} {system} 0 0 20 0 1 0 {start} 0 0"


def process(proc: Path, pid: int, *, ticks: int, private: int, children: str = "", start: int = 7) -> Path:
    """A process in a /proc."""
    folder = proc / str(pid)
    (folder / "task" / str(pid)).mkdir(parents=True, exist_ok=True)
    (folder / "task" / str(pid) / "children").write_text(children)
    (folder / "stat").write_text(STAT.format(pid=pid, user=ticks, system=ticks, start=start))
    rows = f"Rss: 900 kB\nPrivate_Clean: 1 kB\nPrivate_Dirty: {private - 1} kB\n"
    (folder / "smaps_rollup").write_text(rows)
    return folder


def told() -> tuple[CheckContext, dict[str, Any]]:
    """A check that measures, and what it measured."""
    seen: dict[str, Any] = {}
    check = SimpleNamespace(measured=lambda what, value, unit="": seen.update({what: (value, unit)}))
    return cast("CheckContext", check), seen


def test_usage_is_of_all_processes_of_all_pods(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Children included; a process that is new counts whole, one that is another of the same number too."""
    monkeypatch.setattr(figures, "_TICK", 100)
    pods = {
        "a": [process(tmp_path, 5, ticks=50, private=10, children="6")],
        "b": [process(tmp_path, 8, ticks=1, private=4)],
    }
    process(tmp_path, 6, ticks=25, private=100)
    check = cast(
        "CheckContext",
        SimpleNamespace(
            run=SimpleNamespace(
                workloads=SimpleNamespace(all=("w",), running=lambda *_: [("", "ns", "a"), ("", "ns", "b")])
            ),
            lab=SimpleNamespace(pod_processes=lambda _, pod: pods[pod]),
        ),
    )
    before = usage(check)
    process(tmp_path, 5, ticks=60, private=12, children="6")
    process(tmp_path, 6, ticks=5, private=100, start=9)
    after = usage(check)

    assert (before.private, after.private) == (114 * 1024, 116 * 1024)
    assert used(before, after) == pytest.approx(0.2 + 0.1)


def test_a_real_process_can_be_read() -> None:
    """This one, as the kernel shows it; one that has ended counts nothing."""
    pods = {"a": [Path("/proc/self"), Path("/proc/0")]}
    check = SimpleNamespace(
        run=SimpleNamespace(workloads=SimpleNamespace(all=(), running=lambda *_: [("", "ns", "a")])),
        lab=SimpleNamespace(pod_processes=lambda _, pod: pods[pod]),
    )

    before = usage(cast("CheckContext", check))
    sum(range(4_000_000))
    after = usage(cast("CheckContext", check))

    assert before.private > 1 << 20
    assert 0 < used(before, after) < 60


def test_requests_are_those_of_the_implementations_pods(tmp_path: Path) -> None:
    """Since a moment; a line that is being written does not count."""
    log = tmp_path / "audit.log"
    done = {"stage": "ResponseComplete", "verb": "get"}
    rows = [
        {"user": {"extra": {costs._POD: [pod]}}, **done}  # noqa: SLF001
        for pod in ("controller-x", "web-1", "speaker-y")
    ]
    watch = rows[0] | {"verb": "watch"}
    log.write_text(json.dumps(rows[0]) + "\n")
    mark = log.stat().st_size
    with log.open("a") as file:
        file.write(
            "\n".join(map(json.dumps, [*rows, done | {"user": {}}, watch, watch | {"stage": "ResponseStarted"}]))
            + '\n{"user": {"ext'
        )
    workloads = SimpleNamespace(all=(SimpleNamespace(name="controller"), SimpleNamespace(name="speaker")))
    check = SimpleNamespace(lab=SimpleNamespace(audit_log=log), run=SimpleNamespace(workloads=workloads))

    assert costs.requests(cast("CheckContext", check), mark) == 3


def test_many_times_are_told_by_median_and_longest() -> None:
    """One time as it is, none not at all."""
    check, seen = told()
    spread(check, "one", [0.5])
    spread(check, "none", [])
    spread(check, "many", [0.3, 0.1, 0.9])

    assert seen == {"one": (0.5, "s"), "many, median": (0.3, "s"), "many, longest": (0.9, "s")}


def test_the_first_address_counts() -> None:
    """Later versions of a status change no moment."""
    moments = Moments()
    made: dict[str, Any] = {"metadata": {"namespace": "n", "name": "web"}, "status": {}}
    moments.changed("ADDED", made)
    assert moments.assigned == {}
    for address in ("192.0.2.1", "192.0.2.2"):
        moments.changed("MODIFIED", made | {"status": {"loadBalancer": {"ingress": [{"ip": address}]}}})

    assert str(moments.assigned["web"][1]) == "192.0.2.1"
