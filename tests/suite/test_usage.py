"""Habits of a new user: IDs without an option, options of pytest, empty values, an earlier run, a lab that stays."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import click
import pytest
from click.testing import CliRunner
from tests.suite.sources import FAILS, HEAD, PASSES

from lbproof.environment import VARIABLES
from lbproof.lab import registry
from lbproof.lab.base import LabError, Topology
from lbproof.lab.common.vantage import Places
from lbproof.run.cli import cli
from lbproof.run.flags import all_flags, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.suite.conftest import Run

THREE = FAILS + '@proves("RECL-03")\ndef test_breaks(check): {}["x"]\n'


def test_an_id_without_an_option_is_judged(run: Callable[..., Run]) -> None:
    """`lbproof run L2-01` judges what `lbproof list L2-01` shows."""
    done = run(FAILS, "L2-01")

    assert (done.exit, done.verdicts()) == (1, {"L2-01": "failed"}), done.screen


@pytest.mark.parametrize("words", [["-k", "POOL"], ["-x"], ["--maxfail=1"], ["--collect-only"]], ids=" ".join)
def test_an_option_of_pytest_is_shown_its_place(run: Callable[..., Run], words: list[str]) -> None:
    """One line, which can be typed."""
    done = run(PASSES, *words)
    name = words[0].partition("=")[0]

    assert done.exit == 64
    assert f"options of pytest follow --, as in lbproof run -- {name}" in done.screen
    assert len(done.screen.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("--lf", "use --rerun RUN"),
        ("--last-failed", "use --rerun RUN"),
        ("--ff", "use --rerun RUN"),
        ("--nf", "use --rerun RUN"),
        ("--sw", "use --rerun RUN"),
        ("--stepwise-skip", "use --rerun RUN"),
        ("--cache-show", "pytest keeps no cache of a run"),
        ("--cache-clear", "pytest keeps no cache of a run"),
    ],
)
def test_what_needs_a_cache_of_pytest_is_refused(run: Callable[..., Run], word: str, says: str) -> None:
    """An option that would be ignored is no option."""
    done = run(PASSES, "--", word)

    assert done.exit == 64
    assert f"{word} after --: " in done.screen
    assert says in done.screen
    assert not done.directory.exists()


@pytest.mark.parametrize("word", ["-v", "-q", "-rA"])
def test_the_closing_lines_are_printed_once(run: Callable[..., Run], word: str) -> None:
    """Whether pytest's terminal prints them or the command."""
    done = run(FAILS, "--", word)

    assert done.screen.count("NOT CONFORMANT") == 1, done.screen


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--", "--bogus"], "after --: unrecognized arguments: --bogus"),
        (["--", "--maxfail=x"], "after --: argument --maxfail: invalid int value: 'x'"),
        (["--", "--tb=weird"], "after --: argument --tb: invalid choice: 'weird' (choose from "),
        (["--", "-p", "no_such"], "after --: Error importing plugin \"no_such\": No module named 'no_such'"),
        (["--", "-W", "a:b:c"], "after --: while parsing the following warning configuration: a:b:c This error "),
        (["--", "--junitxml=."], "after --: --junitxml must be a filename, given: ."),
        (["--", "-k", "and and"], "Wrong expression passed to '-k': and and: "),
        (["--", "no-such-file"], "file or directory not found: no-such-file"),
        (["NOPE"], "unknown requirement 'NOPE' in --requirement; did you mean 'PERF'? All of them: lbproof list"),
        (["--budget", "nope=1"], "unknown budget 'nope' in --budget. All of them: lbproof list --budgets"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_word_is_one_line_of_the_command(run: Callable[..., Run], words: list[str], says: str) -> None:
    """Whoever finds it: pytest's parser, its collection, or the plugin. Nothing is booted."""
    done = run(PASSES, *words)
    last = done.screen.strip().splitlines()[-1]

    assert done.exit == 64, done.screen
    assert last.startswith(f"lbproof: {says}")
    assert "ERROR" not in done.screen
    assert "usage:" not in done.screen
    assert not done.directory.exists()
    if not {"-k", "no-such-file"} & {*words}:  # pytest begins to collect then, and says so
        assert done.screen.strip() == last


def test_what_failed_or_broke_is_judged_again(run: Callable[..., Run]) -> None:
    """And nothing else; what has been mended since passes."""
    first = run(THREE)
    assert first.verdicts() == {"POOL-01": "passed", "L2-01": "failed", "RECL-03": "error"}

    again = run(THREE.replace("assert 1 == 2", "assert 1 == 1"), "--rerun", str(first.directory))

    assert again.verdicts() == {"L2-01": "passed", "RECL-03": "error"}, again.screen
    assert again.report["conclusion"] == "inconclusive"


def test_what_was_not_reached_is_judged_again(run: Callable[..., Run]) -> None:
    """A run that ended at its first failure is continued."""
    order = HEAD + '@proves("POOL-01")\ndef test_a(check): assert False\n@proves("L2-01")\ndef test_b(check): pass\n'
    run(order, "--", "-x")
    again = run(order.replace("False", "True"), "--rerun", "runs/latest", home=True)

    assert again.verdicts() == {"POOL-01": "passed", "L2-01": "passed"}, again.screen


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["--rerun", "runs/latest"],
            "--rerun runs/latest: no case failed, broke, was flaky or was not reached in that run",
        ),
        (["--rerun", "nowhere"], "nowhere: No such file or directory"),
        (["--rerun", "runs/latest", "POOL-01"], "rerun with requirements: both choose what is judged"),
        (
            ["--rerun", "runs/latest", "--implementation", "metallb"],
            "--rerun runs/latest: that run judged reference, not metallb; choose it with --implementation",
        ),
    ],
    ids=["passed", "no-run", "both", "another"],
)
def test_a_run_that_cannot_be_judged_again_is_one_line(
    run: Callable[..., Run], arguments: list[str], says: str
) -> None:
    """Nothing is booted."""
    run(PASSES)
    done = run(PASSES, *arguments, home=True)

    assert done.exit == 64, done.screen
    assert says in done.screen
    assert len(done.screen.strip().splitlines()) == 1


