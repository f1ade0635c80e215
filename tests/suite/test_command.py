"""Verdicts and exit codes of whole runs, and one line for every mistake: the command from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from tests.report.counts import LAYER2_MUSTS, LAYER2_MUSTS_UNCLAIMED
from tests.suite.sources import FAILS, HEAD, PASSES

from lbproof.run.cli import cli

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.suite.conftest import Run

WARNS = PASSES + '@proves("TIER-04")\ndef test_should(check): assert 1 == 2, "not reached"\n'
BREAKS = PASSES + '@proves("L2-01")\ndef test_breaks(check): {}["x"]\n'
CANNOT = PASSES + '@proves("L2-01")\ndef test_cannot(check): raise CannotShow(Untestable.PROXY_MODE, "ip_vs")\n'
LEAKS = PASSES + '@proves("L2-01")\ndef test_leaks(check): check.undo.later("a route", lambda: 1 / 0)\n'
BOTH = FAILS + '@proves("RECL-03")\ndef test_breaks(check): {}["x"]\n'
ENDS = PASSES + '@proves("L2-01")\ndef test_is_stopped(check): raise KeyboardInterrupt\n'
UNDOES = (
    HEAD
    + """
from pathlib import Path
@proves("POOL-01")
def test_is_stopped(check):
    here = Path(__file__).parent
    check.undo.later("a pool", lambda: (here / "undone").write_text(f"lab is gone: {(here / 'lab-is-gone').exists()}"))
    raise KeyboardInterrupt
"""
)
MIXED = HEAD + '@proves("POOL-02", "ab")\ndef test_mixed(check, case): assert case != "a", "shared"; {}["x"]\n'
UNDO_FAILS = (
    HEAD
    + '@proves("POOL-01")\ndef test_fails(check):\n'
    + '    check.undo.later("a route", lambda: 1 / 0)\n    assert 1 == 2, "outside"\n'
)
CASES = HEAD + '@proves("POOL-02", "ab")\ndef test_cases(check, case): assert case == "a"\n'


@pytest.mark.parametrize(
    ("source", "exit_code", "verdicts"),
    [
        (PASSES, 0, {"POOL-01": "passed"}),
        (FAILS, 1, {"POOL-01": "passed", "L2-01": "failed"}),
        (WARNS, 0, {"POOL-01": "passed", "TIER-04": "failed"}),
        (BREAKS, 2, {"POOL-01": "passed", "L2-01": "error"}),
        (CANNOT, 2, {"POOL-01": "passed", "L2-01": "untestable"}),
        (LEAKS, 2, {"POOL-01": "passed", "L2-01": "error"}),
        (BOTH, 1, {"POOL-01": "passed", "L2-01": "failed", "RECL-03": "error"}),
        (CASES, 1, {"POOL-02a": "passed", "POOL-02b": "failed"}),
        (MIXED, 1, {"POOL-02a": "failed", "POOL-02b": "error"}),
        (UNDO_FAILS, 1, {"POOL-01": "failed"}),
    ],
    ids=[
        "passes",
        "fails",
        "should-fails",
        "breaks",
        "cannot-show",
        "undo-fails",
        "fails-and-breaks",
        "cases",
        "one-case-fails-another-breaks",
        "fails-and-undo-fails",
    ],
)
def test_a_run_ends_as_its_verdicts_say(
    run: Callable[..., Run], source: str, exit_code: int, verdicts: dict[str, str]
) -> None:
    """What an implementation did, what the lab cannot show and what broke are told apart, also by the exit code."""
    done = run(source)

    assert done.verdicts() == verdicts, done.screen
    assert done.exit == exit_code
    assert done.report["exit"] == exit_code


def test_ctrl_c_takes_the_lab_down_and_still_writes_the_report(run: Callable[..., Run]) -> None:
    """What was not reached is an error that says so, and the run is inconclusive."""
    done = run(ENDS)

    assert done.exit == 2
    assert done.verdicts()["POOL-01"] == "passed"
    assert done.verdicts()["L2-01"] == "error"
    assert (done.directory / "report.html").exists()
    assert (done.directory.parent.parent / "checks" / "lab-is-gone").exists()


def test_ctrl_c_undoes_what_was_done_while_the_lab_still_stands(run: Callable[..., Run]) -> None:
    """A lab that is kept, or somebody's own cluster, is left as it was met."""
    done = run(UNDOES)

    assert (done.directory.parent.parent / "checks" / "undone").read_text() == "lab is gone: False"
    assert done.exit == 2, done.screen
    assert "Traceback" not in done.screen


def test_a_run_that_stops_at_the_first_failure_is_no_bug(run: Callable[..., Run]) -> None:
    """What follows `--` is pytest's."""
    done = run(FAILS, "--", "-x")

    assert done.exit == 1, done.screen


def test_a_lab_that_cannot_boot_is_no_usable_environment(run: Callable[..., Run]) -> None:
    """The report is written all the same, so that CI has something to show."""
    done = run(FAILS, lab="broken")

    assert done.exit == 69
    assert "the kernel of this machine lacks veth: load it with modprobe veth" in done.screen
    assert set(done.verdicts().values()) == {"error"}


