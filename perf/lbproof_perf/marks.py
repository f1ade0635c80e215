"""Marks of trials, which say why to look twice, and what each means for the figures: one rule for all of a report.

- A mark that says that the figure may be that of the client, of a full machine, of less than was asked for, or of a
  moment that is hardly known (`VOID`) leaves its trial out of every figure. Such a mark does not depend on how the
  implementation did.
- A mark of what the implementation did not bring about in its time (`RESULT`) is the result itself. The trial counts,
  whatever other marks it has: to leave it out would favour who never recovers.
- Any other mark (`DISTURBED`) says that the trial was not made at rest: the machine stood still, or requests of before
  went on. The trial counts, since a long outage meets more stalls than a short one, and to leave out what was slow
  would favour the slow. Such trials alone are no figure to judge by.

A figure of which no trial counts is that of all its trials, to be looked at: it is no headline, and nothing is judged
by it. The texts are those of `trials.ndjson`, so that older folders are read by the same rule.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lbproof_perf.results import Trial


class Effect(StrEnum):
    """What a mark means for the figures."""

    VOID = "left out"
    RESULT = "result"
    DISTURBED = "counted"


EFFECTS: Mapping[str, Effect] = {
    "when the fault took effect is known to": Effect.VOID,
    "the client was the limit": Effect.VOID,
    "the machine was the limit": Effect.VOID,
    "the hypervisor took": Effect.VOID,
    "churn was": Effect.VOID,
    "no recovery within": Effect.RESULT,
    "not one announcer": Effect.RESULT,
    "not all was seen of all Services": Effect.RESULT,
    "not every address was answered for": Effect.RESULT,
    "nothing was answered": Effect.RESULT,
    "the machine stalled for": Effect.DISTURBED,
    "it still asked something of the API server": Effect.DISTURBED,
}
"""First words of a mark → what it means. One that is not here is `DISTURBED`."""


def effect(mark: str) -> Effect:
    """Return what a mark means."""
    return next((found for words, found in EFFECTS.items() if mark.startswith(words)), Effect.DISTURBED)


def effects(trial: Trial) -> set[Effect]:
    """Return what the marks of a trial mean, without those that a result outranks."""
    found = {effect(mark) for mark in trial.warnings}
    return {Effect.RESULT} if Effect.RESULT in found else found


def counts(trial: Trial) -> bool:
    """Return whether a trial is part of the figures."""
    return Effect.VOID not in effects(trial)


def counted(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials that figures are made of: those that count, or all where none does."""
    return [trial for trial in trials if counts(trial)] or list(trials)


def against(trials: Sequence[Trial]) -> str:
    """Return why nothing is judged by some trials: a mark, where none counts or all were disturbed, else empty."""
    if any(effects(trial) <= {Effect.RESULT} for trial in trials):
        return ""
    wanted = Effect.DISTURBED if any(map(counts, trials)) else Effect.VOID
    return next((mark for trial in trials for mark in trial.warnings if effect(mark) is wanted), "")
