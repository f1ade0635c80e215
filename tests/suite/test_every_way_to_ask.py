"""Checks where a request can matter ask for addresses by every claimed way, or say why not."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lbproof import checks
from lbproof.spec import REQUIREMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

HOME = Path(str(checks.__file__)).parent
AREAS = ("PEND-", "REQ-", "L2-04", "POOL-06")
EXCEPT = {
    "L2-04f": "what a status names is in no pool, whatever the Service asked for",
    "REQ-01": "each of its cases is about one way",
    "REQ-06": "what becomes of a pool is reported, whoever has its addresses",
}
"""Requirement or case → why its check does not ask by each way."""


def functions(path: Path) -> dict[str, ast.FunctionDef]:
    """Return the functions of a file by their names."""
    return {node.name: node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


def judged(function: ast.FunctionDef) -> list[str]:
    """Return the requirement that a check judges, with each of its cases if it names some."""
    for made in function.decorator_list:
        if isinstance(made, ast.Call) and ast.unparse(made.func) == "proves":
            requirement, *cases = [str(ast.literal_eval(one)) for one in made.args]
            return [f"{requirement}{case}" for case in "".join(cases)] or [requirement]
    return []


def asks_by_each_way(name: str, there: dict[str, ast.FunctionDef]) -> bool:
    """Return whether a function, or one of the file that it calls, uses the claimed ways, not in conditions alone."""
    seen: set[str] = set()
    left = [name]
    while left:
        seen.add(one := left.pop())
        nodes = list(ast.walk(there[one]))
        conditions = [node.test for node in nodes if isinstance(node, ast.If | ast.IfExp)]
        conditions += [value for node in nodes if isinstance(node, ast.BoolOp) for value in node.values]
        reads = [node for node in nodes if isinstance(node, ast.Attribute) and ast.unparse(node) == "check.run.ways"]
        if any(node not in conditions for node in reads):
            return True
        left += {node.id for node in nodes if isinstance(node, ast.Name)} & there.keys() - seen
    return False


def found() -> Iterator[tuple[str, bool]]:
    """Yield what is judged by the checks of these areas, and whether they ask by each way."""
    for path in sorted(HOME.rglob("test_*.py")):
        there = functions(path)
        for name, function in there.items():
            for case in judged(function):
                if case.startswith(AREAS):
                    yield case, asks_by_each_way(name, there)


FOUND = dict(found())


@pytest.mark.parametrize("case", FOUND)
def test_every_way_to_ask_is_tried(case: str) -> None:
    """Otherwise its reason is written down, for none that does ask."""
    assert FOUND[case] != (case in EXCEPT)


def test_all_checks_are_looked_at() -> None:
    """Each requirement of these areas has one, and each exception is one."""
    wanted = {requirement for requirement in REQUIREMENTS if requirement.startswith(AREAS)}

    assert {case.rstrip("abcdef") for case in FOUND} == wanted
    assert EXCEPT.keys() <= FOUND.keys()


def test_a_way_is_found_in_what_a_check_calls(tmp_path: Path) -> None:
    """Not what is written in a function that it does not call."""
    path = tmp_path / "test_x.py"
    path.write_text(
        '@proves("PEND-09", "ab")\ndef one(check):\n    other(check)\n'
        "def other(check):\n    check.run.ways\n    one(check)\n"
        '@proves("REQ-09", disruptive=True)\ndef none(check):\n    check.run.addresses(1) if check.run.ways else []\n'
    )
    there = functions(path)

    assert judged(there["one"]) == ["PEND-09a", "PEND-09b"]
    assert judged(there["none"]) == ["REQ-09"]
    assert [asks_by_each_way(name, there) for name in there] == [True, True, False]
