"""Where components are looked for before anything is fetched, and what a wrong folder is answered."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lbproof.lab.components import ComponentError, ComponentOptions, binds_of, debian, ensure, find

if TYPE_CHECKING:
    from collections.abc import Callable


def program(path: Path) -> Path:
    """A file that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize("way", ["option", "environment"])
def test_a_folder_that_was_named_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """What the user gives is used as it is, and nothing else is asked."""
    mine = program(tmp_path / "mine/etcd")
    program(tmp_path / "cache/components/etcd/3.6.8/etcd")
    options = ComponentOptions(directory=mine.parent if way == "option" else None, cache=tmp_path / "cache")
    if way == "environment":
        monkeypatch.setenv("LBPROOF_COMPONENTS", str(mine.parent))
    said: list[str] = []

    assert ensure(["etcd"], progress=said.append, options=options) == {"etcd": mine}
    assert said == []


def test_what_a_named_folder_lacks_comes_from_the_cache(tmp_path: Path) -> None:
    """A folder of one's own kube-proxy alone is enough to try it."""
    mine = program(tmp_path / "mine/kube-proxy")
    cached = program(tmp_path / "cache/components/etcd/3.6.8/etcd")
    options = ComponentOptions(directory=mine.parent, cache=tmp_path / "cache")

    assert find("kube-proxy", options) == mine
    assert find("etcd", options) == cached


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda _: None, "there is no such folder"),
        (lambda folder: folder.mkdir(), "holds none of kube-apiserver, "),
        (lambda folder: program(folder / "etcd").chmod(0o644), "etcd is not executable"),
    ],
    ids=["missing", "wrong", "not executable"],
)
def test_a_wrong_folder_is_one_clear_line(tmp_path: Path, make: Callable[[Path], None], says: str) -> None:
    """The user's mistake is named; nothing is fetched instead."""
    folder = tmp_path / "mine"
    make(folder)

    with pytest.raises(ComponentError, match=says) as caught:
        find("etcd", ComponentOptions(directory=folder, cache=tmp_path / "cache"))

    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_component_is_named_with_those_that_there_are() -> None:
    """A misspelt name is answered by the list."""
    with pytest.raises(ComponentError, match=r"no component 'kubelte'; there are: kube-apiserver, "):
        find("kubelte")


def test_a_cache_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    """A file in the way of the cache is named."""
    (tmp_path / "file").touch()

    with pytest.raises(ComponentError, match=r"cannot be written: Not a directory; LBPROOF_CACHE can name another"):
        ensure(["etcd"], progress=lambda _: None, options=ComponentOptions(cache=tmp_path / "file"))


def test_a_program_that_is_not_static_says_what_it_needs_to_see() -> None:
    """The folders of its libraries are enough to run it in a root of its own; a static one needs none."""
    folders = binds_of("nginx", Path("/bin/sh"))

    assert any(any(Path(folder).glob("libc.so*")) for folder in folders)
    assert binds_of("etcd", Path("/bin/sh")) == ()


def test_an_unpacked_program_finds_the_libraries_that_were_unpacked_with_it(tmp_path: Path) -> None:
    """They come before the machine's own; a program that is installed is started as it is."""
    shell = Path("/bin/sh").resolve()
    ldd = subprocess.run(["ldd", shell], capture_output=True, text=True, check=True).stdout
    library = Path(re.findall(r"=> (/\S+/libc\.so\S*)", ldd)[0])
    made = tmp_path / "tree/usr/sbin/keepalived"
    beside = tmp_path / "tree/usr/lib/x86_64-linux-gnu" / library.name
    for source, copy in ((shell, made), (library, beside)):
        copy.parent.mkdir(parents=True)
        shutil.copy(source, copy)

    assert debian.environment(made) == {"LD_LIBRARY_PATH": str(beside.parent)}
    assert str(beside.parent) in debian.libraries(made)
    assert debian.environment(shell) == {}
    assert debian.tree_of(shell) is None
