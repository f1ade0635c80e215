"""Options of a run as data, for `lbproof run` and, with the prefix `--lb-`, for the pytest plugin.

Separate from the plugin, so that the command line can be built without pytest. The options of the lab providers are
loaded when a command needs them, so that `lbproof list` does not wait for the providers.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lbproof.spec import DEFAULT_PROFILE, PROFILES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lbproof.lab.option import Option
    from lbproof.lab.providers import Installed

PROVIDER, LABS = "provider", "labs"


def _names(names: Iterable[str], default: str) -> str:
    """Return names for a help text; the default is marked."""
    return ", ".join(f"{name} (default)" if name == default else name for name in names)


FLAGS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("implementation", {"metavar": "NAME", "help": "adapter of the implementation to judge (default: reference)"}),
    (PROVIDER, {}),
    ("lab", {"metavar": "NAME", "help": "use this running lab instead of booting one"}),
    ("profile", {"metavar": "NAME", "help": f"profile to judge: {_names(PROFILES, DEFAULT_PROFILE)}"}),
    (
        "requirement",
        {
            "metavar": "ID",
            "action": "append",
            "help": "judge only this ID, case or area of lbproof list, or one family of it (L2-01-IPv6); repeatable",
        },
    ),
    (
        "rerun",
        {
            "metavar": "RUN",
            "type": Path,
            "help": "judge again what failed, broke, is flaky or was not reached in this run's folder",
        },
    ),
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
        LABS,
        {"metavar": "N", "type": int, "help": "number of parallel labs (default: by CPU cores and memory)"},
    ),
    (
        "seed",
        {"metavar": "N", "type": int, "help": "draw sizes and orders in checks from this number (default: a new one)"},
    ),
    ("random-order", {"action": "store_true", "help": "judge the cases in an order that is drawn from the seed"}),
    (
        "second-look",
        {"action": "store_true", "help": "judge what did not pass again at the end; what passes only then is flaky"},
    ),
    ("components", {"metavar": "DIR", "type": Path, "help": "folder with the Kubernetes programs"}),
    ("results", {"metavar": "DIR", "type": Path, "help": "folder for the runs (default: lbproof-results)"}),
    ("sign", {"metavar": "KEY", "type": Path, "help": "sign the report with this SSH key, as lbproof report sign"}),
    ("options", {"metavar": "FILE", "type": Path, "help": "options file (TOML); flags override it"}),
    ("keep", {"action": "store_true", "help": "leave the lab running"}),
)
"""Option name → arguments for argparse. `all_flags` completes `--provider`."""

_KEYS = {"requirement": "requirements", "feature": "features", "budget": "budgets"}


@cache
def providers() -> Installed:
    """Load the installed lab providers; none of their options can have the name of an option of a run."""
    from lbproof.lab.providers import installed  # noqa: PLC0415 - see above

    words = {word for name, _ in FLAGS for word in (name, key_of(name))}
    return installed(frozenset({*words, "help", "name"}))


def all_flags() -> tuple[tuple[str, dict[str, Any]], ...]:
    """Return `FLAGS` and the options of the lab providers, in the same form."""
    provider, *options = lab_flags()
    made: list[tuple[str, dict[str, Any]]] = []
    for name, spec in FLAGS:
        made.append(provider if name == PROVIDER else (name, spec))
        made += options if name == LABS else []
    return tuple(made)


def doctor_flags() -> tuple[tuple[str, dict[str, Any]], ...]:
    """Return `--provider` and the options of the lab providers that `lbproof doctor` takes."""
    options = [option for option in providers().options.values() if option.doctor]
    return (_provider_flag(), *((option.name, _spec(option)) for option in options))


def lab_flags() -> tuple[tuple[str, dict[str, Any]], ...]:
    """Return `--provider` and all options of the lab providers."""
    return (_provider_flag(), *((option.name, _spec(option)) for option in providers().options.values()))


def _provider_flag() -> tuple[str, dict[str, Any]]:
    names = _names(providers().usable, providers().default)
    return PROVIDER, {"metavar": "NAME", "help": f"lab provider: {names}"}


def _spec(option: Option) -> dict[str, Any]:
    """Return an option's arguments for argparse; the help names the providers that take it unless all do."""
    takers = providers().takers(option)
    only = "" if len(takers) == len(providers().usable) else f"{', '.join(takers)}: "
    spec: dict[str, Any] = {"help": only + option.help_with_default}
    if option.type is bool:
        return spec | {"action": "store_true"}
    spec |= {"metavar": option.metavar, "type": option.type}
    return spec | {"action": "append"} if option.many else spec


def flag_of(key: str) -> str:
    """Return the flag for a key of an options file."""
    return next((f"--{name}" for name, _ in all_flags() if key_of(name) == key), f"--{key.replace('_', '-')}")


def key_of(flag: str) -> str:
    """Return the key of an options file for a flag."""
    if flag in _KEYS or any(flag == name for name, _ in FLAGS):
        return _KEYS.get(flag, flag.replace("-", "_"))
    option = providers().options.get(flag)
    return option.key if option else flag.replace("-", "_")
