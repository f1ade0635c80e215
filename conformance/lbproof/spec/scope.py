"""Scope of a run: which part of its profile was judged. Only a run over the whole profile can be conformant to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lbproof.spec.features import PROFILES, lacking
from lbproof.spec.requirements import REQUIREMENTS, SPEC_VERSION, is_of_family_not_claimed, needs_of
from lbproof.spec.words import NOT_REACHED, Level, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_JUDGED = {Verdict.PASSED, Verdict.FAILED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Judged part of a profile, counted in requirements; those that are measured alone (`Level.INFO`) do not count."""

    profile: str
    judged: int
    """Requirements whose claimed cases all passed or failed."""
    in_part: int
    """Requirements whose claimed cases only partly passed or failed."""
    unsupported: int
    """Requirements that need a feature which is not claimed."""
    of: int
    """Requirements of the profile."""
    whole: bool
    """Whether no case of the profile was deselected, skipped or not reached."""
    not_claimed: tuple[str, ...]
    """Features that the profile requires and the implementation does not claim."""
    unsupported_musts: int
    musts: int

    @property
    def text(self) -> str:
        """Return the limits of the scope in one line; empty when the whole profile was judged and claimed."""
        if not self.whole:
            part = f", and {self.in_part} in part" if self.in_part else ""
            return f"partial: {self.judged} of {self.of} requirements of profile {self.profile} judged{part}"
        if self.not_claimed:
            return (
                f"profile {self.profile} requires features that are not claimed: {', '.join(self.not_claimed)} "
                f"({self.unsupported_musts} of {self.musts} MUSTs unsupported)"
            )
        return ""


def is_reached(verdict: Verdict, reason: str) -> bool:
    """Return whether a case was reached: neither skipped nor after the end of the run."""
    return verdict is not Verdict.SKIPPED and not (verdict is Verdict.ERROR and reason.startswith(NOT_REACHED))


def scope_of(profile: str, claimed: Collection[str], reached: Mapping[str, Verdict], spec: str = SPEC_VERSION) -> Scope:
    """Return the scope of a run from its claimed features and the verdicts of its reached cases (`is_reached`) by name.

    `spec`: version of the specification that it judged by.
    Raises `KeyError` for a profile that is not in the specification.
    """
    wanted = PROFILES[profile]
    judged = in_part = unsupported = musts = unsupported_musts = of = 0
    whole = True
    for requirement in REQUIREMENTS.values():
        if requirement.level is Level.INFO:
            continue
        cases = [
            case
            for case in requirement.names_in(spec)
            if not lacking(needs_of(case), wanted.features) and not is_of_family_not_claimed(case, claimed)
        ]
        if not cases:
            continue
        of += 1
        must = requirement.level is Level.MUST
        musts += must
        whole = whole and all(case in reached for case in cases)
        supported = [case for case in cases if not lacking(needs_of(case), claimed)]
        done = sum(reached.get(case) in _JUDGED for case in supported)
        if not supported:
            unsupported += 1
            unsupported_musts += must
        elif done == len(supported):
            judged += 1
        elif done:
            in_part += 1
    return Scope(
        profile=profile,
        judged=judged,
        in_part=in_part,
        unsupported=unsupported,
        of=of,
        whole=whole,
        not_claimed=tuple(lacking(wanted.requires, claimed)),
        unsupported_musts=unsupported_musts,
        musts=musts,
    )
