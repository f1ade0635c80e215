"""Options of both processes, the controller and the speaker."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path

from lbproof_reference.kube import ACCOUNT

PROFILES = {"default": (0.05, 3), "fast": (0.01, 3)}
"""Heartbeat interval (s), and number of missed heartbeats after which a speaker is dead."""

LONGEST_DEAD_INTERVAL = 65.535
"""Seconds that a heartbeat can name: 16 bits of milliseconds."""


def controller_options(argv: list[str]) -> argparse.Namespace:
    """Parse the controller's options; exit with a message if they are not valid."""
    return _parser("controller", "Assigns addresses of pools to Services.", port=8080).parse_args(argv)


def speaker_options(argv: list[str]) -> argparse.Namespace:
    """Parse the speaker's options, with `heartbeat` in seconds; exit with a message if they are not valid."""
    parser = _parser("speaker", "Answers ARP requests for assigned addresses.", port=7473)
    add = parser.add_argument
    add("--node", default=os.environ.get("NODE_NAME"), help="this node's name (default: $NODE_NAME)")
    profiles = "default: heartbeat every 50ms; fast: every 10ms, for an idle segment; 3 missed heartbeats mean dead"
    add("--profile", choices=PROFILES, default="default", help=profiles)
    add("--heartbeat", type=_milliseconds, help="heartbeat interval, such as 50ms (default: by profile)")
    add("--misses", type=int, help="missed heartbeats until a speaker is dead (default: by profile)")
    key = Path("/etc/lbproof/heartbeat/key")
    add("--secret-file", type=Path, default=key, help="file with the heartbeat key (default %(default)s)")
    options = parser.parse_args(argv)
    if not options.node:
        parser.error("--node is missing and $NODE_NAME is not set")
    heartbeat, misses = PROFILES[options.profile]
    options.heartbeat = options.heartbeat or heartbeat
    options.misses = misses if options.misses is None else options.misses
    most = int(LONGEST_DEAD_INTERVAL / options.heartbeat)
    if not 1 <= options.misses <= most:
        parser.error(f"--misses must be 1 to {most} with a heartbeat every {options.heartbeat * 1000:.0f}ms")
    return options


def _parser(role: str, description: str, *, port: int) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"lbproof_reference {role}", description=description)
    add = parser.add_argument
    add("--lb-class", help="serve only Services of this class (default: no class, or lbproof.dev/reference)")
    namespace = "namespace of pools, advertisements and the heartbeat's Secret (default %(default)s)"
    add("--namespace", default="metallb-system", help=namespace)
    add("--api", help="URL of the API server (default: in-cluster address)")
    add("--account", type=Path, default=ACCOUNT, help="folder with token and ca.crt (default %(default)s)")
    host = os.environ.get("POD_IP", "127.0.0.1")
    add("--host", default=host, help="address of /readyz (default: $POD_IP, or 127.0.0.1)")
    add("--port", type=int, default=port, help="port of /readyz (default %(default)s)")
    return parser


def _milliseconds(text: str) -> float:
    """Convert a text such as `50ms` to seconds. Raises ArgumentTypeError."""
    if not re.fullmatch(r"[1-9]\d{0,3}ms", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time from 1ms to 9999ms")
    return int(text.removesuffix("ms")) / 1000
