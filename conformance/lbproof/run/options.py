"""Options of a run, from flags and from an options file, validated once, with one line for each error.

A flag overrides the file. An unknown key, name or value is an error, because a run that silently ignores an option
proves something other than its reader expects.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from lbproof.lab.base import LabError, Topology
from lbproof.lab.providers import DEFAULT
from lbproof.lab.registry import labs
from lbproof.run.flags import PROVIDER, flag_of, providers
from lbproof.spec import (
    DEFAULT_PROFILE,
    PROFILES,
    REQUIREMENTS,
    BadOption,
    UnknownName,
    check_budgets,
    check_features,
    check_name,
    lacking,
    select,
)
from lbproof.spec.features import IPV6
from lbproof.spec.requirements import case_of, families_of, is_of_family_not_claimed, needs_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from lbproof.lab.option import Option
    from lbproof.lab.provider import LabProvider
    from lbproof.spec.families import Family


class Options(BaseModel):
    """Options of a run, with the names of an options file (TOML).

    `read` creates a subclass that also has the options of the lab providers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    implementation: str = "reference"
    provider: str = DEFAULT
    lab: str = ""
    """Name of a running lab to use; when empty, a new lab is booted and later removed."""
    profile: str = DEFAULT_PROFILE
    requirements: tuple[str, ...] = ()
    """IDs, cases or areas; empty means the whole profile."""
    rerun: Path | None = None
    """Folder of an earlier run, whose cases that failed, broke or were not reached are judged."""
    skip: tuple[str, ...] = ()
    """IDs, cases or areas that the operator excludes: verdict `skipped`."""
    features: tuple[str, ...] = ()
    """Features to claim instead of those that the adapter claims."""
    budgets: dict[str, float] = Field(default_factory=dict)
    """Budget name → seconds."""
    seed: int | None = Field(default=None, ge=1)
    """What checks draw sizes and orders from; None chooses one, which the report names."""
    random_order: bool = False
    """Judge the cases in an order that is drawn from the seed."""
    second_look: bool = False
    """Judge cases that did not pass again at the end; what passes only then is `flaky`, and not clean."""
    labs: int | None = Field(default=None, ge=1, le=16)
    """Number of parallel labs; None chooses by cores and memory."""
    components: Path | None = None
    results: Path = Path("lbproof-results")
    sign: Path | None = None
    """SSH key to sign the files of the run with."""
    keep: bool = False
    """Leave the lab running at the end."""

    def checked(self, where: dict[str, str]) -> Options:
        """Validate every name and return the options unchanged.

        `where` maps each option to its source (`--profile`, `lbproof.toml`). Raises `UnknownName` or `BadOption`.
        """
        check_name("profile", self.profile, where.get("profile", "--profile"), PROFILES, "lbproof list --profiles")
        self._check_provider(where)
        check_features(self.features, where.get("features", "--feature"))
        check_budgets(self.budgets, where.get("budgets", "--budget"))
        for option in providers().options.values():
            self._check_lab_option(option, where.get(option.key, f"--{option.name}"))
        if self.sign and not self.sign.is_file():
            raise BadOption(f"sign = {self.sign} in {where.get('sign', '--sign')}: there is no such file")
        if self.labs and self.labs > 1:
            for name, why in self.one_lab().items():
                raise BadOption(f"labs = {self.labs} in {where.get('labs', '--labs')}, with {name}: {why}")
        if self.rerun and self.requirements:
            raise BadOption("rerun with requirements: both choose what is judged; leave one out")
        select(self.requirements, where.get("requirements", "--requirement"))
        select(self.skip, where.get("skip", "--skip"))
        return self

    def _check_provider(self, where: dict[str, str]) -> None:
        source, found = where.get(PROVIDER, f"--{PROVIDER}"), providers()
        if self.provider in found.broken:
            raise BadOption(f"provider {self.provider} in {source}: it {found.broken[self.provider]}")
        check_name(PROVIDER, self.provider, source, found.usable, "lbproof run --help")

    def _check_lab_option(self, option: Option, source: str) -> None:
        value, title = getattr(self, option.key), option.name.replace("-", " ")
        if self.lab and option.key in self.model_fields_set:
            raise BadOption(f"{title} in {source}: it is for a lab that is booted, and lab {self.lab} runs already")
        takers = providers().takers(option)
        if value and option.key in self.model_fields_set and self.provider not in takers:
            raise BadOption(f"{title} in {source}: it is for --provider {' or '.join(takers)}, not {self.provider}")
        for one in value if option.many else [value]:
            if option.choices and one not in option.choices:
                raise BadOption(f"{title} {one!r} in {source}: {', '.join(option.choices)} are allowed")

    @property
    def lab_provider(self) -> LabProvider:
        """Chosen provider."""
        return providers().usable[self.provider]

    def lab_options(self, **defaults: Any) -> dict[str, Any]:  # noqa: ANN401 - of the options' types
        """Return the values of the chosen provider's options by their keys.

        `defaults`: key → value that replaces the default of an option that was not given.
        """
        return {
            option.key: (option.key not in self.model_fields_set and defaults.get(option.key))
            or getattr(self, option.key)
            for option in self.lab_provider.options
        }

    def one_lab(self) -> dict[str, str]:
        """Return the options that allow one lab only, each with the reason."""
        options = {option.name: option.one_lab for option in self.lab_provider.options if getattr(self, option.key)}
        parallel = [name for name, provider in providers().usable.items() if provider.parallel]
        several = f"several labs stand side by side with --provider {' or '.join(parallel)}"
        found = {
            "lab": "a running lab is one lab" if self.lab else "",
            **options,
            PROVIDER: "" if self.lab_provider.parallel else several,
        }
        return {name: why for name, why in found.items() if why}

    def cases(self, claimed: frozenset[str], again: Sequence[str] = ()) -> tuple[list[str], dict[str, str]]:
        """Return the names of the verdicts to find, and of those not to find with the reason: not claimed, or excluded.

        The second value maps name → `unsupported: …` or `skipped: …`. `again`: those that `--rerun` selects. One for a
        family that is not claimed, or that the lab has not, is there only if it was asked for by its family. Raises
        `BadOption`.
        """
        profile = PROFILES[self.profile].features
        everything = [name for r in REQUIREMENTS.values() for name in r.names]
        chosen = select(self.requirements, "--requirement") if self.requirements else again
        wanted = chosen or everything
        skipped = set(select(self.skip, "--skip"))
        families = set(self._families() if IPV6 in claimed else Topology().families)
        run: list[str] = []
        not_run: dict[str, str] = {}
        for case in wanted:
            needs = needs_of(case)
            if not chosen and lacking(needs, profile):
                continue
            missing = lacking(needs, claimed)
            if (is_of_family_not_claimed(case, claimed) or not set(families_of(case)) <= families) and (
                not chosen or case_of(case) in chosen
            ):
                continue
            if missing:
                not_run[case] = f"unsupported: {', '.join(missing)} not claimed"
            elif case in skipped:
                not_run[case] = "skipped: excluded by --skip"
            else:
                run.append(case)
        return run, not_run

    def _families(self) -> Collection[Family]:
        """Return the address families of the lab. Raises `BadOption` when an option that says so cannot be read."""
        try:
            if not self.lab:
                return self.lab_provider.families(self.lab_options())
            running = [info for info in labs() if info.name == self.lab and info.alive]
        except LabError as error:
            raise BadOption(str(error)) from None
        return running[0].topology.families if running else Topology().families  # to attach is refused then


