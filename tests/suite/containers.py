"""Finds, in source of the package, f-strings that hold a list, dict, set or tuple as Python writes it."""

from __future__ import annotations

import ast
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

LITERALS = (ast.List, ast.ListComp, ast.Dict, ast.DictComp, ast.Set, ast.SetComp, ast.Tuple, ast.GeneratorExp)
TYPES = {"list", "dict", "set", "tuple", "frozenset", "defaultdict", "Counter", "map", "filter", "zip"} | {
    *("Sequence", "Mapping", "Iterable", "Iterator", "Collection", "MutableMapping", "Set"),
}
MAKERS = {"sorted", "list", "dict", "set", "tuple", "frozenset", "map", "filter", "zip", "keys", "values", "items"}
SCOPES = (ast.FunctionDef, ast.Lambda, ast.ClassDef)


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the annotations of a package say of its names."""

    types: frozenset[str]
    """Containers, and the names that the package gives them (`Object = dict[str, Any]`)."""
    calls: frozenset[str]
    """Functions that return one, wherever the package has a function of that name."""
    attributes: frozenset[str]
    """Attributes and properties that are one, wherever a class has one of that name."""
    own: Mapping[str, bool] = field(default_factory=dict)
    """Functions of the module that is read: whether they return one."""


def known(trees: Sequence[ast.Module]) -> Known:
    """Collect what a package's modules say."""
    types = _types(trees)
    calls: dict[str, set[bool]] = defaultdict(set)
    attributes: dict[str, set[bool]] = defaultdict(set)
    for node in (node for tree in trees for node in ast.walk(tree)):
        match node:
            case ast.FunctionDef(name=name, returns=returns, decorator_list=decorators):
                is_property = any(isinstance(one, ast.Name) and "property" in one.id for one in decorators)
                (attributes if is_property else calls)[name].add(_is_type(returns, types))
            case ast.ClassDef(body=parts):
                for part in parts:
                    if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                        attributes[part.target.id].add(_is_type(part.annotation, types))
            case ast.AnnAssign(target=ast.Attribute(attr=name), annotation=annotation):
                attributes[name].add(_is_type(annotation, types))
            case ast.Assign(targets=[ast.Attribute(attr=name)], value=ast.Constant()):
                attributes[name].add(False)
    return Known(types=frozenset(types), calls=_always(calls) | MAKERS, attributes=_always(attributes))


def _types(trees: Sequence[ast.Module]) -> set[str]:
    types = set(TYPES)
    for node in (node for tree in trees for node in tree.body):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Subscript() as value) if _is_type(value, types):
                types.add(name)
    return types


def _always(found: Mapping[str, set[bool]]) -> frozenset[str]:
    return frozenset(name for name, kinds in found.items() if kinds == {True})


def _is_type(annotation: ast.expr | None, types: Iterable[str]) -> bool:
    match annotation:
        case ast.Constant(value=str(text)):
            return _is_type(ast.parse(text, mode="eval").body, types)
        case ast.BinOp(left=left, right=right):
            return _is_type(left, types) or _is_type(right, types)
        case ast.Subscript(value=value):
            return _is_type(value, types)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name in types
    return False


def shown(tree: ast.Module, of: Known) -> list[str]:
    """Return the parts of f-strings that are containers."""
    own = {node.name: _is_type(node.returns, of.types) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    return list(_shown(tree, {}, replace(of, own=own)))


def _shown(scope: ast.AST, outer: Mapping[str, bool], of: Known) -> Iterator[str]:
    names = {**outer, **_parameters(scope, of)}
    nodes, inner = list(ast.iter_child_nodes(scope)), []
    for node in nodes:
        if isinstance(node, SCOPES):
            inner.append(node)
        else:
            nodes += ast.iter_child_nodes(node)
    for node in nodes:
        _bind(node, names, of)
    for node in nodes:
        if isinstance(node, ast.FormattedValue) and _is_container(node.value, names, of):
            yield ast.unparse(node.value)
    for child in inner:
        yield from _shown(child, names, of)


def _parameters(scope: ast.AST, of: Known) -> dict[str, bool]:
    if not isinstance(scope, ast.FunctionDef | ast.Lambda):
        return {}
    given = scope.args
    one_by_one = [*given.posonlyargs, *given.args, *given.kwonlyargs]
    several = {arg.arg: True for arg in (given.vararg, given.kwarg) if arg}
    return {arg.arg: _is_type(arg.annotation, of.types) for arg in one_by_one} | several


def _bind(node: ast.AST, names: dict[str, bool], of: Known) -> None:
    match node:
        case (
            ast.Assign(targets=[ast.Name(id=name)], value=value) | ast.NamedExpr(target=ast.Name(id=name), value=value)
        ):
            names[name] = _is_container(value, names, of)
        case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
            names[name] = _is_type(annotation, of.types)
        case ast.Assign(targets=[ast.Tuple(elts=parts)]):
            for part in parts:
                if isinstance(part, ast.Name):
                    names[part.id] = False
                elif isinstance(part, ast.Starred) and isinstance(part.value, ast.Name):
                    names[part.value.id] = True
        case ast.For(target=target) | ast.comprehension(target=target):
            names.update({part.id: False for part in ast.walk(target) if isinstance(part, ast.Name)})


def _is_container(part: ast.expr, names: Mapping[str, bool], of: Known) -> bool:
    match part:
        case ast.Name(id=name):
            found = names.get(name, False)
        case ast.Attribute(attr=name):
            found = name in of.attributes
        case ast.Call(func=ast.Name(id=name)):
            found = of.own.get(name, name in of.calls)
        case ast.Call(func=ast.Attribute(attr=name)):
            found = name in of.calls
        case _:
            found = isinstance(part, LITERALS) or any(_is_container(one, names, of) for one in _parts(part))
    return found


def _parts(part: ast.expr) -> list[ast.expr]:
    """Return the expressions one of which is the value of another one, or that are added up in it."""
    match part:
        case ast.BoolOp(values=values):
            return values
        case ast.IfExp(body=left, orelse=right) | ast.BinOp(left=left, right=right):
            return [left, right]
        case ast.NamedExpr(value=value) | ast.Subscript(value=value, slice=ast.Slice()):
            return [value]
    return []