@pytest.mark.parametrize(("source", "exit_code"), [(PASSES, 0), (FAILS, 1)])
def test_a_lab_that_keeps_objects_of_a_run_is_no_bug(run: Callable[..., Run], source: str, exit_code: int) -> None:
    """A namespace that is still being deleted changes no verdict, and is told."""
    done = run(source, lab="crowded")

    assert done.exit == exit_code, done.screen
    assert "the lab may hold objects of this run still: namespace lbproof is gone: not within 30 s" in done.screen


def test_a_check_that_does_not_take_its_cases_is_told(run: Callable[..., Run]) -> None:
    """A check that cannot be collected ends the command with its reason, not with a silent code."""
    done = run(CASES.replace("check, case", "check"))

    assert done.exit == 70
    assert "test_cases proves POOL-02a/b: it takes the argument `case`" in done.screen


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("def test_nothing(check): pass\n", "test_fake.py::test_nothing is no check: mark it with @proves"),
        (
            '@proves("POOL-01")\ndef test_again(check): assert 1 == 2\n',
            "POOL-01 is proven by test_fake.py::test_passes and by test_fake.py::test_again: a case has one check",
        ),
    ],
    ids=["no-case", "two-checks"],
)
def test_a_check_without_a_case_of_its_own_is_told(run: Callable[..., Run], more: str, says: str) -> None:
    """One that proves nothing would be no part of the report, and of two the last would count."""
    done = run(PASSES + more)

    assert done.exit == 64, done.screen
    assert says in done.screen


def test_a_bug_of_ours_says_that_it_is_one(run: Callable[..., Run]) -> None:
    """Nobody is blamed for it but us."""
    done = run(PASSES, lab="bug")

    assert done.exit == 70
    assert "this is a bug in lbproof" in done.screen


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--requirement", "POL-01"], "unknown requirement 'POL-01' in --requirement; did you mean 'POOL-01'?"),
        (["--feature", "l22"], "unknown feature 'l22' in --feature; did you mean 'l2'?"),
        (["--profile", "layer3"], "unknown profile 'layer3' in --profile; did you mean 'layer2'?"),
        (["--budget", "failver=3"], "unknown budget 'failver' in --budget; did you mean 'failover'?"),
        (["--budget", "failover=soon"], "budget 'failover=soon' in --budget: write a number of seconds, not 'soon'"),
        (["--budget", "failover"], "budget 'failover' in --budget: write NAME=SECONDS"),
        (
            ["--implementation", "metalb"],
            "unknown implementation 'metalb' in --implementation; did you mean 'metallb'?",
        ),
        (["--options", "/nowhere.toml"], "options file /nowhere.toml: No such file or directory"),
        (["--results", "/proc/no"], "results folder /proc/no: "),
        (["--workers", "0"], "option workers = 0 in --worker"),
        (["--requirement", "L2-01"], "nothing to judge"),
        (["--no-such-flag"], "No such option"),
    ],
)
def test_a_mistake_is_one_line_and_exit_64(run: Callable[..., Run], arguments: list[str], says: str) -> None:
    """What, where, and what is allowed; nothing is booted."""
    done = run(PASSES, *arguments)

    assert done.exit == 64, done.screen
    assert says in done.screen
    assert len(done.screen.strip().splitlines()) == 1


def test_what_is_left_out_and_what_is_not_claimed_have_verdicts_of_their_own(run: Callable[..., Run]) -> None:
    """A MUST that the operator left out makes the run inconclusive; one that is not claimed does not."""
    left_out = run(FAILS, "--skip", "L2-01", "--requirement", "L2-01", "--requirement", "POOL-01")
    assert (left_out.exit, left_out.verdicts()) == (2, {"L2-01": "skipped", "POOL-01": "passed"})

    features = [word for name in ("core", "pool") for word in ("--feature", name)]
    not_claimed = run(FAILS, *features, "--requirement", "L2-01", "--requirement", "POOL-01")
    assert (not_claimed.exit, not_claimed.verdicts()) == (0, {"L2-01": "unsupported", "POOL-01": "passed"})


def test_a_case_is_listed_below_the_sentence_of_its_requirement() -> None:
    """No line of a case can be read as the opposite of what it demands."""
    shown = CliRunner().invoke(cli, ["list", "l2-03", "L2-04a"]).output.splitlines()

    assert shown == [
        "L2-03       MAY     An announced address is on no interface of any node.",
        "L2-04       MUST    Nobody answers for an address that is not assigned.",
        "  L2-04a            Nobody answers for the free addresses of a pool.",
    ]


def test_a_selection_is_partial_and_says_what_it_is_a_part_of(run: Callable[..., Run]) -> None:
    """Two requirements that held make nobody conformant; the exit says that what was judged held."""
    done = run(PASSES + '@proves("L2-01")\ndef test_holds(check): pass\n')

    assert (done.exit, done.report["conclusion"]) == (0, "partial")
    assert done.report["scope"]["judged"] == 2
    assert not done.report["scope"]["whole"]
    partial = f"partial: 2 of {done.report['scope']['of']} requirements of profile full judged; what was judged held"
    assert partial in " ".join(done.screen.split())
    assert "CONFORMANT" not in done.screen


