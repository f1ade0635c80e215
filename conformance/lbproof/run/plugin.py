"""pytest plugin: boots the lab, installs the implementation, assigns a verdict to each case, collects evidence.

It is inactive in a session that collects no check. Otherwise names are verified during collection, and the lab boots
after collection. Each case has its own `CheckContext`; evidence is collected before cleanup. At the end, in all cases,
the conclusion is written to the events and the report is created.

Verdicts: a violation that was observed (`lbproof.run.verdicts.is_violation`) is a fault of the implementation,
`CannotShow` is a limit of the lab, and any other exception is a fault of the suite or the lab: `error`, never
attributed to the implementation.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lbproof.run.flags import all_flags, key_of, providers
from lbproof.run.options import Options, read
from lbproof.run.schedule import Check, labs_that_pay
from lbproof.spec import REQUIREMENTS, BadOption, Exit, UnknownName, Verdict
from lbproof.spec.requirements import case_of

if TYPE_CHECKING:
    from collections.abc import Container, Generator, Iterator

    from lbproof.context import CheckContext, RunContext
    from lbproof.run.session import Session
    from lbproof.run.workers import Workers

OPTIONS = pytest.StashKey[Options]()
CASE = pytest.StashKey[str]()
SESSION: pytest.StashKey[Session] = pytest.StashKey()
DISTRIBUTED = pytest.StashKey[bool]()
"""Whether a worker of pytest-xdist collected checks."""
SHOWN = pytest.StashKey[bool]()
"""Whether pytest's terminal has printed the closing lines."""
_COLLECTED_CHECKS = "lbproof_collected_checks"
_DISTRIBUTED = "pytest cannot distribute the checks of a run, which share a lab; run it without -n, --dist and -d"
CHECK: pytest.StashKey[CheckContext] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add every option of a run as `--lb-…`."""
    group = parser.getgroup("lbproof", "prove a Kubernetes LoadBalancer (lbproof)")
    for name, spec in all_flags():
        group.addoption(f"--lb-{name}", dest=f"lb_{name.replace('-', '_')}", default=None, **spec)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker. Raises `pytest.UsageError` when pytest-xdist would run the checks of lbproof."""
    config.addinivalue_line(
        "markers", "requirement(id, letters): the requirement (and the cases of it) that a check proves"
    )
    option = config.option
    asked = getattr(option, "numprocesses", None) not in {None, 0, "0"} or getattr(option, "dist", "no") != "no"
    if asked and not option.collectonly and _asks_for_checks(config):
        raise pytest.UsageError(_DISTRIBUTED)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:  # noqa: ANN401 - pytest-xdist's WorkerController; xdist may be missing
    """Note in pytest-xdist's controller, which collects nothing, that a worker collected checks."""
    if getattr(node, "workeroutput", {}).get(_COLLECTED_CHECKS):
        node.config.stash[DISTRIBUTED] = True


def _asks_for_checks(config: pytest.Config) -> bool:
    """Return whether the command line names checks of lbproof, as a package or as a path."""
    home = _home()
    paths = ((config.invocation_params.dir / str(arg).partition("::")[0]).resolve() for arg in config.args)
    return any(str(arg).startswith("lbproof") for arg in config.args) or any(p.is_relative_to(home) for p in paths)


def _home() -> Path:
    """Return the folder of lbproof's own checks."""
    from lbproof import checks  # noqa: PLC0415 - a test's checks take its place

    return Path(str(checks.__file__)).parent


def options_of(config: pytest.Config) -> Options:
    """Read and validate the options of this session once. Raises `pytest.UsageError` with a one-line message."""
    if OPTIONS not in config.stash:
        flags: dict[str, Any] = {}
        for name, _ in all_flags():
            value = config.getoption(f"lb_{name.replace('-', '_')}")
            if value is None or name in {"options", "budget"}:
                continue
            flags[key_of(name)] = value
        try:
            if config.getoption("lb_budget"):
                flags["budgets"] = dict(_budget(text) for text in config.getoption("lb_budget"))
            config.stash[OPTIONS] = read(config.getoption("lb_options"), flags)
        except (UnknownName, BadOption) as error:
            raise pytest.UsageError(str(error)) from None
    return config.stash[OPTIONS]


