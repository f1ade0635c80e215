"""When each address was assigned to which Service, from the versions that a watch delivers. Thread-safe."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lbproof.standing.surroundings import ips

if TYPE_CHECKING:
    from lbproof.adapters.base import Object
    from lbproof.standing.surroundings import Surroundings


@dataclass(slots=True)
class Assignment:
    """Time in which the status of a Service has an address; moments are of `time.monotonic()`."""

    address: str
    service: Object
    """Last version that has the address."""
    began: float
    ended: float = math.inf


class Assignments:
    """All assignments of a run, by address."""

    def __init__(self, surroundings: Surroundings) -> None:
        """Nothing is assigned."""
        self._around = surroundings
        self._lock = threading.Lock()
        self._of: dict[str, list[Assignment]] = {}
        self.foreign: set[str] = set()
        """Addresses that the status of a Service of another class has had."""

    def version(self, t: float, kind: str, service: Object) -> None:
        """Take a version of a Service that arrived at a moment."""
        shown = set(ips(service)) if kind != "DELETED" else set()
        with self._lock:
            foreign = self._around.is_foreign(service)
            if foreign:
                self.foreign |= shown
            self._note(t, service, shown, begins=not foreign)

    def _note(self, t: float, service: Object, shown: set[str], *, begins: bool) -> None:
        """Note what a version shows. `begins`: also what is assigned from now on.

        A Service that was given another class has what it had until its status is empty.
        """
        uid = service["metadata"]["uid"]
        for one in (one for rows in self._of.values() for one in rows):  # several Services may share an address
            if one.service["metadata"]["uid"] == uid and one.ended == math.inf:
                if one.address in shown:
                    one.service = service
                    shown.discard(one.address)
                else:
                    one.ended = t
        for address in shown if begins else ():
            self._of.setdefault(address, []).append(Assignment(address, service, t))

    def at(self, address: str, since: float, until: float) -> list[Assignment]:
        """Return the assignments of an address that lasted at some moment of a time, oldest first."""
        with self._lock:
            return [one for one in self._of.get(address, ()) if one.began <= until and one.ended >= since]

    def last_before(self, address: str, t: float) -> Assignment | None:
        """Return the last assignment of an address that began before a moment."""
        with self._lock:
            return next((one for one in reversed(self._of.get(address, ())) if one.began <= t), None)

    def present(self) -> list[Assignment]:
        """Return what is assigned now."""
        with self._lock:
            return [one for rows in self._of.values() for one in rows if one.ended == math.inf]

    def released(self, since: float) -> list[str]:
        """Return the addresses that were released after a moment, and are assigned to nobody now."""
        with self._lock:
            ends = {address: max(one.ended for one in rows) for address, rows in self._of.items()}
            return [address for address, ended in ends.items() if since <= ended < math.inf]

    def knows(self, address: str) -> bool:
        """Return whether an address has ever been in the status of a Service."""
        with self._lock:
            return address in self._of or address in self.foreign
