"""Numbers of requirements that judge, as the specification has them, so that a new one changes no expected text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lbproof.spec import PROFILES, REQUIREMENTS, Level, lacking
from lbproof.spec.requirements import needs_of

if TYPE_CHECKING:
    from collections.abc import Collection


def count(
    profile: str = "full",
    level: Level | None = None,
    *,
    claimed: Collection[str] | None = None,
    in_part: bool = True,
) -> int:
    """Requirements of a profile, of one level or all, whose cases need no more than the claimed features.

    Without `claimed`, all features of the profile are claimed. With `in_part`, one such case is enough.
    """
    features = PROFILES[profile].features
    claims = features if claimed is None else set(claimed)
    enough = any if in_part else all
    cases = [
        [not lacking(needs_of(case), claims) for case in requirement.case_ids if not lacking(needs_of(case), features)]
        for requirement in REQUIREMENTS.values()
        if level in {None, requirement.level} and requirement.level is not Level.INFO
    ]
    return sum(enough(supported) for supported in cases if supported)


ALL = count()
"""Requirements of the profile `full`."""
LAYER2_MUSTS = count("layer2", Level.MUST)
LAYER2_MUSTS_UNCLAIMED = LAYER2_MUSTS - count("layer2", Level.MUST, claimed=["core"])
"""Those of `LAYER2_MUSTS` that the sample `unclaimed` does not support."""
