"""Messages of checks are read by people who do not know Python."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from lbproof import checks

HOME = Path(checks.__file__).parent
CONTAINERS = (ast.List, ast.ListComp, ast.Dict, ast.DictComp, ast.Set, ast.SetComp, ast.Tuple)
MAKERS = {"sorted", "list", "set", "dict", "tuple", "plain"}
METHODS = {"addresses", "keys", "values", "items"}


@pytest.mark.parametrize("path", sorted(HOME.rglob("*.py")), ids=lambda path: str(path.relative_to(HOME)))
def test_no_message_holds_a_list_as_python_writes_it(path: Path) -> None:
    """Whatever holds several values is put in words (`lbproof.report.text.words`)."""
    parts = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FormattedValue)]

    assert [ast.unparse(part) for part in parts if _is_container(part)] == []


def _is_container(part: ast.expr) -> bool:
    called = part.func if isinstance(part, ast.Call) else None
    return (
        isinstance(part, CONTAINERS)
        or (isinstance(called, ast.Name) and called.id in MAKERS)
        or (isinstance(called, ast.Attribute) and called.attr in METHODS)
    )