@pytest.mark.parametrize(
    ("source", "arguments", "exit_code", "conclusion"),
    [
        (PASSES, ["--requirement", "POOL-01"], 0, "partial"),
        (FAILS, ["--requirement", "POOL-01"], 0, "partial"),
        (FAILS, ["--", "-k", "passes"], 0, "partial"),
        (FAILS, ["--requirement", "L2-01"], 1, "not conformant"),
        (FAILS, ["--", "--maxfail=1"], 1, "not conformant"),
        (FAILS, ["--skip", "L2-01"], 2, "inconclusive"),
    ],
    ids=["requirement", "another-fails", "keyword", "fails", "stopped", "skipped"],
)
def test_every_way_to_select_is_partial(
    run: Callable[..., Run], source: str, arguments: list[str], exit_code: int, conclusion: str
) -> None:
    """Whatever left the rest out."""
    done = run(source, *arguments)

    assert (done.exit, done.report["conclusion"]) == (exit_code, conclusion), done.screen
    assert not done.report["scope"]["whole"]
    assert "partial: " in done.screen


ALL = (
    HEAD
    + """
from lbproof.spec import PROFILES, REQUIREMENTS
for number, requirement in enumerate(r for r in REQUIREMENTS.values() if r.needs <= PROFILES["layer2"].features):
    @proves(requirement.id)
    def proof(check, case): pass
    globals()[f"test_{number}"] = proof
"""
)


def test_a_profile_is_for_those_who_claim_what_it_requires(run: Callable[..., Run]) -> None:
    """All that is claimed holds in each run; only the first claims what the profile requires."""
    features = [word for name in ("core", "pool", "l2") for word in ("--feature", name)]
    claimed = run(ALL, "--profile", "layer2", *features)
    assert (claimed.exit, claimed.report["conclusion"]) == (0, "conformant"), claimed.screen
    assert claimed.report["scope"]["whole"]

    core = run(ALL, "--profile", "layer2", "--feature", "core")
    assert (core.exit, core.report["conclusion"]) == (1, "not conformant")
    many = f"{LAYER2_MUSTS_UNCLAIMED} of {LAYER2_MUSTS} MUSTs unsupported"
    line = f"profile layer2 requires features that are not claimed: l2, pool ({many})"
    assert line in " ".join(core.screen.split())


ADAPTER = """
from lbproof.adapters.reference import Reference

class Acme(Reference):
    name = "acme"
    {member}
"""


@pytest.mark.parametrize(
    ("member", "says"),
    [
        (
            'budgets = {"failover": 1000}',
            "budget failover = 1000 in adapter acme_lb:Acme: more than 0 and at most 40 s",
        ),
        ('budgets = {"failover": "soon"}', "budget failover = 'soon' in adapter acme_lb:Acme: more than 0 and at most"),
        ('budgets = {"failover": float("nan")}', "budget failover = nan in adapter acme_lb:Acme: more than 0"),
        ('budgets = {"failover": True}', "budget failover = True in adapter acme_lb:Acme: more than 0"),
        ('budgets = {"failover": 0}', "budget failover = 0 in adapter acme_lb:Acme: more than 0"),
        (
            'budgets = {"failver": 3}',
            "unknown budget 'failver' in adapter acme_lb:Acme; did you mean 'failover'?",
        ),
        ("workloads = 7", "adapter acme_lb:Acme: workloads is 7: a tuple is wanted"),
        ("def pools(self, alive): ...", "adapter acme_lb:Acme: pools(alive) cannot be called as pools(alive, site)"),
        ("def pols(self): ...", "adapter acme_lb:Acme: unknown member 'pols'; did you mean 'pools'?"),
        ("version = int('x')", "adapter acme_lb:Acme cannot be loaded: ValueError: invalid literal for int()"),
        (
            'features = frozenset({"core", "l22"})',
            "unknown feature 'l22' in adapter acme_lb:Acme; did you mean 'l2'?",
        ),
    ],
)
def test_a_mistake_in_an_adapter_is_one_line_and_exit_64(
    run: Callable[..., Run], tmp_path: Path, member: str, says: str
) -> None:
    """The adapter, the value and what is allowed; nothing is booted."""
    (tmp_path / "acme_lb.py").write_text(ADAPTER.format(member=member))

    done = run(PASSES, "--implementation", "acme_lb:Acme", env={"PYTHONPATH": str(tmp_path)})

    assert done.exit == 64, done.screen
    assert says in done.screen
    assert len(done.screen.strip().splitlines()) == 1
    assert not done.directory.exists()


def test_a_failure_stays_when_the_run_is_stopped_while_evidence_is_kept(run: Callable[..., Run]) -> None:
    """The assertion had failed already."""
    done = run(FAILS, lab="stopped")

    assert (done.exit, done.verdicts()["L2-01"]) == (1, "failed"), done.screen
