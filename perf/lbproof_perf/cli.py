"""The commands `lbproof bench …` and `lbproof compare`: thin, around what the package does."""
# ruff: noqa: PLC0415 - a benchmark is imported when it is run, so that --help answers at once

from __future__ import annotations

import shlex
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from lbproof.options import BadOption
from lbproof.spec import Exit, UnknownName
from lbproof_perf.benchmarks.base import Size
from lbproof_perf.results import ResultStore, new_folder
from lbproof_perf.runner import MODULES, Task, plan_of, run
from lbproof_perf.sut import arms as all_arms

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
PAIR = ("reference", "metallb")
OUTAGES = ("reference", "reference-fast", "metallb", "keepalived", "keepalived-50ms")
DEFAULTS = {"failover": OUTAGES, "hogs": ("reference", "reference-fast", "metallb", "keepalived-50ms")}
"""Arms of a benchmark when none is asked for; elsewhere `PAIR`."""


@click.group(context_settings=CONTEXT)
def bench() -> None:
    """Measure implementations side by side in one run. `lbproof.benchmarks` has the text that a user reads."""


def _common(command: Callable[..., Any]) -> Callable[..., Any]:
    where = click.Path(path_type=Path)
    for option in (
        click.option("--components", type=where, help="folder that holds Kubernetes' programs"),
        click.option("--resume", type=where, help="go on in this folder, that of a run that was stopped"),
        click.option(
            "--results",
            type=where,
            default=Path("lbproof-results"),
            show_default=True,
            help="where the run's folder is made",
        ),
        click.option(
            "--size",
            type=click.Choice([size.value for size in Size]),
            default="full",
            show_default=True,
            help="how much",
        ),
        click.option("--arm", "arms", multiple=True, metavar="NAME", help="repeatable; `lbproof bench arms` has them"),
    ):
        command = option(command)
    return command


def _go(
    benches: Sequence[str],
    *,
    arms: Sequence[str],
    size: str,
    results: Path,
    resume: Path | None,
    components: Path | None,
    change: dict[str, Any] | None = None,
) -> NoReturn:
    """Run benchmarks and end the command. `change`: fields of the plan that options set, of one benchmark."""
    tasks = []
    for name in benches:
        chosen = [all_arms.find(arm) for arm in arms or DEFAULTS.get(name, PAIR)]
        plan = plan_of(name, Size(size))
        tasks.append(Task(bench=name, arms=chosen, plan=replace(plan, **change) if change else plan))
    if resume and not (resume / "environment.json").is_file():
        raise BadOption(f"--resume {resume}: no benchmark's folder; one holds environment.json and trials.ndjson")
    folder = resume or new_folder(results)
    store = ResultStore(folder)
    if "command" not in store.environment:
        store.add_environment({"command": shlex.join(["lbproof", *sys.argv[1:]])})
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        code = run(store, tasks, components=components, say=_say)
    except KeyboardInterrupt:
        _say(f"interrupted; go on with --resume {folder}")
        sys.exit(int(Exit.INCONCLUSIVE))
    if store.trials:
        _show(store)
    if code is not Exit.CONFORMANT:
        _say(f"not everything was measured; go on with --resume {folder}")
    sys.exit(int(code))


@bench.command("all")
@_common
def all_(**common: Any) -> None:  # noqa: ANN401 - click's values
    """Everything, one after the other, and one report."""
    _go([*MODULES], **common)


@bench.command()
@_common
def probe(**common: Any) -> None:  # noqa: ANN401 - click's values
    """Does the ruler measure what it is said to? Outages of known length, two arms that are one, a frozen server."""
    _go(["ruler"], **common)


@bench.command()
@_common
@click.option("--cuts", type=click.IntRange(1, 10_000), help="power cuts of each arm, instead of the size's")
@click.option("--case", "cases", multiple=True, metavar="NAME", help="these cases alone, --cuts of each; repeatable")
def failover(cuts: int | None, cases: tuple[str, ...], **common: Any) -> None:  # noqa: ANN401 - click's values
    """How long is an outage? Faults of every kind at a random phase, the arms in turns."""
    from lbproof_perf.benchmarks import failover as it

    unknown = set(cases) - set(it.CASES)
    if unknown:
        raise UnknownName("case", min(unknown), "--case", it.CASES, "docs/figures.md")
    change: dict[str, Any] = {}
    if cuts or cases:
        chosen = cases or ("power-cut",)
        count = cuts or 1
        change = {
            "cuts": {},
            "others": count if "power-cut" in chosen else 0,
            "cases": {case: count for case in chosen if case != "power-cut"},
        }
    _go(["failover"], change=change, **common)


