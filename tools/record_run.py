"""`python tools/record_run.py [--into FILE] RUN…`: record runs for `lbproof list --coverage` and the pages.

A run is a folder that `lbproof report verify` finds valid. Each verdict replaces the one that an earlier run of the
same implementation gave in a lab of the same provider; a flaky one is not recorded, nor one of a mutant.
"""

from __future__ import annotations

import argparse
import csv
import sys
from dataclasses import asdict, fields
from pathlib import Path

from lbproof.report import model, verify
from lbproof.run.coverage import SEEN, Seen, seen
from lbproof.spec import Exit, Verdict

RECORDED = {Verdict.PASSED, Verdict.FAILED, Verdict.UNTESTABLE, Verdict.UNSUPPORTED}


def verdicts(run: model.Run) -> list[Seen]:
    """Return what is recorded of a run."""
    return [
        Seen(
            implementation=run.started["implementation"],
            version=run.started["version"],
            lab=run.environment.get("lab", ""),
            name=case.id,
            verdict=case.verdict.value,
            day=run.at[:10],
        )
        for case in run.cases
        if case.verdict in RECORDED and not case.flaky
    ]


def main(folders: list[Path], path: Path) -> int:
    """Record runs; 1 and the reasons when one of them is not valid, and then none is."""
    rows = {(row.implementation, row.lab, row.name): row for row in seen(path)}
    refused: list[str] = []
    for folder in folders:
        run = model.read(folder)
        why = verify.verify(folder)
        if run.started["implementation"].startswith("mutant-"):
            why = ["it judged a mutant"]
        refused += [f"{folder}: not recorded: {line}" for line in why]
        rows |= {(row.implementation, row.lab, row.name): row for row in verdicts(run)}
    for line in refused:
        print(line, file=sys.stderr)  # noqa: T201 - the output
    if refused:
        return Exit.NOT_CONFORMANT
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Seen)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(asdict(rows[key]) for key in sorted(rows))
    return Exit.CONFORMANT


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="record the verdicts of runs")
    parser.add_argument("run", type=Path, nargs="+", help="folder of a run")
    parser.add_argument("--into", type=Path, default=SEEN, help="file of the records")
    asked = parser.parse_args()
    sys.exit(main(asked.run, asked.into))
