"""Interface of a vantage: a place where traffic is sent and observed.

Witnesses use a vantage by probes, which run there. The lab implements it, for example by a network namespace, a
container or a pod.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from lbproof.spec.families import Family, IPAddress
    from lbproof.witnesses.probe import Probe


class Vantage(Protocol):
    """Place in the lab: the external client, a client behind a router, a node, a pod."""

    @property
    def name(self) -> str:
        """Display name: `client`, `far`, `node w01`, `pod NAMESPACE/NAME`."""
        ...

    @property
    def addresses(self) -> tuple[IPAddress, ...]:
        """Addresses of the vantage, one of each family, that of the lab's primary family first."""
        ...

    @property
    def address(self) -> IPAddress:
        """First of the addresses."""
        ...

    @property
    def families(self) -> tuple[Family, ...]:
        """Families of the addresses, in order."""
        ...

    def address_for(self, family: Family) -> IPAddress:
        """Return the address of a family. Raises an error of the lab when there is none."""
        ...

    @property
    def interface(self) -> str:
        """Interface on the segment or towards it (`eth0`)."""
        ...

    @property
    def mac(self) -> str:
        """Hardware address of `interface`, in lower case with colons."""
        ...

    def probe(self) -> Probe:
        """Return the probe of this vantage, which all its users share; it is started at the first use.

        A probe that was started before the vantage was replaced, such as that of a node before its crash, is replaced
        as well. Raises `ProbeError` when it cannot be started, or has died since its last use.
        """
        ...

    def start_probe(self) -> Probe:
        """Start another probe, for a measurement that shares neither interpreter nor queue; the caller closes it.

        It ends with the lab at the latest. Raises `ProbeError` when it cannot be started.
        """
        ...
