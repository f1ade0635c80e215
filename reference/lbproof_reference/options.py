"""Options of both processes, the controller and the speaker."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from lbproof_reference.kube import ACCOUNT

PROFILES = {"default": (0.05, 3), "fast": (0.01, 3)}
"""Heartbeat interval (s), and number of missed heartbeats after which a speaker is dead."""


def controller_options(argv: list[str]) -> argparse.Namespace:
    """Parse the controller's options; exit with a message if they are not valid."""
    parser = _parser("controller", "Assigns addresses of pools to Services.", port=8080)
    pod = "name of the own Pod (default: $POD_NAME); without one no leader is elected, and only one copy may run"
    parser.add_argument("--pod", default=os.environ.get("POD_NAME"), help=pod)
    parser.add_argument("--pod-uid", default=os.environ.get("POD_UID"), help="its UID (default: $POD_UID)")
    options = parser.parse_args(argv)
    if bool(options.pod) != bool(options.pod_uid):
        parser.error("--pod and --pod-uid ($POD_NAME and $POD_UID) need each other")
    return options


def speaker_options(argv: list[str]) -> argparse.Namespace:
    """Parse the speaker's options, with `heartbeat` in seconds; exit with a message if they are not valid."""
    parser = _parser("speaker", "Answers ARP requests and neighbour solicitations for assigned addresses.", port=7473)
    add = parser.add_argument
    add("--node", default=os.environ.get("NODE_NAME"), help="this node's name (default: $NODE_NAME)")
    profiles = "default: heartbeat every 50ms; fast: every 10ms, for an idle segment; 3 missed heartbeats mean dead"
    add("--profile", choices=PROFILES, default="default", help=profiles)
    interfaces = "use interfaces of this name or pattern alone, such as 'eth*' (may be repeated; default: all)"
    add("--interface", action="append", metavar="PATTERN", help=interfaces)
    key = Path("/etc/lbproof/heartbeat/key")
    add("--secret-file", type=Path, default=key, help="file with the heartbeat key (default %(default)s)")
    options = parser.parse_args(argv)
    if not options.node:
        parser.error("--node is missing and $NODE_NAME is not set")
    options.heartbeat, options.misses = PROFILES[options.profile]
    options.interface = options.interface or ["*"]
    return options


def _parser(role: str, description: str, *, port: int) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"lbproof_reference {role}", description=description)
    add = parser.add_argument
    add("--lb-class", help="serve only Services of this class (default: no class, or lbproof.dev/reference)")
    namespace = "namespace of pools, advertisements and the heartbeat's Secret (default %(default)s)"
    add("--namespace", default="metallb-system", help=namespace)
    excluded = (
        "let nodes announce that node.kubernetes.io/exclude-from-external-load-balancers excludes (in both roles)"
    )
    add("--ignore-exclude-lb", action="store_true", help=excluded)
    add("--api", help="URL of the API server (default: in-cluster address)")
    add("--account", type=Path, default=ACCOUNT, help="folder with token and ca.crt (default %(default)s)")
    host = os.environ.get("POD_IP", "127.0.0.1")
    add("--host", default=host, help="address of /readyz (default: $POD_IP, or 127.0.0.1)")
    add("--port", type=int, default=port, help="port of /readyz (default %(default)s)")
    return parser
