"""Whose fault an exception of a check is, and what decides nothing: the command from outside."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.suite.sources import FAILS, HEAD, PASSES

from lbproof import checks
from lbproof.report import verify
from lbproof.spec import BUDGETS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.suite.conftest import Run

LATE = (
    HEAD
    + """
from lbproof.witnesses.wait import EventuallyFailed
@proves("POOL-01")
def test_own_deployment(check):
    check.wait.eventually(lambda: "0 of 3", "ready".__eq__, what="deployment is ready", budget="workload_ready")
@proves("L2-01")
def test_node(check):
    check.wait.eventually(lambda: "w01", "all".__eq__, what="every node is Ready", budget="node_back")
@proves("L2-02")
def test_pod(check):
    check.wait.eventually(lambda: "0 ready", "ready".__eq__, what="the speakers are ready", budget="restarted")
@proves("L2-06")
def test_implementation(check):
    check.wait.eventually(lambda: "none", "w01".__eq__, what="w01 answers", budget="announced")
@proves("L2-03")
def test_no_budget(check):
    raise EventuallyFailed("the lab does something", "not within 30 s", [])
"""
)
SHORT = [f"--budget={name}=0.01" for name in ("workload_ready", "node_back", "restarted", "announced")]
ASSUMES = (
    HEAD
    + """
import beside
from lbproof.probe import protocol
from lbproof.context.objects import ingress

exec("def broken(): raise AssertionError('of the suite')", suite := {"__file__": protocol.__file__})

@proves("POOL-01")
def test_suite(check): suite["broken"]()
@proves("L2-01")
def test_helper(check): beside.one_answers()
@proves("L2-02")
def test_status(check):
    status = {"loadBalancer": {"ingress": [{"ip": "x"}]}}
    ingress({"metadata": {"namespace": "a", "name": "b"}, "status": status})
"""
)


def test_a_failure_says_which_line_of_its_check_failed(run: Callable[..., Run]) -> None:
    """The check's own assertion, or a step of it: a mutant that fails a step before proves nothing of the assertion."""
    done = run(FAILS + LATE.removeprefix(HEAD).replace('"L2-01"', '"L2-07"').replace('"POOL-01"', '"ETP-02"'), *SHORT)

    rows = [json.loads(line) for line in (done.directory / "events.ndjson").read_text().splitlines()]
    where = {row["case"]: row["where"] for row in rows if row.get("where")}
    assert where["L2-01"] == 'test_fake.py:6: def test_fails(check): assert 1 == 2, "two nodes answer"'
    assert where["L2-06"].endswith('what="w01 answers", budget="announced")')
    assert set(where) == {"L2-01", "L2-06"}


def test_who_is_late_is_to_blame(run: Callable[..., Run]) -> None:
    """The suite's own Deployment, a node of the lab and a pod that starts are no failure of the implementation."""
    done = run(LATE, *SHORT)

    late = dict.fromkeys(("POOL-01", "L2-01", "L2-02", "L2-03"), "error")
    assert done.verdicts() == late | {"L2-06": "failed"}, done.screen
    assert done.exit == 1
    reasons = {c["id"]: c["reason"] for r in done.report["requirements"] for c in r["cases"]}
    assert reasons["POOL-01"].startswith("not judged: deployment is ready: not within 0.01 s"), reasons


def test_an_assumption_of_the_suite_is_no_violation(run: Callable[..., Run], tmp_path: Path) -> None:
    """Only assertions of checks, of helpers beside them, and violations say something of the implementation."""
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "beside.py").write_text('def one_answers(): assert 1 == 2, "two nodes answer"\n')
    done = run(ASSUMES, env={"PYTHONPATH": str(tmp_path / "checks")})

    assert done.verdicts() == {"POOL-01": "error", "L2-01": "failed", "L2-02": "failed"}, done.screen


SHIPPED = (Path(checks.__file__).parent / "pytest.ini").read_text()
WARNED = (
    HEAD
    + """
import threading, warnings
@proves("POOL-01")
def test_warns(check): warnings.warn("old", DeprecationWarning)
@proves("L2-01")
def test_witness(check):
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
"""
)


def test_a_warning_decides_nothing_but_a_thread_that_died_does(run: Callable[..., Run]) -> None:
    """The file that `lbproof run` uses lets a newer dependency warn; what a dead witness did not see is an error."""
    done = run(WARNED, ini=SHIPPED)

    assert done.verdicts() == {"POOL-01": "passed", "L2-01": "error"}, done.screen


def test_no_check_is_stopped_within_its_budgets() -> None:
    """Not even with every budget at its ceiling: each is waited for more than once in the longest checks."""
    (timeout,) = (int(line.partition("=")[2]) for line in SHIPPED.splitlines() if line.startswith("timeout ="))

    assert timeout >= 2 * sum(budget.ceiling for budget in BUDGETS.values())


def test_a_run_is_signed_if_asked(run: Callable[..., Run], tmp_path: Path) -> None:
    """By the key that is given; a key that there is not is refused before the boot, and one that is none is said."""
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    signed = run(PASSES, "--sign", str(key))
    assert signed.exit == 0
    assert verify.verify(signed.directory) == []
    assert any(line.startswith("signed: ") for line in verify.summary(signed.directory))

    unsigned = run(PASSES, "--sign", str(tmp_path / "key.pub.none"))
    assert unsigned.exit == 64
    assert "key.pub.none in --sign: there is no such file" in unsigned.screen

    (tmp_path / "no-key").write_text("no key\n")
    failed = run(PASSES, "--sign", str(tmp_path / "no-key"))
    assert failed.exit == 0
    assert "lbproof: the report is not signed: ssh-keygen could not sign with" in failed.screen
