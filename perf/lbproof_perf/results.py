"""Folder of a run: each trial is a line of `trials.ndjson`; its raw samples are compressed in a file below `raw/`.

Figures, report and metrics are made from these lines. A run that was stopped can be continued: a trial with a line is
not made again. A line is written at once and last, after the raw samples.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from lbproof.files import append_whole, not_plain, of_environment, point, replacing, write_whole
from lbproof.report.folder import SUMS, manifest
from lbproof.spec import BadOption
from lbproof.text import printable
from lbproof.witnesses.clock import Clock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

FORMAT = "lbproof-bench/1"
_TRIALS, _ENVIRONMENT, _RAW = "trials.ndjson", "environment.json", "raw"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialId:
    """Identity of a trial: what is measured, and the number of the repetition."""

    bench: str
    """Name of the benchmark (`Benchmark.name`)."""
    arm: str
    """Name of what is measured (`lbproof_perf.sut.arms`), or of the tool where a tool is measured."""
    case: str
    """What was done: `power-cut`, `burst-100`, `nodeport`."""
    number: int = 1
    """From 1."""

    @property
    def key(self) -> str:
        """`failover/reference/power-cut/7`."""
        return f"{self.bench}/{self.arm}/{self.case}/{self.number}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Result of a trial."""

    id: TrialId
    values: Mapping[str, float | None]
    """Figure → value. The name ends with its unit (`_seconds`, `_bytes`, `_per_second`, or a count without one); None
    where the thing did not happen within its time, which is kept and never dropped."""
    warnings: tuple[str, ...] = ()
    """Why a reader should look twice: `the machine stalled for 120 ms`."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else is needed to draw or explain it; JSON, at most some kilobytes."""
    raw: str = ""
    """File below `raw/` with the arrays that the figures were made from."""
    clocks: Mapping[str, Clock] = field(default_factory=dict)
    """Vantage → its clock, by which moments were converted to those of the benchmark's process. Empty where no moment
    of a vantage is part of the figures, and in folders of earlier versions."""
    at: str = ""
    """UTC, when it was written."""


