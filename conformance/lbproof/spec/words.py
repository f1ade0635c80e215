"""The words of the specification as types: level, verdict, conclusion, and why something could not be tested.

Everything here is closed on purpose. A verdict or a reason that is not in these lists is a bug of the suite, and a
reader of two reports can rely on both meaning the same thing.
"""

from __future__ import annotations

from enum import Enum, IntEnum, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


NOT_REACHED = "not reached: "
"""How the reason of a case begins that the run ended before; its verdict is `error`."""


class Level(StrEnum):
    """How strongly a requirement binds (RFC 2119)."""

    MUST = "MUST"
    """A miss makes the implementation not conformant."""
    SHOULD = "SHOULD"
    """A miss is reported as a warning and does not change the conclusion."""
    MAY = "MAY"
    """Tested only when the implementation claims the feature; then it binds like MUST."""


class Verdict(StrEnum):
    """What is known about one requirement after a run, from best to worst.

    The order is the lattice: a requirement's verdict is the worst of its cases (`worst`).
    """

    PASSED = "passed"
    UNSUPPORTED = "unsupported"
    """The implementation does not claim a feature that the requirement needs."""
    SKIPPED = "skipped"
    """The operator left it out."""
    UNTESTABLE = "untestable"
    """This lab cannot show it; `Untestable` says why."""
    ERROR = "error"
    """The suite or the lab broke; nothing is known about the implementation."""
    FAILED = "failed"
    """It was shown not to hold; what else broke does not take that back."""


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict of a whole from those of its parts: the worst of them; `ERROR` when there is none to judge by."""
    order = list(Verdict)
    return max(verdicts, key=order.index, default=Verdict.ERROR)


class Untestable(Enum):
    """Why a lab cannot show a requirement: a closed list, each with the sentence that a reader sees."""

    NO_SUCH_VANTAGE = "no place in this lab to watch it from"
    NO_SUCH_FAULT = "this lab cannot cause the fault without harm"
    PROXY_MODE = "kube-proxy runs in another mode"
    TOO_FEW_NODES = "the cluster has too few nodes"
    PATH_BROKEN = "the path to a plain pod is broken, so nothing can be said about the LoadBalancer"
    NO_FREE_ADDRESS = "the segment has no free address block"
    NOT_PROVOKED = "what is to be judged did not come about"


class Conclusion(StrEnum):
    """What a whole run says about an implementation."""

    CONFORMANT = "conformant"
    NOT_CONFORMANT = "not conformant"
    INCONCLUSIVE = "inconclusive"
    """A MUST that was selected could not be judged: untestable, skipped or an error."""
    PARTIAL = "partial"
    """Only a part of the profile was judged, and that part held; nothing is said of the rest."""


class Exit(IntEnum):
    """Exit codes of the `lbproof` command. Plain pytest keeps pytest's own."""

    CONFORMANT = 0
    """Also of a partial run in which all that was judged held."""
    NOT_CONFORMANT = 1
    INCONCLUSIVE = 2
    USAGE = 64
    """Bad input: an unknown name, a broken options file (sysexits EX_USAGE)."""
    NO_ENVIRONMENT = 69
    """No usable environment: not root, a kernel without what the lab needs, a full disk (EX_UNAVAILABLE)."""
    BUG = 70
    """A bug of ours (EX_SOFTWARE)."""

    @classmethod
    def of(cls, conclusion: Conclusion) -> Exit:
        """The exit of a run that came to its end."""
        return cls.CONFORMANT if conclusion is Conclusion.PARTIAL else cls[conclusion.name]


def conclude(
    verdicts: Iterable[tuple[Level, Verdict]], *, whole: bool = True, not_claimed: Collection[str] = ()
) -> Conclusion:
    """The conclusion of a run from the level and the verdict of every case that was selected.

    A MUST (or a claimed MAY) that failed outweighs everything; one that could not be judged makes the run
    inconclusive; a SHOULD never changes the conclusion, except that an `ERROR` anywhere is inconclusive.
    An empty selection proves nothing and is inconclusive.

    `whole` says whether the whole profile was judged: if not, what held is `PARTIAL`. `not_claimed` are the features
    that the profile requires and the implementation does not claim: a whole run with one is not conformant to it.
    """
    seen = list(verdicts)
    binding = {verdict for level, verdict in seen if level is not Level.SHOULD}
    if Verdict.FAILED in binding or (seen and whole and not_claimed):
        return Conclusion.NOT_CONFORMANT
    unknown = {Verdict.UNTESTABLE, Verdict.SKIPPED, Verdict.ERROR}
    if not seen or binding & unknown or any(verdict is Verdict.ERROR for _, verdict in seen):
        return Conclusion.INCONCLUSIVE
    return Conclusion.CONFORMANT if whole else Conclusion.PARTIAL