def _budget(text: str) -> tuple[str, float]:
    name, equals, seconds = text.partition("=")
    try:
        return name, float(seconds)
    except ValueError:
        hint = f"write a number of seconds, not {seconds!r}" if equals else "write NAME=SECONDS"
        raise BadOption(f"budget {text!r} in --budget: {hint}; see lbproof list --budgets") from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a check of several cases once for each case, and for each family that a case is judged for.

    The node ID then contains the name of the verdict. Raises `pytest.UsageError` for a check without a context.
    """
    mark = metafunc.definition.get_closest_marker("requirement")
    if mark is None:
        return
    requirement, letters = mark.args
    cases = [f"{requirement}{letter}" for letter in letters] or [requirement]
    names = [name for name in REQUIREMENTS[requirement].names if case_of(name) in cases]
    rows = {name: (case_of(name).removeprefix(requirement), _further_family(name)) for name in names}
    several = len(names) > len(cases)
    if several and "family" not in metafunc.fixturenames:
        raise pytest.UsageError(f"{metafunc.definition.nodeid} is judged for each family: it takes the argument check")
    if "case" in metafunc.fixturenames and several:
        metafunc.parametrize(("case", "family"), list(rows.values()), ids=names)
    elif "case" in metafunc.fixturenames:
        metafunc.parametrize("case", [letter for letter, _ in rows.values()], ids=names)
    elif several:
        metafunc.parametrize("family", [family for _, family in rows.values()], ids=[pytest.HIDDEN_PARAM, *names[1:]])


def _further_family(name: str) -> str:
    """Return the family in the name of a verdict; empty for the first or only verdict of a case."""
    return name.removeprefix(case_of(name)).removeprefix("-")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let `-k` select a check by its case ID, even if the node ID does not contain it."""
    if (case := verdict_of(item)) is not None:
        item.extra_keyword_matches.add(case)


