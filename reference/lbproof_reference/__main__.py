"""`python -m lbproof_reference controller|speaker`: the image's entrypoint; the first argument names the role."""

from __future__ import annotations

import asyncio
import sys

from lbproof_reference import no_console  # noqa: F401 - before any other
from lbproof_reference.controller.main import serve as controller
from lbproof_reference.logs import set_up
from lbproof_reference.options import controller_options, speaker_options
from lbproof_reference.speaker.main import serve as speaker

ROLES = {"controller": (controller_options, controller), "speaker": (speaker_options, speaker)}


def main(argv: list[str]) -> int:
    """Run the role that the first argument names. Return 64 when it names none."""
    if not argv or argv[0] not in ROLES:
        print(f"usage: python -m lbproof_reference {'|'.join(ROLES)} [--help]", file=sys.stderr)  # noqa: T201 - usage
        return 64
    read_options, serve = ROLES[argv[0]]
    options = read_options(argv[1:])
    set_up()
    asyncio.run(serve(options))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