class ResultStore:
    """The trials of one run, in the order in which they were made."""

    def __init__(self, folder: Path) -> None:
        """Read what is there. Raises `BadOption` for a folder that is not of this format, or that holds links."""
        if foreign := not_plain(folder):
            raise BadOption(f"{folder} is not read: {printable(foreign[0])}")
        self.folder = folder
        self.trials: list[Trial] = []
        self.environment: dict[str, str] = {}
        try:
            (folder / _RAW).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unusable(folder, error) from None
        environment = folder / _ENVIRONMENT
        if environment.exists():
            self.environment = json.loads(environment.read_text(encoding="utf-8"))
            if self.environment.get("format") != FORMAT:
                raise BadOption(f"{folder} is not a benchmark's folder of format {FORMAT}")
        self._read()

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Return the trials of a run. Raises `BadOption` when the folder has none."""
        if not (folder / _TRIALS).is_file():
            raise BadOption(f"{folder} holds no benchmark: {_TRIALS} is missing")
        return cls(folder)

    def _read(self) -> None:
        path = self.folder / _TRIALS
        if not path.exists():
            return
        with path.open("rb+") as file:
            for line in file:
                try:
                    row = json.loads(line)
                    self.trials.append(_read_trial(row))
                except (ValueError, KeyError, TypeError) as error:
                    if line.endswith(b"\n"):
                        raise BadOption(f"{path}, line {len(self.trials) + 1}: not a trial: {error}") from None
                    file.truncate(file.tell() - len(line))  # a run that was killed while it wrote

    @property
    def clocks(self) -> dict[str, Clock]:
        """Vantage → its clock; over all trials the one whose offset is least certain."""
        found: dict[str, Clock] = {}
        for trial in self.trials:
            for vantage, clock in trial.clocks.items():
                if vantage not in found or clock.uncertainty > found[vantage].uncertainty:
                    found[vantage] = clock
        return found

    def has(self, trial_id: TrialId) -> bool:
        """Return whether the trial was made already."""
        return any(trial.id == trial_id for trial in self.trials)

    def of(self, bench: str, arm: str | None = None, case: str | None = None) -> list[Trial]:
        """The trials of a benchmark, perhaps of one arm and one case."""
        return [
            trial
            for trial in self.trials
            if trial.id.bench == bench and arm in (None, trial.id.arm) and case in (None, trial.id.case)
        ]

    def add(
        self,
        trial_id: TrialId,
        values: Mapping[str, float | None],
        *,
        warnings: tuple[str, ...] = (),
        detail: Mapping[str, Any] | None = None,
        arrays: Mapping[str, NDArray[Any]] | None = None,
        clocks: Mapping[str, Clock] | None = None,
    ) -> Trial:
        """Keep a trial: its arrays first, then its line, each whole or not at all. Raises `OSError`."""
        raw = ""
        if arrays is not None:
            raw = re.sub(r"[^A-Za-z0-9.-]+", "_", trial_id.key) + ".npz"
            with replacing(self.folder / _RAW / raw) as file:
                np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        trial = Trial(
            id=trial_id,
            values=dict(values),
            warnings=warnings,
            detail=dict(detail or {}),
            raw=raw,
            clocks=dict(clocks or {}),
            at=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        try:
            append_whole(self.folder / _TRIALS, json.dumps(_trial_row(trial)) + "\n")
        except OSError:
            if raw:
                (self.folder / _RAW / raw).unlink()
            raise
        self.trials.append(trial)
        return trial

    def arrays(self, trial: Trial) -> dict[str, NDArray[Any]]:
        """The raw data of a trial; empty where it kept none."""
        if not trial.raw or Path(trial.raw).name != trial.raw:  # never outside of the folder
            return {}
        with np.load(self.folder / _RAW / trial.raw, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}

    def lost(self, error: BaseException) -> str:
        """Return one line when an error means that this folder cannot be written; empty for any other."""
        named = error.filename if isinstance(error, OSError) else None
        inside = isinstance(named, str) and Path(named).absolute().is_relative_to(self.folder.absolute())
        return of_environment(error) if inside else ""

    def add_environment(self, facts: Mapping[str, str]) -> None:
        """Keep facts about where the run is made; those of before stay unless they changed."""
        self.environment |= {"format": FORMAT, **facts}
        write_whole(self.folder / _ENVIRONMENT, json.dumps(self.environment, indent=1) + "\n")

    def seal(self) -> None:
        """Write SHA256SUMS over all that the folder holds (`sha256sum -c` reads it)."""
        write_whole(self.folder / SUMS, manifest(self.folder))


def _read_trial(row: Mapping[str, Any]) -> Trial:
    """Make a trial of its row in `trials.ndjson`; `step` and `marks` are the names of the first format."""
    texts = [*row["step"].values(), *row["marks"], *row["values"], row.get("raw", "")]
    if not all(text.isprintable() for text in map(str, texts)):
        raise ValueError("a name or a mark has characters that are not printable")
    if (raw := row.get("raw", "")) != Path(raw).name:
        raise ValueError(f"{raw} is not the name of a file")
    rest = {key: value for key, value in row.items() if key not in {"step", "marks", "clocks"}}
    clocks = {vantage: Clock(**clock) for vantage, clock in row.get("clocks", {}).items()}
    return Trial(id=TrialId(**row["step"]), warnings=tuple(row["marks"]), clocks=clocks, **rest)


def _trial_row(trial: Trial) -> dict[str, Any]:
    """Give the row of a trial in `trials.ndjson`."""
    names = {"id": "step", "warnings": "marks"}
    return {names.get(key, key): value for key, value in asdict(trial).items()}


def new_folder(results: Path) -> Path:
    """A folder for a new run below `results`, and `bench-latest` that leads to it. Raises as `_unusable` says."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    folder = results / f"bench-{stamp}"
    try:
        folder.mkdir(parents=True)
        point(results / "bench-latest", folder.name)
    except OSError as error:
        raise _unusable(results, error) from None
    return folder


def _unusable(folder: Path, error: OSError) -> OSError | BadOption:
    """Return the error for a folder that cannot be made: of the machine, such as a full disk, or of the usage."""
    if of_environment(error):
        return OSError(error.errno, error.strerror, str(folder))
    return BadOption(f"results folder {folder}: {error.strerror}; choose another with --results")
