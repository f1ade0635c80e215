"""Finding and clearing labs, on directories alone: no lab is booted."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from lbproof.lab import provide, registry
from lbproof.lab.base import LabError, Topology

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Labs are kept below a directory of the test."""
    monkeypatch.setattr(registry, "ROOT", tmp_path / "labs")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")  # its labs are of another root
    return tmp_path / "labs"


def dead(name: str) -> None:
    """What a lab leaves whose supervisor died: here one with a start time that nothing has."""
    with registry.claim(name) as state:
        registry.record(name, os.getpid(), Topology(workers=1), provider="netns")
        row = (state / "lab.json").read_text(encoding="utf-8")
        (state / "lab.json").write_text(row.replace('"start": "', '"start": "0'), encoding="utf-8")


def test_a_machine_without_labs_has_none() -> None:
    """No directory is no lab."""
    assert registry.labs() == []
    assert provide.clean() == []


def test_a_process_is_known_by_number_and_start() -> None:
    """A number that is used again by another process is no live lab."""
    dead("gone")
    with registry.claim("here"):
        registry.record("here", os.getpid(), Topology(), provider="netns")

    assert [(info.name, info.alive, info.nodes) for info in registry.labs()] == [("gone", False, 2), ("here", True, 4)]
    with pytest.raises(LabError, match="no lab gone is up; there are: here"):
        registry.find("gone")


def test_clean_takes_the_dead_and_spares_the_living(root: Path) -> None:
    """Without a name only what no process stands behind is removed, and nothing beside the labs."""
    dead("gone")
    with registry.claim("here"):
        registry.record("here", os.getpid(), Topology(), provider="netns")
    (root / "not-a-lab.txt").touch()
    removed = provide.clean()

    assert removed == [f"lab gone: dead already; {root}/gone"]
    assert sorted(path.name for path in root.iterdir()) == [".lock", "here", "not-a-lab.txt"]
    with pytest.raises(LabError, match="no lab other; there are: here"):
        provide.clean("other")


def test_a_dead_lab_s_name_is_free_again() -> None:
    """What it left is removed by the next one of that name; a live one's is refused."""
    dead("again")
    with registry.claim("again") as state:
        assert list(state.iterdir()) == []
        registry.record("again", os.getpid(), Topology(), provider="netns")

    with pytest.raises(LabError, match="lab again is up already"), registry.claim("again"):
        pass


@pytest.mark.parametrize("name", ["", "A", "a/b", "-a", "a-", "a" * 41, "..", "ä"])
def test_a_bad_name_is_refused(name: str) -> None:
    """A name becomes a directory and part of a host name: one line says what it may be."""
    with pytest.raises(LabError, match="is no name for a lab: 1 to 40 of a-z, 0-9 and -"):
        registry.directory(name)


def test_a_free_name_is_nobody_s() -> None:
    """Two labs of one process get two names."""
    first = registry.free_name("run")
    dead(first)

    assert registry.free_name("run") != first


@pytest.mark.parametrize("text", ["", '{"pid": 1', "[]", "{}"], ids=["empty", "half", "list", "nothing"])
def test_a_record_that_cannot_be_read_is_of_a_dead_lab(root: Path, text: str) -> None:
    """A full disk or a kill left it; it stops no command, and clean removes it."""
    with registry.claim("odd") as state:
        (state / "lab.json").write_text(text)

    assert [(info.name, info.alive) for info in registry.labs()] == [("odd", False)]
    assert provide.clean() == [f"lab odd: dead already; {root}/odd"]


def test_a_file_in_the_way_of_a_lab_is_named(root: Path) -> None:
    """It is not ours to remove."""
    root.mkdir()
    (root / "odd").touch()

    with pytest.raises(LabError, match="is in the way: it is a file"), registry.claim("odd"):
        pass
