"""Options of a run as data, for `lbproof run` and, with the prefix `--lb-`, for the pytest plugin.

Separate from the plugin, so that the command line can be built without pytest.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

FLAGS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("implementation", {"metavar": "NAME", "help": "adapter of the implementation to judge (default: reference)"}),
    ("provider", {"metavar": "NAME", "help": "lab provider: netns (default), kind"}),
    ("lab", {"metavar": "NAME", "help": "use this running lab instead of booting one"}),
    ("profile", {"metavar": "NAME", "help": "profile to judge: core, layer2, article, full (default)"}),
    ("requirement", {"metavar": "ID", "action": "append", "help": "judge only this ID, case or area; repeatable"}),
    ("skip", {"metavar": "ID", "action": "append", "help": "exclude this ID, case or area; repeatable"}),
    (
        "feature",
        {"metavar": "NAME", "action": "append", "help": "claim only this feature; repeatable"},
    ),
    (
        "budget",
        {"metavar": "NAME=SECONDS", "action": "append", "help": "set the budget of a named wait; repeatable"},
    ),
    (
        "labs",
        {"metavar": "N", "type": int, "help": "number of parallel labs (default: by CPU cores and memory)"},
    ),
    ("workers", {"metavar": "N", "type": int, "help": "worker nodes of the lab (default: 3)"}),
    ("proxy-mode", {"metavar": "MODE", "help": "kube-proxy: iptables (default), nftables, none"}),
    ("proxy-arg", {"metavar": "FLAG", "action": "append", "help": "another flag for kube-proxy; repeatable"}),
    ("topology", {"metavar": "FILE", "type": Path, "help": "topology file for kind, instead of the three above"}),
    ("node-image", {"metavar": "IMAGE", "help": "image of kind's nodes (default: the published, else the built one)"}),
    (
        "api-port",
        {"metavar": "PORT", "type": int, "help": "port of this machine that leads to the API (default: a free one)"},
    ),
    ("components", {"metavar": "DIR", "type": Path, "help": "folder with the Kubernetes programs"}),
    ("results", {"metavar": "DIR", "type": Path, "help": "folder for the runs (default: lbproof-results)"}),
    ("options", {"metavar": "FILE", "type": Path, "help": "options file (TOML); flags override it"}),
)
"""Option name → arguments for argparse; `--keep` is a switch and not included."""

_KEYS = {"requirement": "requirements", "feature": "features", "budget": "budgets", "proxy-arg": "proxy_args"}


def flag_of(key: str) -> str:
    """Return the flag for a key of an options file."""
    return next((f"--{name}" for name, _ in FLAGS if key_of(name) == key), f"--{key.replace('_', '-')}")


def key_of(flag: str) -> str:
    """Return the key of an options file for a flag."""
    return _KEYS.get(flag, flag.replace("-", "_"))
