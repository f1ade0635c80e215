"""`python -m lbproof_reference controller|speaker`: the image's entrypoint; the first argument names the role."""

from __future__ import annotations

import sys

from lbproof_reference.controller.__main__ import main as controller
from lbproof_reference.speaker.__main__ import main as speaker

ROLES = {"controller": controller, "speaker": speaker}


def main(argv: list[str]) -> int:
    """Run the role that the first argument names. Return 64 when it names none."""
    if not argv or argv[0] not in ROLES:
        print(f"usage: python -m lbproof_reference {'|'.join(ROLES)} [--help]", file=sys.stderr)  # noqa: T201 - usage
        return 64
    return ROLES[argv[0]](argv[1:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