@bench.command()
@_common
def moves(**common: Any) -> None:  # noqa: ANN401 - click's values
    """What does a planned move cost? Orderly stops of the announcer."""
    _go(["moves"], **common)


@bench.command()
@_common
@click.option("--hogs", "count", type=click.IntRange(1, 1000), help="processes that compute, instead of the size's")
@click.option("--spans", type=click.IntRange(1, 10_000), help="spans that are watched, instead of the size's")
def hogs(count: int | None, spans: int | None, **common: Any) -> None:  # noqa: ANN401 - click's values
    """Does a busy machine make an address move? All arms under the same load."""
    given = {"hogs": count, "spans": spans}
    _go(["hogs"], change={name: value for name, value in given.items() if value}, **common)


@bench.command()
@_common
def allocate(**common: Any) -> None:  # noqa: ANN401 - click's values
    """How soon does a new Service work? Alone, at a rate, in bursts: address, first ARP answer, first 200."""
    _go(["allocate"], **common)


@bench.command()
@_common
def allocator(**common: Any) -> None:  # noqa: ANN401 - click's values
    """What does one address cost? The reference's allocator alone, in process."""
    _go(["allocator"], **common)


@bench.command()
@_common
def scale(**common: Any) -> None:  # noqa: ANN401 - click's values
    """How far does it scale? Services and nodes: CPU, memory and API requests, at rest and in churn."""
    _go(["scale"], **common)


@bench.command()
@_common
def arp(**common: Any) -> None:  # noqa: ANN401 - click's values
    """How fast is ARP answered? With few addresses and with many, and the kernel's own answer beside it."""
    _go(["arp"], **common)


@bench.command()
@_common
@click.option("--tier", "tiers", multiple=True, metavar="NAME", help="this tier alone; repeatable")
@click.option("--user", "users", multiple=True, metavar="NAME", help="this kind of Locust user alone; repeatable")
@click.option("--shape", type=click.Choice(["constant", "step", "spike", "soak"]), help="of the load")
@click.option("--seconds", type=click.IntRange(1, 86_400), help="of each measurement")
@click.option("--rate", type=click.FloatRange(1), help="requests a second of all users with a schedule together")
@click.option("--processes", type=click.IntRange(1, 64), help="Locust's workers")
@click.option("--web", is_flag=True, default=None, help="open Locust's web UI on this machine's loopback instead")
def load(tiers: tuple[str, ...], users: tuple[str, ...], **given: Any) -> None:  # noqa: ANN401 - click's values
    """How fast is each tier? Locust against pod, ClusterIP, NodePort and LoadBalancer; how honest each client is."""
    from lbproof_perf.benchmarks import load as it
    from lbproof_perf.load.paths import Tier

    for named, all_of_them, where in ((tiers, [*Tier], "--tier"), (users, [*it.USERS], "--user")):
        if unknown := set(named) - set(all_of_them):
            raise UnknownName(where.strip("-"), min(unknown), where, all_of_them, "lbproof bench load --help")
    own = {name: given.pop(name) for name in ("shape", "seconds", "rate", "processes", "web")}
    change = {name: value for name, value in own.items() if value is not None}
    if tiers:
        change["tiers"] = tuple(Tier(tier) for tier in tiers)
    if users:
        change["users"] = users
    if tiers or users:
        change |= {"tools": (), "freeze": False}
    _go(["load"], change=change, **given)


@bench.command("arms")
def arms_() -> None:
    """What can be measured: implementations as they come, and variants."""
    found = all_arms.known()
    width = max(len(arm.name) for arm in found)
    for arm in found:
        click.echo(f"{arm.name:{width}}  {arm.text}")


@bench.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
def report(folder: Path) -> None:
    """Make the report of a run again from its trials."""
    from lbproof_perf.report.write import write

    store = ResultStore.read(folder)
    write(store)
    _show(store)


def compare(one: Path, other: Path, arms: tuple[str, ...], thresholds: Path | None) -> NoReturn:
    """What `lbproof compare` does; ends the command."""
    from lbproof_perf.report import compare as it
    from lbproof_perf.report import thresholds as allowed

    if len(arms) not in {0, 2}:
        raise BadOption(f"--arm was given {len(arms)} times: name two arms, or none")
    pair = (arms[0], arms[1]) if arms else None
    found = it.compare(
        ResultStore.read(one), ResultStore.read(other), allowed.read(thresholds) if thresholds else (), arms=pair
    )
    for line in it.lines(found):
        click.echo(line)
    sys.exit(int(found.exit))


def _show(store: ResultStore) -> None:
    """What a run says at its end."""
    from lbproof_perf.report.terminal import lines

    for line in lines(store):
        click.echo(line)
    click.echo(f"report: {store.folder / 'report.html'}")


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _say(line: str) -> None:
    click.echo(line, err=True)