@cache
def options_model() -> type[Options]:
    """Create the class of options that includes those of the lab providers."""
    fields: dict[str, Any] = {option.key: _field(option) for option in providers().options.values()}
    return create_model("RunOptions", __base__=Options, **fields)


def _field(option: Option) -> tuple[Any, Any]:
    """Return an option's type and field for pydantic."""
    kind: Any = option.type
    if option.many:
        kind = tuple[option.type, ...]  # type: ignore[name-defined]
    elif option.type is Path:
        kind = Path | None
    return kind, Field(default=option.initial, ge=option.least, le=option.most)


def read(path: Path | None, flags: dict[str, Any]) -> Options:
    """Read options from a file and from the given flags; flags override the file.

    Raises `BadOption` or `UnknownName` with a one-line message.
    """
    model = options_model()
    where = {key: flag_of(key) for key in flags}
    values: dict[str, Any] = {}
    if path is not None:
        values = _file(path)
        where = {key: str(path) for key in values} | where
    try:
        return model.model_validate(values | flags).checked(where)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        source = where.get(str(first["loc"][0]), str(path or "the options"))
        if first["type"] == "extra_forbidden":
            raise UnknownName("option", key, source, model.model_fields, "lbproof run --help") from None
        message = f"option {key} = {first['input']!r} in {source}: {first['msg'].lower()}"
        raise BadOption(message) from None


def _file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadOption(f"options file {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadOption(f"options file {path} is not valid TOML: {error}") from None
