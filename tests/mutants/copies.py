"""Faults of several copies of the controller that run at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.mutants.mutant import fault, patch

from lbproof_reference.controller.leader import LeaderElection
from lbproof_reference.controller.loop import Controller
from lbproof_reference.kube import SERVICES
from lbproof_reference.services import ingress, is_managed

if TYPE_CHECKING:
    from lbproof_reference.kube import Object


@fault("UPGR-04b")
def standby_empties_statuses() -> None:
    """A copy of the controller that waits empties the status of each Service, to none of which it gave an address."""
    real = LeaderElection._wait_for_change  # noqa: SLF001 - a fault replaces private functions

    async def wait_for_change(self: LeaderElection, pod: Object) -> None:
        for service in (await self._kube.call("GET", SERVICES))["items"]:
            if is_managed(service, None) and ingress(service):
                meta = service["metadata"]
                path = f"/api/v1/namespaces/{meta['namespace']}/services/{meta['name']}/status"
                await self._kube.call("PATCH", path, {"status": {"loadBalancer": {"ingress": None}}})
        await real(self, pod)

    patch(LeaderElection, "_wait_for_change", wait_for_change)


@fault("UPGR-04b")
def new_leader_begins_anew() -> None:
    """A copy that takes over from another gives all addresses anew, whoever has them (metallb #1774)."""
    has_waited: list[bool] = []
    wait, restore = LeaderElection._wait_for_change, Controller._restore  # noqa: SLF001 - as above

    async def wait_for_change(self: LeaderElection, pod: Object) -> None:
        has_waited.append(True)
        await wait(self, pod)

    patch(LeaderElection, "_wait_for_change", wait_for_change)
    patch(Controller, "_restore", lambda self: None if has_waited else restore(self))
