"""What the code of an adapter raises is one line with its place, and never the end of the command."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from tests.suite.acme import Acme
from tests.suite.test_adapters import refused

from lbproof.adapters.installed import load
from lbproof.adapters.validation import members, validate
from lbproof.spec import BadOption, UnknownName

if TYPE_CHECKING:
    from pathlib import Path


class Failure(BaseException):
    """An exception that is none of `Exception`, and has no text."""

    def __str__(self) -> str:
        """Fail."""
        raise RuntimeError


@pytest.mark.parametrize("error", [RuntimeError("boom"), SystemExit(3), Failure(), AttributeError("x")], ids=repr)
@pytest.mark.parametrize("name", [*members(), "__getattribute__", "__dict__"])
def test_a_member_that_cannot_be_read_is_one_line(name: str, error: BaseException) -> None:
    """With the type of the exception and its place in the adapter's file."""

    def fail(*_: object) -> object:
        raise error

    line = refused(type("Bad", (Acme,), {name: fail if name == "__getattribute__" else property(fail)})())
    assert type(error).__name__ in line
    assert "(test_adapter_errors.py:" in line


def test_ctrl_c_is_no_fault_of_an_adapter() -> None:
    """It ends the command."""

    def stop(_: object) -> object:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        validate(type("Bad", (Acme,), {"name": property(stop)})(), "acme")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import sys\nsys.exit(4)", "cannot be loaded: SystemExit: 4 (acme_file.py:2)"),
        ("import no_such_mod", "cannot be loaded: ModuleNotFoundError: No module named 'no_such_mod' (acme_file.py:1)"),
        ("\nAcme = lambda: 1 / 0", "cannot be loaded: ZeroDivisionError: division by zero (acme_file.py:2)"),
        ("def f(:", "cannot be loaded: SyntaxError: invalid syntax (acme_file.py, line 1)"),
        (
            "from lbproof.adapters.reports import AnnouncerLease\nAnnouncerLease(namespace=1, name='x')",
            "adapter acme_file:Acme: AnnouncerLease.namespace is 1: text is wanted (acme_file.py:2)",
        ),
    ],
)
def test_a_module_that_fails_is_one_line_with_its_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, says: str
) -> None:
    """Not an unknown implementation, and never the end of the command."""
    (tmp_path / "acme_file.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "acme_file", raising=False)

    with pytest.raises(BadOption) as caught:
        load("acme_file:Acme", "--implementation")
    assert says in str(caught.value)


@pytest.mark.parametrize("name", [":X", "../acme:X", "acme:", ".acme:X", "a..b:X", "acme:a b"])
def test_a_name_that_is_no_module_and_attribute_is_unknown(name: str) -> None:
    """Exit 64, in one line."""
    with pytest.raises(UnknownName, match=r"package\.module:attribute is wanted"):
        load(name, "--implementation")


def test_a_module_in_the_working_directory_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As the documentation writes it, without an installation."""
    (tmp_path / "acme_here.py").write_text("from tests.suite.acme import Acme")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])

    assert load("acme_here:Acme", "--implementation").name == "acme"
