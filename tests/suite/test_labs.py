"""Runs in several labs at once: verdicts, exits and reports are those of a run in one lab."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from random import Random
from typing import TYPE_CHECKING

import pytest
from tests.suite.conftest import SUITE

from lbproof.lab.common.capacity import capacity
from lbproof.run.schedule import Check, Schedule, labs_that_pay
from lbproof.witnesses.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.suite.conftest import Run

HEAD = """
import os
from pathlib import Path
from lbproof.context import CannotShow, proves
here = Path(__file__).parent
"""
TOGETHER = (
    HEAD
    + """
from lbproof.witnesses.wait import eventually
@proves("POOL-02", "abc")
def test_waits_for_the_others(check, case):
    (here / f"judges-{case}-{os.getpid()}").touch()
    check.saw("lab", "process", os.getpid())
    eventually(lambda: len(list(here.glob("judges-*"))), lambda n: n == 3, what="three labs judge", within=20)
"""
)
SHARED = (
    HEAD
    + """
import pytest, secrets
@pytest.fixture(scope="module")
def made(): return secrets.token_hex()
@proves("POOL-02", "abc", together=True)
def test_shares(check, case, made): check.saw("lab", "fixture", made)
@proves("L2-01")
def test_beside(check): pass
"""
)
MIXED = (
    HEAD
    + """
from lbproof.spec import Untestable
@proves("POOL-01")
def test_passes(check): pass
@proves("L2-01")
def test_fails(check): assert 1 == 2, "two nodes answer"
@proves("RECL-03")
def test_breaks(check): {}["x"]
@proves("TIER-04")
def test_cannot(check): raise CannotShow(Untestable.PATH_BROKEN, "no route")
@proves("REQ-06")
def test_measures(check): check.measured("pool of a node", "refused")
"""
)
DIES = HEAD + '@proves("POOL-02", "abc")\ndef test_dies(check, case):\n    if case == "b": os._exit(3)\n'
STANDS = (
    HEAD
    + """
import threading
@proves("POOL-02", "abc")
def test_stands(check, case):
    check.undo.later("a pool", (here / f"undone-{case}").touch)
    (here / f"stands-{os.getpid()}").touch()
    threading.Event().wait(50)
