"""Messages are read by people who do not know Python, nor its libraries."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from tests.suite.fake_lab import KUBECONFIG

from lbproof import checks
from lbproof.witnesses.kube import ApiUnreachable, Kube

HOME = Path(checks.__file__).parent
CONTAINERS = (ast.List, ast.ListComp, ast.Dict, ast.DictComp, ast.Set, ast.SetComp, ast.Tuple)
MAKERS = {"sorted", "list", "set", "dict", "tuple"}
METHODS = {"addresses", "keys", "values", "items"}


@pytest.mark.parametrize("path", sorted(HOME.rglob("*.py")), ids=lambda path: str(path.relative_to(HOME)))
def test_no_message_holds_a_list_as_python_writes_it(path: Path) -> None:
    """Whatever holds several values is put in words (`lbproof.text.words`)."""
    parts = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FormattedValue)]

    assert [ast.unparse(part) for part in parts if _is_container(part)] == []


def _is_container(part: ast.expr) -> bool:
    called = part.func if isinstance(part, ast.Call) else None
    return (
        isinstance(part, CONTAINERS)
        or (isinstance(called, ast.Name) and called.id in MAKERS)
        or (isinstance(called, ast.Attribute) and called.attr in METHODS)
    )


def test_an_api_server_that_is_not_there_is_told_in_plain_words(tmp_path: Path) -> None:
    """The system's reason, and nothing of the classes of the HTTP library."""
    (tmp_path / "kubeconfig").write_text(KUBECONFIG)
    kube = Kube(tmp_path / "kubeconfig")
    with pytest.raises(ApiUnreachable) as caught:
        kube.list("/api/v1/nodes")
    kube.close()

    assert str(caught.value) == (
        "GET /api/v1/nodes: the API server at http://127.0.0.1:9 does not answer: Connection refused"
    )
