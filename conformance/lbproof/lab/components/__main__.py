"""`python -m lbproof.lab.components [--all | NAME...]`: bring components into the cache.

Without a name, those of a lab without images (`LAB`). `--all` brings those of implementations and benchmarks too.
"""

from __future__ import annotations

import signal
import sys

from lbproof.lab.components import LAB, ComponentError, catalogue, ensure


def main(names: list[str]) -> int:
    """Print progress on stderr and paths on stdout; return 69 when one is unavailable, 130 when interrupted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # removes incomplete components
    wanted = catalogue() if names == ["--all"] else names or LAB
    try:
        paths = ensure(wanted, progress=lambda line: print(line, file=sys.stderr, flush=True))  # noqa: T201 - a command
    except ComponentError as error:
        print(f"lbproof: {error}", file=sys.stderr)  # noqa: T201 - a command
        return 69
    except KeyboardInterrupt:
        print("lbproof: interrupted; what was complete is kept", file=sys.stderr)  # noqa: T201 - a command
        return 130
    for name, path in paths.items():
        print(f"{name:24} {path}")  # noqa: T201 - a command
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
