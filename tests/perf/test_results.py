"""A benchmark's folder loses nothing: not to a kill, not to a slow trial."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lbproof.spec import BadOption
from lbproof.witnesses.clock import Clock
from lbproof_perf.results import ResultStore, TrialId, new_folder

if TYPE_CHECKING:
    from pathlib import Path

STEP = TrialId(bench="failover", arm="reference", case="power-cut", number=1)


def test_what_was_kept_is_read_again(tmp_path: Path) -> None:
    """Values, marks, detail and raw arrays come back as they were, a value that did not come about too."""
    values = {"first_answer_seconds": 0.131, "steady_seconds": None}
    ResultStore(tmp_path).add(
        STEP, values, warnings=("stalled",), detail={"macs": ["a"]}, arrays={"udp_due": np.array([1.5])}
    )

    store = ResultStore.read(tmp_path)

    assert store.has(STEP)
    assert store.trials[0].values == values
    assert (store.trials[0].warnings, store.trials[0].detail) == (("stalled",), {"macs": ["a"]})
    assert store.arrays(store.trials[0])["udp_due"].tolist() == [1.5]


def test_the_clock_of_a_vantage_is_kept(tmp_path: Path) -> None:
    """Offset and uncertainty come back with the trial; of the run it is the least certain one."""
    close, far = Clock(offset=1.5, uncertainty=0.0001), Clock(offset=1.6, uncertainty=0.002)
    made = ResultStore(tmp_path)
    for number, clock in enumerate((close, far, close), start=1):
        made.add(replace(STEP, number=number), {"lost": 1}, clocks={"client": clock})

    store = ResultStore.read(tmp_path)

    assert [trial.clocks for trial in store.trials] == [{"client": close}, {"client": far}, {"client": close}]
    assert store.clocks == {"client": far}


def test_a_line_cut_short_by_a_kill_is_taken_away(tmp_path: Path) -> None:
    """What was being written when the run died is measured again; what came before stays."""
    ResultStore(tmp_path).add(STEP, {"lost": 1})
    path = tmp_path / "trials.ndjson"
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])

    assert len(ResultStore(tmp_path).trials) == 1
    assert path.read_bytes() == whole


def test_a_spoilt_line_is_named(tmp_path: Path) -> None:
    """A file that somebody edited is refused with the line, not read in part."""
    ResultStore(tmp_path).add(STEP, {"lost": 1})
    with (tmp_path / "trials.ndjson").open("a") as file:
        file.write("{}\n")

    with pytest.raises(BadOption, match="line 2"):
        ResultStore(tmp_path)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    """A conformance run's folder is not taken for a benchmark's."""
    with pytest.raises(BadOption, match=r"trials\.ndjson is missing"):
        ResultStore.read(tmp_path)
    (tmp_path / "environment.json").write_text(json.dumps({"format": "lbproof-run/1"}))
    with pytest.raises(BadOption, match="not a benchmark's folder"):
        ResultStore(tmp_path)


def test_the_seal_is_what_sha256sum_reads(tmp_path: Path) -> None:
    """A reader of a published run checks it with the tool that every machine has."""
    store = ResultStore(tmp_path)
    store.add_environment({"kernel": "6.18"})
    store.add(STEP, {"lost": 0}, arrays={"x": np.zeros(3)})
    store.seal()
    program = shutil.which("sha256sum")
    assert program

    assert subprocess.run([program, "-c", "--quiet", "SHA256SUMS"], cwd=tmp_path, check=False).returncode == 0


def test_the_latest_run_is_found(tmp_path: Path) -> None:
    """`bench-latest` leads to the newest run's folder."""
    new_folder(tmp_path)
    newest = new_folder(tmp_path / ".")

    assert (tmp_path / "bench-latest").resolve() == newest.resolve()


@pytest.mark.parametrize("name", ["trials.ndjson", "environment.json", "raw/1.npz", "thresholds.toml"])
def test_a_folder_with_a_link_is_neither_read_nor_written(tmp_path: Path, name: str) -> None:
    """A submitted folder leads to no file of its reader."""
    folder, secret = tmp_path / "run", tmp_path / "secret"
    secret.write_text("mine")
    ResultStore(folder).add(STEP, {"lost": 1})
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(secret)

    with pytest.raises(BadOption, match=f"is not read: {name}: a symbolic link"):
        ResultStore(folder)

    assert secret.read_text() == "mine"


def test_raw_data_are_read_from_the_folder_alone(tmp_path: Path) -> None:
    """A trial that names a file elsewhere has no raw data."""
    np.savez(tmp_path / "other.npz", udp_due=np.array([1.0]))
    store = ResultStore(tmp_path / "run")
    trial = store.add(STEP, {"lost": 1}, arrays={"udp_due": np.array([2.0])})

    assert store.arrays(replace(trial, raw="../../other.npz")) == {}


@pytest.mark.parametrize("place", ["arm", "mark", "value"])
def test_what_a_book_says_cannot_steer_the_screen_of_its_reader(tmp_path: Path, place: str) -> None:
    """Names and marks are printed by report and comparison; one that is not printable is refused."""
    odd = "\033[2Jgood"
    step = replace(STEP, arm=odd) if place == "arm" else STEP
    warnings = (odd,) if place == "mark" else ()
    ResultStore(tmp_path).add(step, {odd if place == "value" else "lost": 1}, warnings=warnings)

    with pytest.raises(BadOption, match="line 1: not a trial: a name or a mark has characters that are not printable"):
        ResultStore.read(tmp_path)
