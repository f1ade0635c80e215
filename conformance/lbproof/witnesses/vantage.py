"""A place that traffic is sent from and watched at.

The witnesses need no more of a place than this: to open a socket as if there, and to run a program there. A lab offers
its vantages; what stands behind one (a network namespace, a container, a pod) is the lab's own business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Sequence
    from contextlib import AbstractContextManager


class Vantage(Protocol):
    """One place in the lab: the outside client, a client behind a router, a node, a pod."""

    @property
    def name(self) -> str:
        """What a reader calls it: `client`, `far`, `node w01`, `pod web-7`."""
        ...

    @property
    def address(self) -> str:
        """Its own IPv4 address, where it looks out from."""
        ...

    @property
    def interface(self) -> str:
        """The interface that looks at the segment or towards it (`eth0`)."""
        ...

    @property
    def mac(self) -> str:
        """The hardware address of `interface`, in lower case with colons."""
        ...

    def inside(self) -> AbstractContextManager[None]:
        """Sockets that this thread makes inside stay at the vantage. Other threads are not moved."""
        ...

    def popen(
        self, argv: Sequence[str], *, stdout: int | None = None, stderr: int | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a program of this machine there; the caller ends it. It dies with the lab at the latest."""
        ...
