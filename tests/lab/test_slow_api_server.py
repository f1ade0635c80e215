"""The boot of a lab whose API server takes long to be ready, on paper: kube-controller-manager gives up after 10 s."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from lbproof.lab.base import LabError
from lbproof.lab.netns.cluster import Cluster

if TYPE_CHECKING:
    from pathlib import Path

    from lbproof.lab.netns.cluster import Machine


class SlowCluster(Cluster):
    """A control plane whose API server is ready at the third look; its components end as often as they are to."""

    def __init__(self, log: Path, ends: dict[str, int]) -> None:
        self.log, self.control, self._never = log, "m01", threading.Event()
        self.ends, self.started, self.looks = ends, list[str](), 0
        self.machine = cast("Any", SimpleNamespace(components={"kube-apiserver": process(None)}))
        self.machines = {"m01": self.machine}

    def follow(self) -> None:
        """Start what follows the API server."""
        self._follow_api(self.machine)

    def wait(self) -> None:
        """Wait for what never comes."""
        self._await("the nodes", lambda: False, 0.1)

    def _start(self, machine: Machine, component: str) -> None:
        self.started.append(component)
        self.ends[component] = self.ends.get(component, 0) - 1
        machine.components[component] = process(1 if self.ends[component] >= 0 else None)

    def _answers(self, _path: str) -> bool:
        self.looks += 1
        return self.looks > 2


def process(code: int | None) -> Any:  # noqa: ANN401 - a process
    """A process that has ended with a code, or runs (None)."""
    return SimpleNamespace(poll=lambda: code, returncode=code)


def test_what_gave_up_is_started_again_once_the_api_server_is_ready(tmp_path: Path) -> None:
    """And the scheduler, which did not, is not."""
    cluster = SlowCluster(tmp_path, {"kube-controller-manager": 1})

    cluster.follow()

    assert cluster.started == ["kube-controller-manager", "kube-scheduler", "kube-controller-manager"]


def test_what_ends_again_is_told(tmp_path: Path) -> None:
    """With its log, as a flag that is wrong would be."""
    cluster = SlowCluster(tmp_path, {"kube-scheduler": 2})
    (tmp_path / "kube-scheduler-m01.log").write_text("unknown flag\n")
    cluster.follow()

    with pytest.raises(LabError, match=r"kube-scheduler on m01 ended with 1; the end of [^$]*unknown flag"):
        cluster.wait()


def test_an_api_server_that_ends_is_not_waited_for(tmp_path: Path) -> None:
    """It is started once."""
    cluster = SlowCluster(tmp_path, {})
    cluster.machine.components["kube-apiserver"] = process(2)

    with pytest.raises(LabError, match="kube-apiserver on m01 ended with 2"):
        cluster.follow()
