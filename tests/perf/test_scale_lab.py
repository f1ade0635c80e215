"""In a lab: the audit log and the pods' processes are there, and a small point of `scale` is measured whole."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lbproof.lab.base import Topology
from lbproof.lab.netns import control
from lbproof_perf.benchmarks import scale
from lbproof_perf.benchmarks.base import BenchContext
from lbproof_perf.results import ResultStore
from lbproof_perf.sut import arms
from lbproof_perf.sut.system import LabPool
from lbproof_perf.sut.usage import Used, rates

if TYPE_CHECKING:
    from pathlib import Path


def test_a_point_is_measured_whole(tmp_path: Path) -> None:
    """Processor time, memory and requests of both parts, at rest and in churn, are kept, and no lab stays."""
    said: list[str] = []
    context = BenchContext(
        labs=LabPool(None, print), store=ResultStore(tmp_path), arms=[arms.find("reference")], say=said.append
    )
    plan = scale.ScalePlan(services=(4,), nodes=(), restart_at=(), window=1, churn=4)
    scale.run(context, plan)
    (trial,) = context.store.trials
    values = trial.values

    assert trial.detail["services"] == 4
    for part in ("controller", "speakers"):
        assert (values[f"rest_{part}_bytes"] or 0) > 1 << 20
        assert (values[f"churn_{part}_api_requests_per_second"] or 0) > 0
    assert sum(values[f"churn_{part}_cpu_cores"] or 0 for part in ("controller", "speakers")) > 0


def test_all_is_brought_down_at_each_number_of_services_that_asks_for_it(tmp_path: Path) -> None:
    """The Service whose outage is measured is the same each time, and was there before the others."""
    context = BenchContext(
        labs=LabPool(None, print), store=ResultStore(tmp_path), arms=[arms.find("reference")], say=lambda _: None
    )
    scale.run(context, scale.ScalePlan(services=(2, 4), nodes=(), restart_at=(2, 4), window=0.5, churn=2))
    found = {count: context.store.of("scale", "reference", f"restart-{count}")[0] for count in (2, 4)}

    for count, trial in found.items():
        assert trial.detail["addresses"] == count
        assert len(context.store.arrays(trial)["restart_arp"]) == count
        assert all(trial.values[f"{figure}_seconds"] for figure in ("outage", "restart", "controller_restart"))


def test_figures_are_by_the_second() -> None:
    """A window's counts are divided by its length, and what is a sum over both parts is one."""
    used = {
        "controller": Used(cpu_seconds=1.0, private_bytes=10, requests=4, seconds=2.0),
        "speakers": Used(cpu_seconds=4.0, private_bytes=30, requests=12, seconds=2.0),
    }
    found = rates(used, "churn_")

    assert found["churn_speakers_cpu_cores"] == 2.0
    assert found["churn_controller_bytes"] == 10
    assert found["churn_api_requests_per_second"] == 8.0


def test_only_the_implementation_is_audited(tmp_path: Path) -> None:
    """Kubernetes' own controllers stay out, and a lab that did not ask for a log writes none."""
    rules = control.AUDIT_POLICY["rules"]

    assert json.loads(json.dumps(rules))[0] == {"level": "None", "userGroups": ["system:serviceaccounts:kube-system"]}
    assert not [flag for flag in control.apiserver(Topology(), tmp_path) if "audit" in flag]
    assert f"--audit-log-path={tmp_path}/log" in control.apiserver(Topology(), tmp_path, tmp_path / "log")
    assert not Topology().audit
