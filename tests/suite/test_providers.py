"""Lab providers of other distributions: found by their entry point, with their options, doctor, labs and mistakes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest
from tests.suite.conftest import SUITE

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSES = 'from lbproof.context import proves\n@proves("POOL-01")\ndef test_passes(check): pass\n'
FAKE = {"fake": "fake_provider:FakeProvider"}


class Command(Protocol):
    """Runs the command where a distribution registers the given providers."""

    def __call__(
        self, *arguments: str, points: dict[str, str] = ..., fails: str = ...
    ) -> subprocess.CompletedProcess[str]:
        """`points`: name → object reference of each entry point; `fails`: FAKE_LAB."""
        ...


@pytest.fixture
def lbproof(tmp_path: Path) -> Iterator[Command]:
    """The command, with checks of one case and labs below the test's folder; no lab is left."""
    checks = tmp_path / "checks"
    checks.mkdir()
    (checks / "test_fake.py").write_text(PASSES)
    (checks / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider --import-mode=importlib\n")

    def call(*arguments: str, points: dict[str, str] = FAKE, fails: str = "") -> subprocess.CompletedProcess[str]:
        about = tmp_path / "site" / "fake_labs-1.0.dist-info"
        about.mkdir(parents=True, exist_ok=True)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-labs\nVersion: 1.0\n")
        lines = [f"{name} = {target}" for name, target in points.items()]
        (about / "entry_points.txt").write_text("\n".join(["[lbproof.labs]", *lines, ""]))
        return subprocess.run(
            [sys.executable, "-m", "fake_lab", *arguments],
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(SUITE), str(about.parent)]),
                "FAKE_CHECKS": str(checks),
                "FAKE_ROOT": str(tmp_path / "labs"),
                "FAKE_LAB": fails,
                "NO_COLOR": "1",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    yield call
    call("clean", "--all")


@pytest.mark.parametrize("command", [("run",), ("lab", "up")], ids=" ".join)
def test_a_provider_and_its_options_are_in_the_help(lbproof: Command, command: tuple[str, ...]) -> None:
    """An option that not all providers take names those that do."""
    shown = " ".join(lbproof(*command, "--help").stdout.split())

    assert "--provider NAME lab provider: netns (default), fake, kind" in shown
    assert "--fake-color COLOR fake: color of the lab (default: red)" in shown
    assert "--fake-dark fake: boot in the dark" in shown
    assert "--workers N worker nodes of the lab (default: 3)" in shown
    assert "--api-port PORT netns, kind: port" in shown.replace("kind, netns", "netns, kind")


def test_pytest_takes_its_options_with_the_prefix(lbproof: Command) -> None:
    """As it takes all others."""
    shown = lbproof("run", "--", "--help").stdout

    assert "--lb-fake-color=COLOR" in shown
    assert "--lb-fake-dark" in shown


def test_doctor_examines_for_it_with_the_options_that_it_wants(lbproof: Command) -> None:
    """Those that are marked for the doctor."""
    done = lbproof("doctor", "--provider", "fake", "--fake-color", "blue")
    shown = lbproof("doctor", "--help").stdout

    assert (done.returncode, done.stdout) == (0, "ok       color  blue\n")
    assert "--fake-color" in shown
    assert "--fake-size" not in shown


def test_a_run_judges_in_its_lab(lbproof: Command, tmp_path: Path) -> None:
    """Its options come from flags and from the options file, its budgets hold, and its lab is removed at the end."""
    file = tmp_path / "lbproof.toml"
    file.write_text('provider = "fake"\nfake_color = "blue"\nfake_size = 2\n')
    results = tmp_path / "runs"
    done = lbproof("run", "--options", str(file), "--fake-size", "3", "--fake-dark", "--results", str(results))

    assert done.returncode == 0, done.stdout + done.stderr
    facts = json.loads((results / "latest" / "environment.json").read_text())
    assert [facts[key] for key in ("lab", "color", "size", "dark")] == ["fake", "blue", "3", "True"]
    first = json.loads((results / "latest" / "events.ndjson").read_text().splitlines()[0])
    assert first["budgets"]["restarted"] == 55
    assert (tmp_path / "labs" / "lab-is-gone").exists()
    assert "no lab" in lbproof("lab", "list").stdout


def test_a_lab_of_it_is_found_used_and_removed(lbproof: Command, tmp_path: Path) -> None:
    """By the commands for every lab, each in a process of its own."""
    up = lbproof("lab", "up", "--provider", "fake", "--name", "mine", "--workers", "1", "--fake-color", "blue")
    listed = lbproof("lab", "list")
    said = lbproof("lab", "exec", "--name", "mine", "client", "ls")
    down = lbproof("lab", "down", "mine")
    cleaned = lbproof("clean")

    assert up.returncode == 0, up.stderr
    assert "painting mine, lifeline: False" in up.stderr
    assert listed.stdout.split()[:5] == ["mine", "fake", "2", "nodes", "up"]
    assert said.stdout == "client blue ls\n"
    assert down.stdout == f"lab mine: blue paint; {tmp_path}/labs/mine\n"
    assert "lab orphaned, of which no directory is left: paint" in cleaned.stdout