@pytest.mark.parametrize("option", ["--lab", "--results", "--components", "--options", "--implementation", "--profile"])
def test_an_empty_value_is_refused(run: Callable[..., Run], option: str) -> None:
    """A variable of a script that is not set must not choose the default or the working directory."""
    done = run(PASSES, f"{option}=")

    assert done.exit == 64, done.screen
    assert f"Invalid value for '{option}': the value is empty" in done.screen
    assert len(done.screen.strip().splitlines()) == 1


def test_no_option_of_text_takes_an_empty_value() -> None:
    """Of no command: `lab up --name ''` booted a lab with a name of its own."""
    for words, command in commands(cli, ()):
        for option in command.params:
            if isinstance(option, click.Option) and not option.is_flag and option.type.name in {"text", "path"}:
                with pytest.raises(click.BadParameter, match="the value is empty"):
                    option.type.convert("", option, None)
                assert option.metavar, (words, option.name)


def test_every_command_has_a_summary_that_is_not_cut() -> None:
    """In the list of commands of `--help`."""
    for words, command in commands(cli, ()):
        assert not words or not command.get_short_help_str(52).endswith("..."), (words, command.get_short_help_str(52))


def commands(group: click.Command, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command of the command line with its words."""
    if isinstance(group, click.Group):
        for name in group.list_commands(click.Context(group)):
            found = group.get_command(click.Context(group), name)
            assert found
            yield from commands(found, (*words, name))
    yield words, group


def test_help_says_where_ids_are_listed(run: Callable[..., Run]) -> None:
    """And where pytest's arguments go."""
    screen = " ".join(run(PASSES, "--help").screen.split())

    assert "[ID]... [-- PYTEST_ARGS...]" in screen
    assert "as `lbproof list` shows them" in screen


def test_a_lab_that_stays_is_named(run: Callable[..., Run]) -> None:
    """What to type to use it and to remove it; nothing says that it was removed."""
    done = run(PASSES, "--keep")

    assert re.search(
        r"lab fake stays up: export KUBECONFIG=\S+kubeconfig; remove it: lbproof lab down fake", done.screen
    )
    assert "taking the lab down" not in done.screen
    assert "removing the objects of the run; the lab stays up" in done.screen
    assert (done.directory.parent.parent / "checks" / "lab-is-detached").exists()
    assert not (done.directory.parent.parent / "checks" / "lab-is-gone").exists()


# --- a lab and who uses it


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A recorded lab of this process."""
    monkeypatch.setattr(registry, "ROOT", tmp_path / "labs")
    with registry.claim("mine"):
        registry.record("mine", os.getpid(), Topology(), provider="netns")
    return "mine"


def test_a_lab_in_use_is_told_with_its_user(lab: str) -> None:
    """Two runs at a time would disturb each other; the second says so at once."""
    with registry.reserved(lab):
        assert registry.find(lab).user == os.getpid()
        with (
            pytest.raises(LabError, match=rf"lab mine is in use by another run \(process {os.getpid()}\): wait for it"),
            registry.reserved(lab),
        ):
            pass

    assert registry.find(lab).user == 0
    with registry.reserved(lab):
        pass


def test_who_lists_labs_keeps_nobody_from_using_one(lab: str) -> None:
    """The lock that a reader has for a moment is waited for."""
    with (registry.directory(lab) / "user").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        reader = threading.Timer(0.1, fcntl.flock, [file, fcntl.LOCK_UN])
        reader.start()
        with registry.reserved(lab):
            assert registry.find(lab).user == os.getpid()
        reader.join()


def test_a_run_that_dies_leaves_its_lab_free(lab: str) -> None:
    """However it ended."""
    source = (
        "import sys\nfrom pathlib import Path\nfrom lbproof.lab import registry\nregistry.ROOT = Path(sys.argv[1])\n"
        "with registry.reserved('mine'):\n    print(registry.find('mine').user, flush=True)\n    input()\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", source, str(registry.ROOT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert other.stdout
    assert int(other.stdout.readline()) == registry.find(lab).user == other.pid
    other.kill()
    other.communicate()

    assert registry.find(lab).user == 0


def test_another_implementation_is_not_installed_beside_the_first(
    run: Callable[..., Run], lab: str, tmp_path: Path
) -> None:
    """The API server would refuse its objects with 422; one line says what is installed and what to do."""
    registry.note_installed(lab, "metallb v0.15.2")
    done = run(PASSES, "--lab", lab, env={"FAKE_ROOT": str(tmp_path / "labs")})

    assert done.exit == 69, done.screen
    assert "metallb v0.15.2 is installed in lab mine, and reference cannot be judged beside it" in done.screen
    assert len(done.screen.strip().splitlines()) == 1
    assert not done.directory.exists()


def test_a_program_that_this_machine_lacks_is_told() -> None:
    """Not by nsenter, which the user has not typed."""
    lab = cast("Places", SimpleNamespace(name="mine", _place=lambda _: SimpleNamespace(netns="/net", pidns="/pid")))

    assert Places.exec_argv(lab, "client", ["true"]) == ["nsenter", "--net=/net", "--pid=/pid", "--", "true"]
    with pytest.raises(LabError, match="no program no-such-program on this machine, whose programs run in lab mine"):
        Places.exec_argv(lab, "client", ["no-such-program", "-c1"])


def test_what_is_installed_in_a_lab_is_recorded(lab: str) -> None:
    """For `lab list`, and for a run of another implementation."""
    assert registry.find(lab).installed == ""
    registry.note_installed(lab, "reference 0.1.0")

    assert registry.find(lab).installed == "reference 0.1.0"


def test_help_names_every_variable_and_every_key_of_its_own() -> None:
    """A user who has only the command finds them."""
    group = CliRunner().invoke(cli, ["--help"]).output
    keys = " ".join(CliRunner().invoke(cli, ["run", "--help"]).output.split())

    for variable in VARIABLES.values():
        assert f"{variable.name}  {variable.help}" in group
    for name, _ in all_flags():
        if key_of(name) != name.replace("-", "_"):
            assert f"{key_of(name)} (--{name})" in keys


@pytest.mark.parametrize("words", [["up", "--name"], ["down"], ["kubeconfig"], ["exec", "--name"]], ids=" ".join)
@pytest.mark.parametrize("name", ["A_B", "-a", "x" * 41, "../x"])
def test_a_name_that_no_lab_can_have_is_bad_usage(words: list[str], name: str) -> None:
    """What is allowed is said."""
    more = ["client", "true"] if words[0] == "exec" else []
    arguments = ["lab", *words, name, *more] if words[-1] == "--name" else ["lab", words[0], "--", name]
    done = CliRunner().invoke(cli, arguments)

    assert done.exit_code == 2  # click's own, which the command turns into 64
    assert "is no name for a lab: 1 to 40 of a-z, 0-9 and -, not at its ends" in done.output
