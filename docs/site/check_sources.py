"""What the checks' sources say: which function proves a requirement, and by which budgets it waits.

Read from the syntax tree and never run. A budget counts when a check names it, or when it calls a function of the
suite that does, at any depth; calls are resolved by name, so that a name that two classes share counts both.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import lbproof
from lbproof.spec import BUDGETS

if TYPE_CHECKING:
    from collections.abc import Iterator

SUITE = Path(lbproof.__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSource:
    """One check function."""

    function: str
    path: str
    """Below the suite's package."""
    text: str
    """First line of its docstring."""
    budgets: frozenset[str]


@dataclass(slots=True)
class _Function:
    named: set[str] = field(default_factory=set)
    """Budgets that it names."""
    default: set[str] = field(default_factory=set)
    """Budgets that hold when its caller names none."""
    calls: set[tuple[str, bool]] = field(default_factory=set)
    """Functions that it calls, and whether with a budget."""


def check_sources() -> dict[str, list[CheckSource]]:
    """Requirement ID → the checks that prove it."""
    shared = list((SUITE / "context").glob("*.py"))
    found: dict[str, list[CheckSource]] = defaultdict(list)
    for path in sorted((SUITE / "checks").rglob("test_*.py")):
        known = _functions([*shared, *path.parent.glob("*.py")])
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and (requirement := _proves(node)):
                found[requirement].append(
                    CheckSource(
                        function=node.name,
                        path=str(path.relative_to(SUITE)),
                        text=(ast.get_docstring(node) or "").partition("\n")[0],
                        budgets=frozenset(_budgets(node.name, known)),
                    )
                )
    return found


def _proves(function: ast.FunctionDef) -> str:
    """Requirement of the decorator `@proves("ID", …)`; empty without one."""
    for mark in function.decorator_list:
        if isinstance(mark, ast.Call) and isinstance(mark.func, ast.Name) and mark.func.id == "proves":
            return _text(mark.args[0])
    return ""


def _text(node: ast.AST | None) -> str:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _functions(paths: list[Path]) -> dict[str, list[_Function]]:
    known: dict[str, list[_Function]] = defaultdict(list)
    for path in paths:
        for name, function in _functions_of(path):
            known[name].append(function)
    return known


@cache
def _functions_of(path: Path) -> list[tuple[str, _Function]]:
    """Functions and methods of a source with their names. Most sources belong to many checks."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [(node.name, _read(node)) for node in nodes if isinstance(node, ast.FunctionDef)]


def _read(node: ast.FunctionDef) -> _Function:
    found = _Function(default={_text(default) for default in _defaults(node)} & BUDGETS.keys())
    for call in ast.walk(node):
        if not isinstance(call, ast.Call):
            continue
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        said = [keyword.value for keyword in call.keywords if keyword.arg == "budget"]
        arguments = said + (call.args[:1] if name == "budget" else [])
        found.named |= {_text(one) for argument in arguments for one in ast.walk(argument)} & BUDGETS.keys()
        found.calls.add((name, bool(said)))
    return found


def _defaults(node: ast.FunctionDef) -> Iterator[ast.expr]:
    yield from node.args.defaults
    yield from (default for default in node.args.kw_defaults if default is not None)


def _budgets(function: str, known: dict[str, list[_Function]]) -> set[str]:
    found: set[str] = set()
    seen: set[tuple[str, bool]] = set()
    waiting = [(function, True)]
    while waiting:
        name, named = call = waiting.pop()
        if call in seen:
            continue
        seen.add(call)
        for one in known.get(name, []):
            found |= one.named | (set() if named else one.default)
            waiting += one.calls
    return found
