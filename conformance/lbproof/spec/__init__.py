"""Specification as data: requirements, features, profiles and budgets, separate from the checks that prove them.

Documents, the report, `lbproof list` and badges are generated from it. This package imports no other part of lbproof.
"""

from lbproof.spec.budgets import BUDGETS, Budget, check_budgets
from lbproof.spec.features import (
    ALIASES,
    DEFAULT_PROFILE,
    FEATURES,
    PROFILES,
    Feature,
    Profile,
    check_features,
    claims,
    lacking,
)
from lbproof.spec.names import BadOption, UnknownName, check_name, nearest
from lbproof.spec.requirements import AREAS, REQUIREMENTS, SPEC_VERSION, VERSIONS, Requirement, select
from lbproof.spec.scope import Scope, is_reached, scope_of
from lbproof.spec.words import NOT_REACHED, Conclusion, Exit, Level, Untestable, Verdict, conclude, worst

__all__ = [
    "ALIASES",
    "AREAS",
    "BUDGETS",
    "DEFAULT_PROFILE",
    "FEATURES",
    "NOT_REACHED",
    "PROFILES",
    "REQUIREMENTS",
    "SPEC_VERSION",
    "VERSIONS",
    "BadOption",
    "Budget",
    "Conclusion",
    "Exit",
    "Feature",
    "Level",
    "Profile",
    "Requirement",
    "Scope",
    "UnknownName",
    "Untestable",
    "Verdict",
    "check_budgets",
    "check_features",
    "check_name",
    "claims",
    "conclude",
    "is_reached",
    "lacking",
    "nearest",
    "scope_of",
    "select",
    "worst",
]
