"""Options of a run, from flags and from an options file, validated once, with one line for each error.

A flag overrides the file. An unknown key, name or value is an error, because a run that silently ignores an option
proves something other than its reader expects.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lbproof.run.flags import flag_of
from lbproof.spec import (
    PROFILES,
    REQUIREMENTS,
    BadOption,
    UnknownName,
    check_budgets,
    check_features,
    check_name,
    select,
)
from lbproof.spec.requirements import needs_of

PROVIDERS = ("netns", "kind")


class Options(BaseModel):
    """Options of a run, with the names of an options file (TOML)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    implementation: str = "reference"
    provider: str = "netns"
    lab: str = ""
    """Name of a running lab to use; when empty, a new lab is booted and later removed."""
    profile: str = "full"
    requirements: tuple[str, ...] = ()
    """IDs, cases or areas; empty means the whole profile."""
    skip: tuple[str, ...] = ()
    """IDs, cases or areas that the operator excludes: verdict `skipped`."""
    features: tuple[str, ...] = ()
    """Features to claim instead of those that the adapter claims."""
    budgets: dict[str, float] = Field(default_factory=dict)
    """Budget name → seconds."""
    labs: int = Field(default=0, ge=0, le=16)
    """Number of parallel labs; 0 chooses by cores and memory."""
    workers: int = Field(default=3, ge=1, le=50)
    proxy_mode: str = "iptables"
    proxy_args: tuple[str, ...] = ()
    topology: Path | None = None
    """A topology file for kind (`kind-configs/`), instead of `workers`, `proxy_mode` and `proxy_args`."""
    node_image: str = ""
    """Image of kind's nodes; when empty, the published image if available, otherwise the built one."""
    api_port: int = Field(default=0, ge=0, le=65535)
    components: Path | None = None
    results: Path = Path("lbproof-results")
    keep: bool = False
    """Leave the lab running at the end."""

    def checked(self, where: dict[str, str]) -> Options:
        """Validate every name and return the options unchanged.

        `where` maps each option to its source (`--profile`, `lbproof.toml`). Raises `UnknownName` or `BadOption`.
        """
        check_name("profile", self.profile, where.get("profile", "--profile"), PROFILES, "lbproof list --profiles")
        check_name("provider", self.provider, where.get("provider", "--provider"), PROVIDERS, "lbproof run --help")
        check_features(self.features, where.get("features", "--feature"))
        check_budgets(self.budgets, where.get("budgets", "--budget"))
        modes = ("iptables", "nftables", "none")
        if self.proxy_mode not in modes:
            source = where.get("proxy_mode", "--proxy-mode")
            raise BadOption(f"proxy mode {self.proxy_mode!r} in {source}: {', '.join(modes)} are allowed")
        for key in ("topology", "node_image"):
            if getattr(self, key) and self.provider != "kind":
                source = where.get(key, f"--{key.replace('_', '-')}")
                raise BadOption(f"{key.replace('_', ' ')} in {source}: it is for --provider kind, not {self.provider}")
        if self.labs > 1:
            alone = {
                "lab": self.lab and "a running lab is one lab",
                "api_port": self.api_port and "a port leads to one lab",
                "provider": self.provider != "netns" and "several labs stand side by side with --provider netns",
            }
            for key, why in alone.items():
                if why:
                    source = where.get("labs", "--labs")
                    raise BadOption(f"labs = {self.labs} in {source}, with {key.replace('_', '-')}: {why}")
        select(self.requirements, where.get("requirements", "--requirement"))
        select(self.skip, where.get("skip", "--skip"))
        return self

    def cases(self, claimed: frozenset[str]) -> tuple[list[str], dict[str, str]]:
        """Return the case IDs to run, and those not to run with the reason: feature not claimed, or excluded.

        The second value maps ID → `unsupported: …` or `skipped: …`.
        """
        profile = PROFILES[self.profile].features
        everything = [i for r in REQUIREMENTS.values() for i in r.case_ids]
        wanted = select(self.requirements, "--requirement") if self.requirements else everything
        skipped = set(select(self.skip, "--skip"))
        run: list[str] = []
        not_run: dict[str, str] = {}
        for case in wanted:
            needs = needs_of(case)
            if not self.requirements and not needs <= profile:
                continue
            missing = sorted(needs - claimed)
            if missing:
                not_run[case] = f"unsupported: {', '.join(missing)} not claimed"
            elif case in skipped:
                not_run[case] = "skipped: excluded by --skip"
            else:
                run.append(case)
        return run, not_run


def read(path: Path | None, flags: dict[str, Any]) -> Options:
    """Read options from a file and from the given flags; flags override the file.

    Raises `BadOption` or `UnknownName` with a one-line message.
    """
    where = {key: flag_of(key) for key in flags}
    values: dict[str, Any] = {}
    if path is not None:
        values = _file(path)
        where = {key: str(path) for key in values} | where
    try:
        return Options.model_validate(values | flags).checked(where)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        source = where.get(str(first["loc"][0]), str(path or "the options"))
        if first["type"] == "extra_forbidden":
            raise UnknownName("option", key, source, Options.model_fields, "lbproof run --help") from None
        message = f"option {key} = {first['input']!r} in {source}: {first['msg'].lower()}"
        raise BadOption(message) from None


def _file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadOption(f"options file {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadOption(f"options file {path} is not valid TOML: {error}") from None
