"""`python tools/verify_types.py`: pyright --verifytypes on the modules that vendors write against.

Ends with 1 and a line each when a type there is unknown, or would be inferred differently by another type checker.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

MODULES = (
    "lbproof.adapters.base",
    "lbproof.lab.base",
    "lbproof.lab.common.options",
    "lbproof.lab.common.processes",
    "lbproof.lab.common.vantage",
    "lbproof.lab.doctor",
    "lbproof.lab.option",
    "lbproof.lab.provider",
    "lbproof.lab.registry",
    "lbproof.witnesses.vantage",
)


def main() -> int:
    """Verify them; 0 when every type is known, 1 when not, 70 when pyright could not look at them."""
    folder = Path(sys.executable).parent
    done = subprocess.run(
        [folder / "pyright", "--verifytypes", "lbproof", "--ignoreexternal", "--outputjson"],
        env={**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    said = json.loads(done.stdout) if done.stdout.startswith("{") else {}
    symbols = said.get("typeCompleteness", {}).get("symbols", [])
    ours = [symbol for symbol in symbols if symbol["name"].startswith(tuple(f"{module}." for module in MODULES))]
    if not ours:
        print(f"pyright found nothing to verify: {done.stderr or said.get('generalDiagnostics')}", file=sys.stderr)  # noqa: T201 - a command
        return 70
    unknown = [symbol for symbol in ours if not symbol["isTypeKnown"] or symbol["isTypeAmbiguous"]]
    for symbol in unknown:
        print(f"{symbol['name']}: {' '.join(one['message'] for one in symbol['diagnostics'])}")  # noqa: T201 - a command
    return int(bool(unknown))


if __name__ == "__main__":
    sys.exit(main())
