"""No check holds a number of seconds that decides a verdict: it names a budget, which operators and adapters set."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from lbproof import checks, context

HOME, CONTEXT = (Path(str(package.__file__)).parent for package in (checks, context))
FILES = sorted(HOME.rglob("*.py"))
ALLOWED = {
    "AROUND": "how long is asked around an act: what has no answer is judged by `arp_answer`",
    "EVERY": "time between two requests",
}
"""Name of a constant of seconds → why no verdict depends on it."""
SECONDS = {"within", "wait", "timeout", "during", "over"}
ASKS = {"ask", "ask_each", "sweep", "census", "census_of"}


def numbers(node: ast.AST) -> list[float]:
    """Return the numbers that a piece of source holds."""
    found = [one.value for one in ast.walk(node) if isinstance(one, ast.Constant)]
    return [one for one in found if isinstance(one, int | float) and not isinstance(one, bool)]


def calls(path: Path) -> list[tuple[str, ast.Call]]:
    """Return the calls in a file with the name of what is called, `module.function` for a function of a module."""
    made = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return [(ast.unparse(call.func), call) for call in made]


def held(path: Path) -> list[str]:
    """Return the lines of a file that hold seconds: an argument, a constant, a sleep, a question without its time."""
    found = [
        f"{name}({keyword.arg}={ast.unparse(keyword.value)})"
        for name, call in calls(path)
        for keyword in call.keywords
        if keyword.arg in SECONDS and numbers(keyword.value)
    ]
    found += [name for name, _ in calls(path) if name.rpartition(".")[2] == "sleep"]
    for statement in ast.parse(path.read_text()).body:
        if isinstance(statement, ast.Assign) and any(isinstance(one, float) for one in numbers(statement.value)):
            found += [name for name in map(ast.unparse, statement.targets) if name not in ALLOWED]
    return found + unlimited(path)


def unlimited(path: Path) -> list[str]:
    """Return the questions of a file whose answers are waited for by the default of the witness."""
    return [
        f"{name}(…), line {call.lineno}"
        for name, call in calls(path)
        if name in {f"neighbour.{ask}" for ask in ASKS} and not {"within", "wait"} & {one.arg for one in call.keywords}
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(HOME)))
def test_a_check_holds_no_seconds(path: Path) -> None:
    """Neither as an argument of a wait nor by leaving it out."""
    assert held(path) == []


def test_observations_wait_for_answers_by_a_budget() -> None:
    """What is asked for a check, and not for the rest after a fault, which decides nothing."""
    files = sorted(CONTEXT.glob("*.py"))

    assert [line for path in files for line in unlimited(path)] == []
    assert {
        path.name: path.read_text().count("neighbour.WAIT") for path in files if "neighbour.WAIT" in path.read_text()
    } == {"rest.py": 1}


def test_seconds_are_found(tmp_path: Path) -> None:
    """In each place."""
    path = tmp_path / "test_x.py"
    path.write_text(
        "QUIET = 0.15\nEVERY = 0.01\n"
        "neighbour.ask_each(client, ways, every=0.0)\nneighbour.ask(client, address, wait=2 * BEAT)\n"
        "time.sleep(1)\nneighbour.sweep(client, addresses, within=check.wait.budget('arp_answer'))\n"
    )

    assert held(path) == ["neighbour.ask(wait=2 * BEAT)", "time.sleep", "QUIET", "neighbour.ask_each(…), line 3"]
