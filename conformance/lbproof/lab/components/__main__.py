"""`python -m lbproof.lab.components [--all | NAME...]`: bring components into the cache.

When none is named, those that every netns lab runs. `--all` brings those of implementations and benchmarks too; what
kind takes has to be named.
"""

from __future__ import annotations

import signal
import sys

from lbproof.lab.components import LAB, ComponentError, catalogue, ensure


def main(names: list[str]) -> int:
    """Bring them: progress on stderr, paths on stdout. 69 when one cannot be had, 130 when interrupted."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was begun is removed
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
