"""What a start of the reference costs."""

from __future__ import annotations

import subprocess
import sys

LOADED = "print(*(name for name, module in sys.modules.items() if module and name.split('.')[0] in {'click', 'rich'}))"


def test_a_start_imports_no_console() -> None:
    """The packages are installed here; httpx and structlog would import them, which takes longer than all the rest."""
    program = f"import sys, lbproof_reference.__main__; {LOADED}"

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.split() == []