@pytest.mark.parametrize(("keep", "left"), [([], "was removed; --keep leaves it up"), (["--keep"], "stays up")])
def test_a_lab_whose_implementation_cannot_be_installed_is_removed(
    lbproof: Command, keep: list[str], left: str
) -> None:
    """The reason in one line and exit code 69; logs of pods are kept, and the lab if that was asked for."""
    words = ["lab", "up", "--provider", "fake", "--name", "mine", "--implementation", "reference", *keep]
    done = lbproof(*words, fails="uninstallable")

    assert done.returncode == 69, done.stdout + done.stderr
    *_, line = done.stderr.splitlines()
    assert "reference 0.1.0 could not be installed: Deployment acme/agent is ready: not within 30 s" in line
    assert left in line
    assert "Traceback" not in done.stderr
    logs = Path(line.partition("; logs: ")[2].partition(";")[0])
    kept = {log.name: log.read_text() for log in logs.iterdir()}
    shutil.rmtree(logs)
    assert kept == {"m01.agent.log": "no module named fake\n"}
    assert ("mine" in lbproof("lab", "list").stdout) == bool(keep)


def test_what_is_installed_already_is_started_anew(lbproof: Command, tmp_path: Path) -> None:
    """A program that was changed since is the one that is judged; another implementation is refused."""
    lbproof("lab", "up", "--provider", "fake", "--name", "mine")
    words = ["run", "--lab", "mine", "--results", str(tmp_path / "runs")]
    first, second = lbproof(*words), lbproof(*words)
    listed = lbproof("lab", "list")
    other = lbproof(*words, "--implementation", "metallb")

    assert (first.returncode, second.returncode, other.returncode) == (0, 0, 69), first.stdout + first.stderr
    for done in (first, second):
        assert "attaching to lab mine" in done.stdout + done.stderr
        assert "removing the objects of the run; the lab stays up" in done.stdout + done.stderr
        assert not re.search("booting|painting|taking the lab down", done.stdout + done.stderr)
    assert "anew" not in first.stderr
    assert "reference: starting Deployment controller anew" in second.stderr
    assert "up, reference 0.1.0" in listed.stdout
    assert "reference 0.1.0 is installed in lab mine, and metallb cannot be judged beside it" in other.stdout


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("run --fake-color green", "fake color 'green' in --fake-color: red, blue are allowed"),
        ("lab up --fake-color green", "fake color 'green' in --fake-color: red, blue are allowed"),
        ("lab up --fake-size 4", "option fake_size = 4 in --fake-size: input should be less than or equal to 3"),
        ("run --fake-size much", "Invalid value for '--fake-size': 'much' is not a valid integer"),
        ("lab up --node-image x", "node image in --node-image: it is for --provider kind, not fake"),
        ("run --labs 2", "labs = 2 in --labs, with provider: several labs stand side by side with --provider netns"),
    ],
)
def test_a_wrong_value_is_one_line(lbproof: Command, command: str, says: str) -> None:
    """Exit code 64."""
    done = lbproof(*command.split(), "--provider", "fake")

    assert done.returncode == 64
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("command", ["run", "doctor"])
def test_an_unknown_provider_is_one_line_with_the_known_ones(lbproof: Command, command: str) -> None:
    """And the nearest name."""
    done = lbproof(command, "--provider", "fakes")

    assert done.returncode == 64
    assert "unknown provider 'fakes' in --provider; did you mean 'fake'? All of them: lbproof run --help" in done.stderr
    assert "(netns, fake, kind)" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_broken_providers_are_a_line_each_and_do_not_stop_the_others(lbproof: Command, tmp_path: Path) -> None:
    """Also in the help; a run that asks for one is a usage error."""
    targets = {
        "broken": "no_such_module:Provider",
        "lacking": "fake_provider:Lacking",
        "greedy": "fake_provider:Greedy",
        "reserved": "fake_provider:Reserved",
        "other": "fake_provider:FakeProvider",
    }
    reasons = {
        "broken": "cannot be loaded from no_such_module:Provider: ModuleNotFoundError: No module named",
        "greedy": "declares an option --workers, which exists already with another meaning",
        "lacking": "lacks description, budgets, parallel, capacity, examine, families, boot, bring, attach, remove",
        "other": "has another name than its entry point: fake",
        "reserved": "declares an option --profile, which exists already with another meaning",
    }
    points = {**FAKE, **targets}
    done = lbproof("run", "--provider", "fake", "--results", str(tmp_path / "runs"), points=points)
    chosen = lbproof("run", "--provider", "broken", points=points)
    shown = " ".join(lbproof("lab", "up", "--help", points=points).stdout.split())

    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("lbproof: lab provider ")]
    assert len(lines) == len(reasons)
    for line, (name, reason) in zip(lines, reasons.items(), strict=True):
        assert line.startswith(f"lbproof: lab provider {name} {reason}")
        assert f"lab provider {name} {reason}" in shown
    assert chosen.returncode == 64
    assert chosen.stderr.startswith(f"lbproof: provider broken in --provider: it {reasons['broken']}")
    assert len(chosen.stderr.strip().splitlines()) == 1


def test_a_lab_whose_provider_is_gone_is_one_line_and_stays(lbproof: Command) -> None:
    """It cannot be removed without knowing what it is made of."""
    lbproof("lab", "up", "--provider", "fake", "--name", "mine")
    cleaned = lbproof("clean", "--all", points={})

    assert (cleaned.returncode, cleaned.stderr) == (
        69,
        "lbproof: lab mine is of provider fake, which is not installed\n",
    )
    assert "mine" in lbproof("lab", "list", points={}).stdout


def test_list_loads_no_provider(tmp_path: Path) -> None:
    """Who asks what there is to judge does not wait for them."""
    code = (
        "import sys; from click.testing import CliRunner; from lbproof.run.cli import cli\n"
        "code = CliRunner().invoke(cli, ['list']).exit_code\n"
        "print(code, *(name for name in sys.modules if name.startswith('lbproof.lab.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)

    assert done.stdout.split() == ["0"]
