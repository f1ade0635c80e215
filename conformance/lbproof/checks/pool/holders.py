"""Who holds which address, by a watch of Services."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.context import ingress
from lbproof.text import words

if TYPE_CHECKING:
    from collections.abc import Collection

    from lbproof.adapters.base import Object
    from lbproof.spec.families import IPAddress


class Holders:
    """Current holders of addresses, in the event order of the API server."""

    def __init__(self, namespaces: Collection[str], *, keep: bool = False) -> None:
        """Judge the Services of some namespaces. `keep`: no check asks one that has addresses for a change."""
        self._namespaces, self._keep = namespaces, keep
        self.now: dict[str, list[IPAddress]] = {}

    def changed(self, kind: str, service: Object) -> None:
        """Adopt a change; verify that no two Services hold one address then, and that each keeps its own."""
        meta = service["metadata"]
        name = f"{meta['namespace']}/{meta['name']}"
        before = self.now.pop(name, [])
        if kind == "DELETED" or meta["namespace"] not in self._namespaces:
            return
        self.now[name] = ingress(service)
        for address in self.now[name]:
            holders = [other for other, held in self.now.items() if address in held]
            assert len(holders) == 1, f"{address} is held by {words(holders)} at once"
        if self._keep and before and "deletionTimestamp" not in meta:
            assert self.now[name] == before, f"{name} had {words(before)}, and then {words(self.now[name])}"