def verdict_of(item: pytest.Item) -> str | None:
    """Return the name of the verdict that an item gives; None for an item that is not a check."""
    mark = item.get_closest_marker("requirement")
    if mark is None or not isinstance(item, pytest.Function):
        return None
    requirement, letters = mark.args
    parameters: dict[str, Any] = item.callspec.params if hasattr(item, "callspec") else {}
    case, family = f"{requirement}{parameters.get('case', letters)}", parameters.get("family")
    return f"{case}-{family}" if family else case


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Select the checks of the chosen cases, in the order of the specification or a random one; keep all other tests.

    A module with a function `begin` has a background activity: the function is called once before the first check,
    and the checks of the module run last.
    """
    checks = {
        item: case for item in items if isinstance(item, pytest.Function) and (case := verdict_of(item)) is not None
    }
    if not checks:
        return
    if hasattr(config, "workerinput"):  # the controller reports the error
        config.workeroutput[_COLLECTED_CHECKS] = True  # type: ignore[attr-defined]
        items.clear()
        return
    _refuse_unclear(items, checks)
    from lbproof.run.session import Session  # noqa: PLC0415 - costs half a second that other sessions need not pay

    for item, case in checks.items():
        item.stash[CASE] = case
    session = Session(options_of(config), command=sys.argv)
    config.stash[SESSION] = session
    rank = {case: at for at, case in enumerate(session.order)}
    begins = {item: begin for item in checks if (begin := getattr(item.module, "begin", None)) is not None}
    kept = sorted((item for item in checks if checks[item] in rank), key=lambda i: (i in begins, rank[checks[i]]))
    dropped = [item for item in checks if checks[item] not in rank and session.may_judge(checks[item])]
    session.selected = [checks[item] for item in kept]
    session.begins = list(dict.fromkeys(begins[item] for item in kept if item in begins))
    others = [item for item in items if item not in checks]
    if not kept and not others:
        why = "; ".join(f"{c} is {w}" for c, w in list(session.not_run.items())[:3]) or "the options select no check"
        raise pytest.UsageError(f"nothing to judge: {why}")
    items[:] = [*others, *kept]
    scheduled = [_scheduled(item, len(others) + at, begins) for at, item in enumerate(kept)]
    _choose_labs(config, session, scheduled)
    if session.labs == 1 and session.options.random_order:
        items[len(others) :] = [items[one.index] for one in session.schedule(scheduled).in_one_lab()]
    if dropped:
        config.hook.pytest_deselected(items=dropped)


def _refuse_unclear(items: list[pytest.Item], checks: dict[pytest.Function, str]) -> None:
    """Refuse a test among lbproof's checks that proves nothing, and a case that two checks prove.

    Raises `pytest.UsageError`.
    """
    home = _home()
    for item in items:
        if item not in checks and item.path.is_relative_to(home):
            raise pytest.UsageError(f"{item.nodeid} is no check: mark it with @proves and its requirement")
    proven: dict[str, pytest.Function] = {}
    for item, case in checks.items():
        first = proven.setdefault(case, item)
        if first.function is not item.function:
            raise pytest.UsageError(f"{case} is proven by {first.nodeid} and by {item.nodeid}: a case has one check")


def _scheduled(item: pytest.Item, index: int, begins: Container[pytest.Item]) -> Check:
    (mark,) = item.iter_markers("requirement")
    package = item.getparent(pytest.Package)
    in_package = package is not None and package.path == item.path.parent
    together = item.nodeid.partition("[")[0] if mark.kwargs.get("together") else ""
    return Check(
        index=index,
        case=item.stash[CASE],
        group=str(item.path.parent) if in_package else together,
        disruptive=bool(mark.kwargs.get("disruptive")),
        begins=item in begins,
    )


def _choose_labs(config: pytest.Config, session: Session, checks: list[Check]) -> None:
    """Choose the number of labs: as requested, otherwise by number of checks and size of this machine."""
    options = session.options
    alone = options.one_lab() or options.keep or config.option.usepdb
    session.labs = options.labs or (1 if alone else labs_that_pay(len(checks), options.lab_provider.capacity()))
    if session.labs > 1:
        from lbproof.run.workers import ParallelLoop  # noqa: PLC0415 - as above

        config.pluginmanager.register(ParallelLoop(session, checks))


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    """Boot the labs and install the implementation before the first check."""
    run = session.config.stash.get(SESSION, None)
    if run is None or session.config.option.collectonly:
        result = yield
        if DISTRIBUTED in session.config.stash:
            raise pytest.UsageError(_DISTRIBUTED)
        return result
    run.open(lambda: _fork_workers(run, session))
    try:
        result = yield
        indices = {item.stash[CASE]: index for index, item in enumerate(session.items) if CASE in item.stash}
        run.look_again(indices, lambda index: _judge(session.items[index]))
    except BaseException as error:
        run.stopped_by = error
        raise
    return result


def _judge(item: pytest.Item) -> object:
    """Execute the check of an item once more."""
    return item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)


def _fork_workers(run: Session, session: pytest.Session) -> Workers:
    from lbproof.run.workers import Workers  # noqa: PLC0415 - as above

    return Workers(run, session)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, object, object]:
    """Conclude and take down in all cases, after pytest has torn down the fixtures that use the lab."""
    try:
        return (yield)
    finally:
        run = session.config.stash.get(SESSION, None)
        if run is not None and not session.config.option.collectonly:
            run.close()
            broken = run.exit is Exit.NOT_CONFORMANT and any(v is Verdict.FAILED for _, v in run.verdicts.standing)
            if session.exitstatus == pytest.ExitCode.OK and broken:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Begin a check: label its events with its case."""
    run, case = item.config.stash.get(SESSION, None), item.stash.get(CASE, None)
    if run is None or case is None:
        return (yield)
    run.verdicts.begin(case, item.nodeid)
    if run.lab.standing:
        run.lab.standing.begin(case)
    try:
        result = yield
    except BaseException:
        run.verdicts.cut_short(case, item.nodeid)
        raise
    if run.lab.standing:
        run.lab.standing.judge()
    run.verdicts.finish(case, item.nodeid)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Assign the verdict of the case; collect evidence before cleanup if the call did not pass."""
    report = yield
    run, case = item.config.stash.get(SESSION, None), item.stash.get(CASE, None)
    if run is not None and case is not None and call.when == "call":
        run.verdicts.called()
    if run is not None and case is not None and call.excinfo is not None:
        outcome = run.verdicts.judge(case, call.excinfo.value, report, item.stash.get(CHECK, None), item.path.parent)
        report.outcome = outcome
        if outcome == "skipped":
            report.longrepr = (str(item.path), item.location[1] or 0, str(call.excinfo.value))
    return report


@pytest.fixture(scope="session")
def run(request: pytest.FixtureRequest) -> RunContext:
    """Context shared by all checks of the run, for package-scoped fixtures."""
    return request.config.stash[SESSION].context


@pytest.fixture
def family() -> str:
    """Further family that a check is judged for; empty for the first or only one (`pytest_generate_tests`)."""
    return ""


@pytest.fixture
def check(request: pytest.FixtureRequest, family: str) -> Iterator[CheckContext]:  # noqa: ARG001 - has it judged for each
    """Context of one check; its changes are undone at the end, after evidence was collected."""
    session = request.config.stash[SESSION]
    made = session.check(request.node.stash[CASE])
    request.node.stash[CHECK] = made
    yield made
    made.close(rest=session.stopped_by is None)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Return the header above the list of tests: what is judged."""
    if not any(str(arg).startswith("lbproof") for arg in config.args):
        return []
    options = options_of(config)
    head = f"lbproof: {options.implementation}, profile {options.profile}, lab {options.lab or options.provider}"
    return [head, *(f"lbproof: {line}" for line in providers().warnings())]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the verdict and the path of the report below pytest's summary."""
    run = config.stash.get(SESSION, None)
    if run is not None and run.summary:
        config.stash[SHOWN] = True
        terminalreporter.section("lbproof")
        for line in run.summary:
            terminalreporter.write_line(line)


def summary_of(config: pytest.Config) -> list[str]:
    """Return the closing lines of the run; none when there was no run, or pytest has printed them."""
    run = config.stash.get(SESSION, None)
    return run.summary if run is not None and SHOWN not in config.stash else []


def exit_code(config: pytest.Config, pytests: int) -> int:
    """Return the command's exit code, from the conclusion of the run and from pytest's exit code.

    There is no run with options such as `--collect-only` or `--help`.
    """
    run = config.stash.get(SESSION, None)
    if run is not None and run.exit is not None:
        return int(run.exit)
    without_run = {
        pytest.ExitCode.OK: Exit.CONFORMANT,
        pytest.ExitCode.INTERRUPTED: Exit.INCONCLUSIVE,
        pytest.ExitCode.USAGE_ERROR: Exit.USAGE,
        pytest.ExitCode.NO_TESTS_COLLECTED: Exit.USAGE,
    }
    return int(without_run.get(pytest.ExitCode(pytests), Exit.BUG))
