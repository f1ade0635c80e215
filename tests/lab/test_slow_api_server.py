"""Boot of a lab whose API server takes long to be ready, on paper: kube-controller-manager waits for 10 s alone."""

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
    """A control plane whose API server is ready at the third look, and whose controller manager may end."""

    def __init__(self, log: Path, code: int | None = None) -> None:
        self.log, self.control, self._never = log, "m01", threading.Event()
        self.code, self.acts = code, list[str]()
        self.machine = cast("Any", SimpleNamespace(components={"kube-apiserver": process(None)}))
        self.machines = {"m01": self.machine}

    def follow(self) -> None:
        """Start what follows the API server, and wait for what never comes."""
        self._start_followers(self.machine)
        self._await("the nodes", lambda: False, 0.1)

    def _start(self, machine: Machine, component: str) -> None:
        self.acts.append(component)
        machine.components[component] = process(self.code if component == "kube-controller-manager" else None)

    def _answers(self, path: str) -> bool:
        self.acts.append(path)
        return self.acts.count(path) > 2


def process(code: int | None) -> Any:  # noqa: ANN401 - a process
    """A process that has ended with a code, or runs (None)."""
    return SimpleNamespace(poll=lambda: code, returncode=code)


def test_the_controller_manager_starts_once_the_api_server_is_ready(tmp_path: Path) -> None:
    """However long that takes, and the scheduler too."""
    cluster = SlowCluster(tmp_path)

    with pytest.raises(LabError, match="the nodes: not within"):
        cluster.follow()

    assert cluster.acts == ["/readyz"] * 3 + ["kube-controller-manager", "kube-scheduler"]


def test_a_controller_manager_that_ends_is_named_with_its_log(tmp_path: Path) -> None:
    """As for a wrong flag."""
    (tmp_path / "kube-controller-manager-m01.log").write_text("unknown flag\n")

    with pytest.raises(LabError, match=r"(?s)kube-controller-manager on m01 ended with 1; .*unknown flag"):
        SlowCluster(tmp_path, 1).follow()


def test_an_api_server_that_ends_is_not_waited_for(tmp_path: Path) -> None:
    """The boot fails at once."""
    cluster = SlowCluster(tmp_path)
    cluster.machine.components["kube-apiserver"] = process(2)

    with pytest.raises(LabError, match="kube-apiserver on m01 ended with 2"):
        cluster.follow()
