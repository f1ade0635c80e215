"""Pages made from the code: requirements, mutants, specification, commands, options and environment variables."""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from docs.site.requirement_pages import mutants, requirement_pages
from docs.site.tables import table

from lbproof.environment import VARIABLES
from lbproof.run.flags import all_flags, key_of
from lbproof.run.options import options_model
from lbproof.spec import ALIASES, BUDGETS, FEATURES, PROFILES, SPEC_VERSION
from lbproof_perf.load.options import LOAD_OPTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping


def pages() -> dict[str, str]:
    """Every generated page: path in the site → its Markdown."""
    return {
        **requirement_pages(),
        "docs/reference/mutants.md": mutants(),
        "docs/reference/specification.md": specification(),
        "docs/reference/commands.md": commands(),
        "docs/reference/options.md": options(),
        "docs/reference/environment.md": environment(),
    }


def specification() -> str:
    """Features, profiles and budgets."""
    features = table(("feature", "what it means"), [(f"`{one.name}`", one.text) for one in FEATURES.values()])
    aliases = table(
        ("name", "stands for"), [(f"`{name}`", _names(frozenset(features))) for name, features in ALIASES.items()]
    )
    profiles = table(
        ("profile", "what it is", "requires", "judges besides, where claimed"),
        [
            (f"`{one.name}`", one.text, _names(one.requires), _names(one.features - one.requires))
            for one in PROFILES.values()
        ],
    )
    budgets = table(
        ("budget", "from → to", "default", "ceiling", "exceeded"),
        [
            (f"`{one.name}`", one.text, f"{one.default:g} s", f"{one.ceiling:g} s", one.when_exceeded)
            for one in BUDGETS.values()
        ],
    )
    return f"""# Specification {SPEC_VERSION}

The [requirements](requirements/index.md) have a page each. `lbproof list` shows the same without a browser.

## Features

What an implementation says that it supports. What is claimed must pass; what is not is `unsupported`.

{features}

These names stand for several: claiming one claims all of them, and a requirement that needs it needs any one of them.

{aliases}

## Profiles

{profiles}

## Budgets

Named waits. An adapter or the operator (`--budget`) may take another than the default, up to the ceiling. Where
something else than the implementation may be late, a wait that is exceeded is an `error`. What is watched for is
watched at least as long as the slowest wait for the opposite so far in the same lab.

{budgets}
"""


def _names(features: frozenset[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(features)) or "none"


def commands() -> str:
    """The command line, by sphinx-click from the command itself."""
    (point,) = entry_points(group="console_scripts", name="lbproof")
    return f"""# Commands

```{{eval-rst}}
.. click:: {point.module}:cli
   :prog: lbproof
   :nested: full
```
"""


def options() -> str:
    """Options of a run: flags and keys of an options file."""
    flags: Mapping[str, str] = {key_of(name): str(spec["help"]) for name, spec in all_flags()}
    names = {key_of(name): name for name, _ in all_flags()}
    rows = [
        (
            f"`{key}`",
            f"`--{names.get(key, key)}`",
            f"`{json.dumps(field.get_default(call_default_factory=True), default=str)}`",
            flags.get(key, "leave the lab running"),
        )
        for key, field in options_model().model_fields.items()
    ]
    return f"""# Options of a run

`lbproof run --options lbproof.toml` reads an options file (TOML); a flag wins over it. Under plain pytest each flag
has the prefix `--lb-`, as in `--lb-profile`. An unknown key, name or value is an error.

```toml
implementation = "metallb"
profile = "layer2"
skip = ["FAIL-05"]
budgets = {{ failover = 20 }}
```

{table(("key", "flag", "default", "meaning"), rows)}
"""


def environment() -> str:
    """Environment variables of lbproof and of its locustfile."""
    ours = [(f"`{one.name}`", one.text, one.default) for one in VARIABLES.values()]
    load = [
        (f"`{one.variable}`", f"`--{one.name}`", one.text, f"`{one.default}`" if one.default != "" else "none")
        for one in LOAD_OPTIONS
    ]
    return f"""# Environment variables

{table(("variable", "meaning", "when not set"), ours)}

Besides, `DOCKER_HOST` names the Docker engine for kind, and `GOCACHE` and `TMPDIR` the folders that a build from Go
modules uses.

## Of the locustfile

`perf/lbproof_perf/load/users.py`, on a machine or [in a cluster](../../perf/manifests/README.md), takes these or its
options:

{table(("variable", "option", "meaning", "when not set"), load)}
"""