"""
)


def test_three_labs_judge_at_once(run: Callable[..., Run]) -> None:
    """Each case waits until all three are being judged: in one lab none would pass."""
    done = run(TOGETHER, "--labs", "3")

    assert (done.exit, set(done.verdicts().values())) == (0, {"passed"}), done.screen
    assert "3 labs in parallel" in done.screen
    judged = {row["case"]: row["value"] for row in done.events("saw")}
    assert len(set(judged.values())) == 3, judged
    assert done.environment["labs"] == "3"


@pytest.mark.parametrize("order", [[], ["--random-order"]], ids=["longest-first", "random"])
def test_cases_that_share_a_fixture_are_judged_in_one_lab(run: Callable[..., Run], order: list[str]) -> None:
    """One after the other, so that the fixture is made once, though other labs have nothing else to do."""
    done = run(SHARED, "--labs", "3", *order)

    assert (done.exit, set(done.verdicts().values())) == (0, {"passed"}), done.screen
    assert len({row["value"] for row in done.events("saw") if row["what"] == "fixture"}) == 1


def test_verdicts_and_exit_are_those_of_one_lab(run: Callable[..., Run], tmp_path: Path) -> None:
    """A failure, an error, an untestable case and one that measures, each from another lab."""
    one = run(MIXED, "--labs", "1")
    verdicts = one.verdicts()
    assert verdicts["REQ-06"] == "passed"
    three = run(MIXED, "--labs", "3", "--", f"--junitxml={tmp_path / 'junit.xml'}")

    assert three.verdicts() == verdicts
    assert three.exit == one.exit == 1
    assert "two nodes answer" in three.screen
    assert 'tests="5"' in (tmp_path / "junit.xml").read_text()


def test_a_first_failure_ends_the_run(run: Callable[..., Run]) -> None:
    """With `-x`, what was not handed out is not reached."""
    checks = "".join(f'@proves("ARTICLE-{n:02}")\ndef test_{n}(check): assert False\n' for n in range(1, 10))
    done = run(HEAD + checks, "--labs", "2", "--", "-x")

    assert done.exit == 1, done.screen
    verdicts = list(done.verdicts().values())
    assert 1 <= verdicts.count("failed") <= 2
    assert verdicts.count("error") == 9 - verdicts.count("failed")


def test_a_lab_whose_process_dies_loses_one_case(run: Callable[..., Run]) -> None:
    """The case that it judged is an error that says so; the others are judged in the labs that are left."""
    done = run(DIES, "--labs", "2")

    assert done.verdicts() == {"POOL-02a": "passed", "POOL-02b": "error", "POOL-02c": "passed"}, done.screen
    assert done.exit == 2
    assert "ended during this check" in done.screen


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_undoes_in_every_lab(tmp_path: Path, number: signal.Signals) -> None:
    """Whether it reaches the process group or the command alone; the report is written."""
    process, checks = started(tmp_path, STANDS)
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    process.communicate(timeout=60)

    assert process.returncode == 2
    assert len(list(checks.glob("undone-*"))) == 3
    assert (tmp_path / "runs" / "latest" / "report.html").exists()


def test_no_worker_outlives_the_command(tmp_path: Path) -> None:
    """Also when it is killed with a signal that it cannot handle."""
    process, checks = started(tmp_path, STANDS)
    workers = [int(found.name.rpartition("-")[2]) for found in checks.glob("stands-*")]
    process.kill()
    process.communicate(timeout=60)

    eventually(
        lambda: [pid for pid in workers if alive(pid)], lambda left: not left, what="every worker is gone", within=10
    )


@pytest.mark.parametrize("labs", ["1", "2"])
def test_a_reader_that_goes_ends_neither_the_run_nor_its_report(tmp_path: Path, labs: str) -> None:
    """`lbproof run | head -1`: the checks are judged, the exit code is that of the verdicts."""
    process, _ = begun(tmp_path, MIXED, "--labs", labs)
    assert process.stdout
    first = process.stdout.readline()
    process.stdout.close()

    assert "cases of specification" in first
    assert process.wait(timeout=60) == 1
    report = json.loads((tmp_path / "runs" / "latest" / "report.json").read_text())
    assert sum(number for verdict, number in report["counts"].items() if verdict != "unsupported") == 5


def started(tmp_path: Path, source: str) -> tuple[subprocess.Popen[str], Path]:
    """The command in three labs, once each judges a case; and the folder of the checks."""
    process, checks = begun(tmp_path, source, "--labs", "3")
    eventually(lambda: len(list(checks.glob("stands-*"))), lambda count: count == 3, what="three labs judge", within=60)
    return process, checks


def begun(tmp_path: Path, source: str, *arguments: str) -> tuple[subprocess.Popen[str], Path]:
    """The command, started with checks of a source; and the folder of the checks."""
    checks = tmp_path / "checks"
    checks.mkdir()
    (checks / "test_fake.py").write_text(source)
    (checks / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider --import-mode=importlib\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "fake_lab", "run", *arguments, "--results", str(tmp_path / "runs")],
        env={**os.environ, "PYTHONPATH": str(SUITE), "FAKE_CHECKS": str(checks), "FAKE_LAB": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    return process, checks


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not waited for does not."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:  # noqa: PTH123 - a file of the kernel's
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--labs", "2", "--lab", "x"], "labs = 2 in --labs, with lab: a running lab is one lab"),
        (["--labs", "2", "--api-port", "7000"], "labs = 2 in --labs, with api-port: a port leads to one lab"),
        (["--labs", "2", "--provider", "kind"], "labs = 2 in --labs, with provider:"),
        (["--labs", "-1"], "labs"),
    ],
)
def test_labs_that_cannot_be_are_one_line(run: Callable[..., Run], arguments: list[str], says: str) -> None:
    """Exit code 64, and nothing is booted."""
    done = run(MIXED, *arguments)

    assert done.exit == 64, done.screen
    assert says in done.screen


def check(index: int, case: str, group: str = "", *, disruptive: bool = False, begins: bool = False) -> Check:
    """A check of the schedule."""
    return Check(index=index, case=case, group=group, disruptive=disruptive, begins=begins)


def test_the_longest_come_first_and_a_group_stays_together() -> None:
    """Disruptive checks go to their lab while it has any; what begins with the run ends it there."""
    checks = [
        check(0, "POOL-01"),
        check(1, "L2-01"),
        check(2, "FAIL-01", disruptive=True),
        check(3, "CLASS-02b", begins=True),
        check(4, "ARTICLE-01", "article", disruptive=True),
        check(5, "ARTICLE-02", "article"),
    ]
    schedule = Schedule.of(checks)
    taken = [(lab, [one.case for one in schedule.take(lab)]) for lab in (0, 1, 1, 0, 1, 0, 0, 1)]

    assert taken == [
        (0, ["ARTICLE-01", "ARTICLE-02"]),
        (1, ["L2-01"]),
        (1, ["POOL-01"]),
        (0, ["FAIL-01"]),
        (1, []),
        (0, ["CLASS-02b"]),
        (0, []),
        (1, []),
    ]


def test_a_random_order_is_drawn_from_the_seed_and_loses_no_check() -> None:
    """Seeds give different orders, one seed the same; groups keep theirs; what begins with the run ends it."""
    checks = [
        *(check(n, f"POOL-{n:02}", disruptive=n % 3 == 0) for n in range(12)),
        *(check(12 + n, f"ARTICLE-{n:02}", "article") for n in range(4)),
        check(16, "CLASS-02b", begins=True),
    ]
    orders = [[one.index for one in Schedule.of(checks, Random(seed)).in_one_lab()] for seed in (1, 2, 3, 1)]  # noqa: S311

    assert orders[0] == orders[3]
    assert len(set(map(tuple, orders))) == 3
    for order in orders:
        assert sorted(order) == list(range(17))
        assert order[-1] == 16
        first = min(map(order.index, range(12, 16)))
        assert order[first : first + 4] == [12, 13, 14, 15]
        disruptive = [index % 3 == 0 for index in order if index < 12]
        assert sorted(disruptive) not in (disruptive, disruptive[::-1]), "disruptive checks are among the others"


@pytest.mark.parametrize("labs", ["1", "3"])
def test_the_report_names_the_seed_of_a_random_order(run: Callable[..., Run], labs: str) -> None:
    """A run in a random order judges what the run in the usual order does, and says how to repeat it."""
    usual = run(MIXED, "--labs", labs)
    shuffled = run(MIXED, "--labs", labs, "--random-order", "--seed", "4")

    order = [row["case"] for row in shuffled.events("check.started")]
    assert sorted(order) == sorted(usual.verdicts())
    assert shuffled.verdicts() == usual.verdicts()
    assert usual.events("run.started")[0]["seed"] > 0
    assert usual.environment["order of cases"] == ("that of the specification" if labs == "1" else "longest first")
    assert shuffled.environment["seed"] == "4"
    assert shuffled.environment["order of cases"] == "random, drawn from the seed"
    if labs == "1":
        assert order != [row["case"] for row in usual.events("check.started")]


@pytest.mark.parametrize(
    ("checks", "cores", "gib", "labs"), [(97, 2, 20, 3), (97, 8, 60, 4), (97, 2, 3, 1), (5, 8, 60, 1), (1, 8, 0, 1)]
)
def test_labs_are_as_many_as_pay(checks: int, cores: int, gib: int, labs: int) -> None:
    """By the number of checks, the cores, and the memory that is available."""
    assert labs_that_pay(checks, capacity(2 * 1024**3, cores=cores, available=gib * 1024**3)) == labs
