"""Types of the specification: level, verdict, conclusion, exit code, and reasons for untestable cases.

All lists are closed deliberately: a verdict or a reason outside them is a bug of the suite, and the same value has the
same meaning in every report.
"""

from __future__ import annotations

from enum import Enum, IntEnum, StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


NOT_REACHED = "not reached: "
"""Prefix of the reason of a case that was not reached before the run ended; its verdict is `error`."""


class Level(StrEnum):
    """Requirement level (RFC 2119)."""

    MUST = "MUST"
    """A failure makes the implementation not conformant."""
    SHOULD = "SHOULD"
    """A failure is reported as a warning and does not change the conclusion."""
    MAY = "MAY"
    """Tested only when the implementation claims the feature; then equal to MUST."""
    INFO = "INFO"
    """Measured and reported, never judged: no verdict on it is `failed`, and none changes the conclusion."""


class Verdict(StrEnum):
    """Verdict on one requirement after a run, from best to worst.

    A requirement's verdict is the worst of its cases by this order (`worst`).
    """

    PASSED = "passed"
    UNSUPPORTED = "unsupported"
    """The implementation does not claim a feature that the requirement needs."""
    SKIPPED = "skipped"
    """Excluded by the operator."""
    UNTESTABLE = "untestable"
    """The lab cannot show it; `Untestable` has the reason."""
    ERROR = "error"
    """The suite or the lab failed; nothing is known about the implementation."""
    FAILED = "failed"
    """The requirement is proven not to hold; other failures do not change that."""


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst of the verdicts; `ERROR` when there are none."""
    order = list(Verdict)
    return max(verdicts, key=order.index, default=Verdict.ERROR)


class Untestable(Enum):
    """Reason why a lab cannot show a requirement: a closed list, each with the sentence in the report."""

    NO_SUCH_VANTAGE = "no place in this lab to watch it from"
    NO_SUCH_FAULT = "this lab cannot cause the fault without harm"
    PROXY_MODE = "kube-proxy runs in another mode"
    TOO_FEW_NODES = "the cluster has too few nodes"
    PATH_BROKEN = "the path to a plain pod is broken, so nothing can be said about the LoadBalancer"
    NO_FREE_ADDRESS = "the segment has no free address block"
    NO_WORKLOAD = "the implementation has no workload in the cluster that could be restarted or killed for it"
    NOT_PROVOKED = "what is to be judged did not come about"
    PREREQUISITE = "what another requirement judges did not hold"
    """The detail names that requirement: `prerequisite L2-01: …`."""


class Conclusion(StrEnum):
    """Conclusion of a run about an implementation."""

    CONFORMANT = "conformant"
    NOT_CONFORMANT = "not conformant"
    INCONCLUSIVE = "inconclusive"
    """A selected MUST could not be judged: untestable, skipped or an error."""
    PARTIAL = "partial"
    """Only a part of the profile was judged, and it passed; nothing is known about the rest."""


class Exit(IntEnum):
    """Exit codes of the `lbproof` command. Plain pytest keeps pytest's own."""

    CONFORMANT = 0
    """Also for a partial run in which everything judged passed."""
    NOT_CONFORMANT = 1
    INCONCLUSIVE = 2
    USAGE = 64
    """Bad input: an unknown name, a broken options file (sysexits EX_USAGE)."""
    NO_ENVIRONMENT = 69
    """No usable environment: not root, a kernel without what the lab needs, a full disk (EX_UNAVAILABLE)."""
    BUG = 70
    """A bug in lbproof (EX_SOFTWARE)."""

    @classmethod
    def of(cls, conclusion: Conclusion) -> Exit:
        """Return the exit code of a completed run."""
        return cls.CONFORMANT if conclusion is Conclusion.PARTIAL else cls[conclusion.name]


def conclude(
    verdicts: Iterable[tuple[Level, Verdict]],
    *,
    whole: bool = True,
    not_claimed: Collection[str] = (),
    flaky: Collection[Level] = (),
) -> Conclusion:
    """Derive the conclusion of a run from the level and the verdict of every selected case.

    A failed MUST (or claimed MAY) takes precedence; one that could not be judged makes the run inconclusive. A
    SHOULD never changes the conclusion, except that any `ERROR` is inconclusive, and an INFO never does. An empty
    selection is inconclusive.

    `whole`: the whole profile was judged; otherwise a passed run is `PARTIAL`. `not_claimed`: features that the
    profile requires and the implementation does not claim; a whole run with any of them is not conformant.

    `flaky`: levels of the cases that passed only on a second look. Such a MUST (or claimed MAY) makes the run
    inconclusive, as nothing says which of the two looks was right.
    """
    selected = list(verdicts)
    seen = [(level, verdict) for level, verdict in selected if level is not Level.INFO]
    binding = {verdict for level, verdict in seen if level is not Level.SHOULD}
    if Verdict.FAILED in binding or (seen and whole and not_claimed):
        return Conclusion.NOT_CONFORMANT
    unknown = {Verdict.UNTESTABLE, Verdict.SKIPPED, Verdict.ERROR}
    unclear = any(level in {Level.MUST, Level.MAY} for level in flaky)
    if not selected or unclear or binding & unknown or any(verdict is Verdict.ERROR for _, verdict in seen):
        return Conclusion.INCONCLUSIVE
    return Conclusion.CONFORMANT if whole else Conclusion.PARTIAL
