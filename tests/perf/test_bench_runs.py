"""A run of benchmarks: what is measured in which order, what becomes of one that breaks off, what a user is told."""

from __future__ import annotations

import json
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from click.testing import CliRunner

from lbproof.adapters.base import Workload, WorkloadRole
from lbproof.context.cannot import CannotShow
from lbproof.context.objects import BadStatus
from lbproof.lab.base import LabError
from lbproof.run.cli import cli
from lbproof.spec import BadOption, Exit, UnknownName, Untestable
from lbproof.witnesses.stream import ProbeError
from lbproof_perf import benchmarks, runner
from lbproof_perf.benchmarks import failover
from lbproof_perf.benchmarks.base import BenchContext, Benchmark, Size
from lbproof_perf.results import ResultStore, TrialId
from lbproof_perf.sut import arms, faults
from lbproof_perf.sut.system import LabPool, kind_of

if TYPE_CHECKING:
    from pathlib import Path

    from lbproof.adapters.base import Adapter

REFERENCE, METALLB = arms.find("reference"), arms.find("metallb")


def test_trials_are_spread_evenly_and_there_and_back() -> None:
    """An arm with few trials is met over the whole run, and a drift of the machine hits equals alike."""
    found = list(failover.spread({("a", "x"): 4, ("b", "x"): 4, ("c", "x"): 1}))

    assert [step.arm for step in found] == ["a", "b", "b", "a", "c", "a", "b", "b", "a"]
    assert [step.number for step in found if step.arm == "a"] == [1, 2, 3, 4]


def test_the_whole_plan_is_measured_once_each() -> None:
    """No trial twice, none left out, and a control has no controller to kill."""
    chosen = [arms.find(name) for name in failover.BENCHMARK.arms]

    found = failover.trial_ids(failover.PLANS[Size.FULL], chosen)

    assert len(found) == len({step.key for step in found})
    counts = {name: sum((s.arm, s.case) == (name, "power-cut") for s in found) for name in failover.BENCHMARK.arms}
    assert counts["reference"] == 100
    assert min(counts.values()) >= 20
    assert {step.case for step in found if step.arm == "keepalived"}.isdisjoint({"controller-killed", "drained"})
    assert {step.case for step in found if step.arm == "reference-fast"} == {"power-cut"}


def workload(kind: str, *roles: WorkloadRole) -> Workload:
    """A workload with roles."""
    return Workload(kind=kind, namespace="acme", name="acme", selector={"app": "acme"}, roles=frozenset(roles))


@pytest.mark.parametrize(
    ("roles", "applies"),
    [
        ((WorkloadRole.ANNOUNCER,), {"speaker-killed", "frozen", "planned", "rolling-restart", "cable"}),
        ((WorkloadRole.CONTROLLER,), {"controller-killed", "cable"}),
        ((), {"cable"}),
    ],
)
def test_a_case_needs_the_workload_that_it_is_done_to(roles: tuple[WorkloadRole, ...], applies: set[str]) -> None:
    """An arm without it has no trial of it."""
    adapter = cast("Adapter", SimpleNamespace(workloads=(workload("DaemonSet", *roles),)))
    arm = arms.Arm(name="acme", text="", make=lambda: adapter)
    cases = ("speaker-killed", "frozen", "planned", "rolling-restart", "controller-killed", "cable")
    found = failover.trial_ids(failover.FailoverPlan(cuts={}, others=0, cases=dict.fromkeys(cases, 1)), [arm])

    assert {trial_id.case for trial_id in found} == applies


def deployment_of(*workloads: Workload, pods: list[tuple[str, str, str]] | None = None) -> tuple[Any, list[str]]:
    """A deployment of workloads, and the paths that are patched in its cluster."""
    patched: list[str] = []
    cluster = SimpleNamespace(patch=lambda path, _: patched.append(path))
    found = SimpleNamespace(of=lambda _: list(workloads), pods=lambda _: pods or [])
    return SimpleNamespace(
        lab=SimpleNamespace(kill=None), run=SimpleNamespace(cluster=cluster, workloads=found)
    ), patched


def test_every_workload_that_announces_is_restarted() -> None:
    """An implementation may have several; static pods have no rollout."""
    one, other = (workload(kind, WorkloadRole.ANNOUNCER) for kind in ("DaemonSet", "Deployment"))
    deployment, patched = deployment_of(one, other)

    faults.restart_speakers(deployment)
    assert patched == [
        "/apis/apps/v1/namespaces/acme/daemonsets/acme",
        "/apis/apps/v1/namespaces/acme/deployments/acme",
    ]
    deployment, patched = deployment_of(one, workload("StaticPod", WorkloadRole.ANNOUNCER))
    with pytest.raises(CannotShow, match="static pods"):
        faults.restart_speakers(deployment)
    assert patched == []


def test_a_controller_that_does_not_run_cannot_be_killed() -> None:
    """Its pod may be between two lives."""
    deployment, _ = deployment_of()

    with pytest.raises(CannotShow, match="no pod of the controller runs"):
        faults.KINDS["controller-killed"].act(deployment, cast("Any", None))


def test_every_case_has_a_fault() -> None:
    """What can be asked for can be done."""
    for case in failover.CASES:
        assert kind_of(case).text


@dataclass(frozen=True, slots=True, kw_only=True)
class FakePlan:
    """A plan of nothing."""

    breaks: bool = False


