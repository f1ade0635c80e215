"""Fingerprints of a fault and of a check: hashes of the sources on which a mutant's verdict depends most closely.

That of a fault covers its function, all that this uses of `tests.mutants`, and what it replaces in the reference: a
fault in a function that does something else now may be none. That of a check covers its function, all that this uses of
`lbproof.checks`, its fixtures there, and the manifests beside it.

Neither covers the context of checks, witnesses, labs, adapters, and the rest of the reference. They take part in every
case, and something of them changes every day: with them each row of the matrix would be out of date after every commit,
which tells nothing. What a change there breaks is found by the mutants that CI draws, and by `make mutants`.

Comments, docstrings, line breaks and positions do not count, so that prose can change.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import textwrap
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from lbproof.run.coverage import proofs
from lbproof.spec.requirements import case_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_DIGITS = 12
_MARKS = {"fault", "proves"}
"""Decorators that name cases: one more name in them changes nothing for the others."""
_MACHINERY = "tests.mutants.mutant"
"""Module that registers and applies the faults."""
_POSITIONS = {"ctx", "kind", "type_comment", "type_ignores", "type_params"}
"""Fields of a syntax tree that say nothing, or that not every version of Python has."""
Place: TypeAlias = tuple[str, str]
"""Module, and a name in it; the empty name is the whole module."""


@cache
def of_fault(apply: Callable[[], None]) -> str:
    """Fingerprint of a fault, by the function that applies it."""
    return of_function((apply.__module__, apply.__name__), "tests.mutants")


@cache
def of_check(case: str) -> str:
    """Fingerprint of the check of a case. Raises `KeyError` for a case that no check proves."""
    manifests = sorted((file_of(case).parent / "manifests").glob("*.yaml"))
    return of_function(check_of(case), "lbproof.checks", *(path.read_text(encoding="utf-8") for path in manifests))


def of_function(place: Place, package: str, *texts: str) -> str:
    """Hash of a function, of what it uses of a package and what it patches, and of further texts."""
    parts = {*texts, *(part for used in _used(place, package) for part in _parts(used))}
    return hashlib.sha256("\0".join(sorted(parts)).encode()).hexdigest()[:_DIGITS]


@cache
def _parts(place: Place) -> tuple[str, ...]:
    """Texts of a definition and of what it patches. Many functions use the same definitions."""
    module, name = place
    node, _ = _names(module)[name]
    return (_text(node), *_replaced(module, node))


def check_of(case: str) -> Place:
    """Module and function of the check of a case. Raises `KeyError` for a case that no check proves."""
    proof = proofs()[case_of(case)]
    return proof.module, proof.function


def file_of(case: str) -> Path:
    """Source file of the check of a case. Raises `KeyError` for a case that no check proves."""
    return proofs()[case_of(case)].path


# --- what a function uses


def _used(start: Place, package: str) -> dict[Place, ast.AST]:
    """Definition of a function, and of all that it uses of a package, at any depth."""
    found: dict[Place, ast.AST] = {}
    waiting = [start]
    while waiting:
        module, name = place = waiting.pop()
        if place in found or module == _MACHINERY:
            continue
        names = _names(module)
        if not name:
            waiting += [(module, one) for one in names]
            continue
        node, imported = names[name]
        if imported and f"{imported[0]}.".startswith(f"{package}."):
            waiting.append(_definition(imported))
            continue
        found[place] = node
        if not imported:
            read = {one.id for one in ast.walk(node) if isinstance(one, ast.Name)}
            waiting += [(module, one) for one in sorted(read & names.keys())]
            waiting += _fixtures(module, node)
    return found


def _definition(imported: Place) -> Place:
    """Where an imported name is defined: a module is imported whole."""
    module, name = imported
    is_package = bool(_spec(module).submodule_search_locations)
    return (f"{module}.{name}", "") if name and is_package and find_spec(f"{module}.{name}") else (module, name)


def _fixtures(module: str, node: ast.AST) -> Iterator[Place]:
    """Fixtures of the folder that a test takes as arguments."""
    if isinstance(node, ast.FunctionDef) and (_file(module).parent / "conftest.py").is_file():
        beside = f"{module.rpartition('.')[0]}.conftest"
        yield from ((beside, one.arg) for one in node.args.args if one.arg in _names(beside))


@cache
def _names(module: str) -> dict[str, tuple[ast.AST, Place | None]]:
    """Name at a module's top level → the statement that defines it, and for an import what is imported."""
    found: dict[str, tuple[ast.AST, Place | None]] = {}
    for node in ast.parse(_file(module).read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found[node.name] = (node, None)
        elif isinstance(node, ast.Import):
            for one in node.names:
                found[one.asname or one.name.partition(".")[0]] = (ast.Import(names=[one]), (one.name, ""))
        elif isinstance(node, ast.ImportFrom):
            for one in node.names:
                alone = ast.ImportFrom(module=node.module, names=[one], level=node.level)
                found[one.asname or one.name] = (alone, (str(node.module), one.name))
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            named = [one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)]
            found |= dict.fromkeys(named, (node, None))
    return found


@cache
def _spec(module: str) -> Any:  # noqa: ANN401 - a ModuleSpec, as typeshed knows it
    spec = find_spec(module)
    if spec is None:
        raise ModuleNotFoundError(module)
    return spec


def _file(module: str) -> Path:
    return Path(_spec(module).origin)


# --- what a fault replaces


def _replaced(module: str, node: ast.AST) -> Iterator[str]:
    """Sources of what the calls of `patch(TARGET, "name", …)` replace.

    A target is a name of the module, an attribute of one, or the variable of a loop over some of these. Raises
    `AttributeError` for another.
    """
    loops = {
        one.target.id: one.iter.elts
        for one in ast.walk(node)
        if isinstance(one, ast.For) and isinstance(one.target, ast.Name) and isinstance(one.iter, (ast.Tuple, ast.List))
    }
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "patch":
            name = ast.literal_eval(call.args[1])
            for target in loops.get(ast.unparse(call.args[0]), call.args[:1]):
                value = getattr(_value(importlib.import_module(module), target), name)
                yield f"{name}: {_source(value)}"


def _value(module: object, expression: ast.expr) -> object:
    """Value of a name or an attribute of one, such as `controller.Controller`."""
    if isinstance(expression, ast.Attribute):
        return getattr(_value(module, expression.value), expression.attr)
    return getattr(module, ast.unparse(expression))


def _source(value: object) -> str:
    """Text of a function or class of the reference; of anything else the value."""
    kind = inspect.unwrap(value.fget if isinstance(value, property) else value)  # type: ignore[arg-type]
    if inspect.isfunction(kind) or inspect.isclass(kind) or inspect.ismethod(kind):
        return _text(ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0])
    return repr(sorted(value) if isinstance(value, (set, frozenset)) else value)


# --- text of a definition


def _text(node: ast.AST) -> str:
    """A syntax tree without positions, docstrings and the decorators that name cases, the same for every Python."""
    parts: list[str] = []
    for name, value in ast.iter_fields(node):
        if name not in _POSITIONS and value is not None and value != []:
            several = value if isinstance(value, list) else [value]
            kept = [one for one in several if not (_is_prose(one) or _is_mark(one))]
            parts.append(f"{name}={[_text(one) if isinstance(one, ast.AST) else repr(one) for one in kept]}")
    return f"{type(node).__name__}({', '.join(parts)})"


def _is_prose(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_mark(node: object) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _MARKS
