"""The faults of the netns lab, its supervisor's commands and its capabilities agree; no lab is booted."""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any, cast

import pytest

from lbproof.lab.base import Capability, Topology
from lbproof.lab.netns import rpc
from lbproof.lab.netns.faults import FAULTS, Faults
from lbproof.lab.netns.lab import NetnsLab

if TYPE_CHECKING:
    from pathlib import Path

    from lbproof.lab.netns.cluster import Cluster


@pytest.mark.parametrize("kind", FAULTS)
def test_each_fault_of_the_lab_is_a_command_of_its_supervisor(
    kind: Capability, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lab sends the command of the table, with the arguments that its function takes."""
    sent: list[tuple[str, dict[str, Any]]] = []

    def call(_: Path, command: str, **arguments: Any) -> dict[str, Any]:  # noqa: ANN401 - it is JSON
        sent.append((command, arguments))
        attached = {"netns": "w01", "interface": "eth1", "mac": "02:00:00:00:00:01", "addresses": ["192.0.2.1"]}
        joined = {"interfaces": {"w01": "eth1"}, "macs": {"02:00:00:00:00:02": "w01"}}
        return {"number": 1, "target": "node w01", "began": 0.0} | attached | joined

    monkeypatch.setattr(rpc, "call", call)
    monkeypatch.setattr(NetnsLab, "_process", "/proc/1")
    inject = getattr(NetnsLab("unbooted", Topology()), kind.name.lower())

    fault = inject(*("w01" for _ in signature(inject).parameters))

    ((command, arguments),) = sent
    assert (fault.kind, command) == (kind.value, kind.value)
    assert signature(Faults(cast("Cluster", None)).commands()[command]).bind(**arguments).arguments == arguments


def test_the_lab_claims_only_capabilities_that_it_names() -> None:
    """A capability that is added to the protocol is not claimed by itself."""
    of_topology = {Capability.AUDIT_LOG, Capability.SECOND_SEGMENT, Capability.OTHER_SUBNET}
    lab = NetnsLab("unbooted", Topology())
    asked = NetnsLab("unbooted", Topology(audit=True, second_segment=True, other_subnet=True))

    assert {one for one in Capability if not lab.can(one)} == {Capability.CLOCK_BEHIND, *of_topology}
    assert {one for one in Capability if not asked.can(one)} == {Capability.CLOCK_BEHIND, Capability.NEW_SEGMENT}
    assert not lab.can(cast("Capability", "later"))