def fake_bench(name: str, *, breaks_at_once: Exception | None = None) -> Benchmark:
    """A benchmark of a name that measures one thing, then breaks off if its plan says so."""

    def run(context: BenchContext, plan: FakePlan) -> None:
        if breaks_at_once:
            raise breaks_at_once
        step = TrialId(bench=name, arm="reference", case="rest")
        if not context.store.has(step):
            context.store.add(step, {"api_requests_per_second": 0.0})
        if plan.breaks:
            raise LabError("the lab is gone\nand more")

    return Benchmark(name=name, question="?", help="", run=run, plans=dict.fromkeys(Size, FakePlan()))


def test_a_trial_is_kept_and_said_with_units_and_warnings(tmp_path: Path) -> None:
    """The line has what the benchmark names, the file has all; what did not come about is said too."""
    said: list[str] = []
    context = BenchContext(labs=LabPool(None, print), store=ResultStore(tmp_path), arms=[], say=said.append)
    one, other = (TrialId(bench="arp", arm="acme", case="flood", number=number) for number in (1, 2))

    found = {"p50_seconds": 0.002, "cpu_cores": 0.5, "lost": 3.0}
    context.keep(one, found, shown=["p50_seconds", "cpu_cores", "absent"], warnings=("stalled",))
    context.keep(other, {"p50_seconds": None}, shown=["p50_seconds"])

    assert said == ["arp/acme/flood/1: p50 2 ms, cpu cores 0.5; stalled", "arp/acme/flood/2: p50 never"]
    assert context.missing([one, other]) == []
    assert ResultStore.read(tmp_path).trials[0].values == found


def test_one_that_breaks_off_takes_no_other_along(tmp_path: Path) -> None:
    """The others are measured, the report is written, and the exit says that something is missing."""
    said: list[str] = []
    tasks = [
        runner.Task(bench=fake_bench("allocate"), arms=[REFERENCE], plan=FakePlan(breaks=True)),
        runner.Task(bench=fake_bench("arp"), arms=[REFERENCE], plan=FakePlan()),
    ]

    code = runner.run(ResultStore(tmp_path), tasks, components=None, say=said.append)

    assert code is Exit.INCONCLUSIVE
    assert [trial.id.bench for trial in ResultStore.read(tmp_path).trials] == ["allocate", "arp"]
    assert any("broke off: allocate: the lab is gone" in line for line in said)
    assert "the lab is gone" in json.loads((tmp_path / "environment.json").read_text())["broke off"]
    assert (tmp_path / "report.html").is_file()


def test_a_run_that_is_stopped_has_its_report(tmp_path: Path) -> None:
    """Ctrl-C loses nothing that was measured."""

    def stop(_: str) -> None:
        if ResultStore(tmp_path).trials:
            raise KeyboardInterrupt

    tasks = [runner.Task(bench=fake_bench("arp"), arms=[REFERENCE], plan=FakePlan())] * 2
    with pytest.raises(KeyboardInterrupt):
        runner.run(ResultStore(tmp_path), tasks, components=None, say=stop)

    assert (tmp_path / "report.html").is_file()


def test_nothing_measured_is_no_usable_environment(tmp_path: Path) -> None:
    """A single benchmark that cannot begin says why, as any command does."""
    broken = fake_bench("arp", breaks_at_once=LabError("not root"))
    with pytest.raises(LabError, match="not root"):
        runner.run(
            ResultStore(tmp_path), [runner.Task(bench=broken, arms=[], plan=FakePlan())], components=None, say=print
        )


@pytest.mark.parametrize(
    "error",
    [
        ProbeError("task solicit at client: the kernel dropped 3 replies"),
        BadStatus("the status of here/web has an IP that is none: '192.0.2.010'"),
        CannotShow(Untestable.NO_WORKLOAD, "none is controller"),
    ],
)
def test_a_measurement_that_fails_makes_no_figure(tmp_path: Path, error: Exception) -> None:
    """The measurement has failed, and says so in one line; neither the lab nor a bug in lbproof is to blame."""
    said: list[str] = []
    broken = fake_bench("arp", breaks_at_once=error)

    code = runner.run(
        ResultStore(tmp_path),
        [runner.Task(bench=broken, arms=[], plan=FakePlan())],
        components=None,
        say=said.append,
    )

    assert code is Exit.INCONCLUSIVE
    assert f"broke off: arp: {error}" in said[-1]
    assert not (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["failover", "--arm", "metalb"], "did you mean 'metallb'"),
        (["failover", "--case", "power-cute"], "did you mean 'power-cut'"),
        (["failover", "--resume", "nowhere"], "no benchmark's folder"),
    ],
)
def test_bad_input_is_one_clear_line(words: list[str], expected: str) -> None:
    """What, where, what is allowed; nothing is booted."""
    outcome = CliRunner().invoke(cli, ["bench", *words])

    assert isinstance(outcome.exception, (UnknownName, BadOption))
    assert expected in str(outcome.exception)


def test_help_keeps_its_lines() -> None:
    """Examples stand one below the other."""
    shown = CliRunner().invoke(cli, ["bench", "--help"]).output.splitlines()

    assert "    lbproof bench failover --arm reference --arm acme" in shown
    assert {"all", "failover", "moves", "hogs", "allocate", "arp"} <= {
        line.split()[0] for line in shown if line.strip()
    }


def test_every_benchmark_has_a_plan_of_each_size() -> None:
    """`bench all` runs at any size."""
    known = benchmarks.known()

    assert [*known] == [one.name for one in known.values()]
    assert [one.name for one in benchmarks.in_run_order()] == ["ruler", *(name for name in known if name != "ruler")]
    assert all(one.plans.keys() == set(Size) for one in known.values())
