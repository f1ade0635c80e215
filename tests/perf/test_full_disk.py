"""A disk that fills up under a benchmark: one line, exit 69, and no file in part."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from typing import IO, TYPE_CHECKING

import numpy as np
import pytest

from lbproof.run import cli
from lbproof.spec import Exit
from lbproof_perf import benchmarks
from lbproof_perf.benchmarks.base import BenchContext, Size
from lbproof_perf.results import ResultStore, TrialId

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NO_SPACE = "No space left on device: free some space, or choose a folder on another disk"
TRIALS = 40


def measure(context: BenchContext, _plan: object) -> None:
    """Keep trials whose raw data and lines cannot be compressed away."""
    noise = np.random.default_rng(1)
    for number in range(1, TRIALS + 1):
        step = TrialId(bench="arp", arm="reference", case="rest", number=number)
        if not context.store.has(step):
            arrays = {"samples": noise.random(400)}
            context.store.add(step, {"api_requests_per_second": 0.0}, detail={"much": "x" * 3000}, arrays=arrays)


@pytest.fixture
def big(monkeypatch: pytest.MonkeyPatch) -> None:
    """A benchmark that keeps much, before another one."""
    known = benchmarks.known()
    big = replace(known["arp"], run=measure, plans=dict.fromkeys(Size, object()), options=())
    late = replace(known["scale"], run=lambda *_: None, plans=dict.fromkeys(Size, object()), options=())
    monkeypatch.setattr(benchmarks, "in_run_order", lambda: [big, late])
    monkeypatch.setattr(benchmarks, "known", lambda: known | {"arp": big, "scale": late})


def bench(*words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> tuple[int, list[str]]:
    """Call the command; return its exit code and the lines on its screen."""
    monkeypatch.setattr("sys.argv", ["lbproof", "bench", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    return int(ended.value.code or 0), (said.err + said.out).splitlines()


def whole(folder: Path) -> None:
    """Verify that a run's folder has no file in part, and what the trials name."""
    text = (folder / "trials.ndjson").read_bytes()
    rows = [json.loads(line) for line in text.splitlines()]
    assert text.endswith(b"\n")
    assert 0 < len(rows) < TRIALS
    assert not [path.name for path in folder.rglob(".*")]
    store = ResultStore.read(folder)
    for trial in store.trials:
        assert store.arrays(trial)["samples"].size == 400
    assert {path.name for path in (folder / "raw").iterdir()} == {trial.raw for trial in store.trials}
    assert json.loads((folder / "environment.json").read_text())["format"]


@pytest.mark.usefixtures("big")
def test_a_disk_that_fills_up_stops_the_run(
    small: Callable[[str], Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other benchmark is begun; the run can be continued when there is space."""
    place = small("size=160k")
    code, lines = bench("all", "--results", str(place), capsys=capsys, monkeypatch=monkeypatch)

    assert code == Exit.NO_ENVIRONMENT, lines
    told = [line for line in lines if "No space" in line]
    assert len(told) == 1, lines
    assert lines[-1] == told[0]
    assert NO_SPACE in told[0]
    assert "--resume" in told[0]
    assert not [line for line in lines if "Traceback" in line or "bug" in line or "scale: " in line]
    (folder,) = (path for path in place.iterdir() if not path.is_symlink())
    whole(folder)

    subprocess.run(["mount", "-o", "remount,size=8m", place], check=True)
    code, lines = bench("all", "--resume", str(folder), capsys=capsys, monkeypatch=monkeypatch)
    assert code == Exit.CONFORMANT, lines
    assert len(ResultStore.read(folder).trials) == TRIALS


@pytest.mark.usefixtures("big")
@pytest.mark.parametrize("options", ["nr_inodes=1", "nr_inodes=2", "nr_inodes=3", "nr_inodes=4", "nr_inodes=5"])
def test_a_disk_that_is_full_at_first_is_one_line(
    options: str, small: Callable[[str], Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever cannot be made: the folder of the run, the link to it, a folder in it, a file."""
    code, lines = bench("all", "--results", str(small(options) / "runs"), capsys=capsys, monkeypatch=monkeypatch)

    assert code == Exit.NO_ENVIRONMENT, lines
    assert re.fullmatch(rf"lbproof: /.*: {re.escape(NO_SPACE)}.*", lines[-1])
    assert len([line for line in lines if "No space" in line]) == 1


def fill(file: IO[bytes]) -> None:
    """Write to a file until that fails."""
    while file.write(b"x" * 1024):
        pass


@pytest.mark.usefixtures("big")
def test_a_report_that_cannot_be_written_keeps_the_one_that_is_there(
    small: Callable[[str], Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its thresholds too, which are given anew."""
    place = small("size=8m")
    limits = place / "limits.toml"
    limits.write_text("")
    assert bench("arp", "--results", str(place), capsys=capsys, monkeypatch=monkeypatch)[0] == Exit.CONFORMANT
    folder = (place / "bench-latest").resolve()
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with (place / "filler").open("wb", buffering=0) as filler, pytest.raises(OSError, match="No space left"):
        fill(filler)
    limits.write_text("")

    code, lines = bench("report", str(folder), "--thresholds", str(limits), capsys=capsys, monkeypatch=monkeypatch)

    assert code in {Exit.NO_ENVIRONMENT, Exit.USAGE}, lines
    assert len(lines) == 1
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_a_line_of_a_trial_is_written_whole_or_not_at_all(small: Callable[[str], Path]) -> None:
    """Also where a part of it would fit."""
    place = small("size=64k")
    store = ResultStore(place / "run")

    def add() -> None:
        for number in range(1, 100):
            step = TrialId(bench="b", arm="a", case="c", number=number)
            store.add(step, {"x_seconds": 1.0}, detail={"much": "x" * 5000})

    with pytest.raises(OSError, match="No space left") as failed:
        add()
    added = len(store.trials)
    assert failed.value.filename == str(place / "run" / "trials.ndjson")
    assert added > 0
    assert (place / "run" / "trials.ndjson").read_bytes().endswith(b"\n")
    assert len(ResultStore.read(place / "run").trials) == added
