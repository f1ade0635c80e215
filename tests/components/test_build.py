"""Programs are really built by `go build`, of a module of three lines through the recipes of the real ones."""

from __future__ import annotations

import re
import subprocess
import zipfile
from multiprocessing import get_context
from typing import TYPE_CHECKING

import pytest

from lbproof.lab.components import (
    VERSIONS,
    Build,
    Component,
    ComponentError,
    ComponentOptions,
    GoTree,
    catalogue,
    ensure,
    find,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MAIN = 'package main\nimport "os"\nvar stamp string\nfunc main() { os.Stdout.WriteString(os.Args[0] + " " + stamp) }\n'


@pytest.fixture
def known(tmp_path: Path) -> Mapping[str, Component]:
    """Two names of one program, and a plain file of the same read-only tree."""
    folder = tmp_path / "src"
    folder.mkdir()
    (folder / "go.mod").write_text("module tiny\n\ngo 1.26\n")
    (folder / "main.go").write_text(MAIN)
    (folder / "plain.yaml").write_text("kind: List\n")
    folder.chmod(0o555)
    tree = GoTree(folder=folder)
    both = Build(tree=tree, package=".", program="multi", ldflags="-s -w -X main.stamp=v1")
    found = [
        Component(name="red", version="1", build=both),
        Component(name="blue", version="1", build=both),
        Component(name="plain", version="1", build=Build(tree=tree, file="plain.yaml")),
    ]
    return {component.name: component for component in found}


@pytest.fixture
def options(tmp_path: Path) -> ComponentOptions:
    """A cache of the test's own."""
    return ComponentOptions(cache=tmp_path / "cache")


def bring(known: Mapping[str, Component], options: ComponentOptions, said: list[str]) -> dict[str, Path]:
    """Everything there is to know, through the public way."""
    return ensure(known, progress=said.append, options=options, known=known)


def bring_in_a_process(known: Mapping[str, Component], options: ComponentOptions) -> None:
    """What one of several processes does; its exit code is 0 when it has everything."""
    assert set(bring(known, options, [])) == set(known)


def test_a_program_is_built_once_for_all_its_names(known: Mapping[str, Component], options: ComponentOptions) -> None:
    """Each name runs and sees the name that it was called by; the plain file is the tree's own."""
    said: list[str] = []
    paths = bring(known, options, said)
    outputs = [subprocess.check_output([paths[name]], text=True) for name in ("red", "blue")]

    assert outputs == [f"{paths[name]} v1" for name in ("red", "blue")]
    assert paths["red"].readlink() == paths["blue"].readlink()
    assert said.count("building multi from Go modules") == 1
    assert paths["plain"].read_text() == "kind: List\n"


def test_sources_that_do_not_build_are_one_line(
    known: Mapping[str, Component], options: ComponentOptions, tmp_path: Path
) -> None:
    """The compiler's reason is in the error, and the cache stays empty."""
    (tmp_path / "src/main.go").write_text("package main\nfunc main() { nonsense() }\n")

    with pytest.raises(ComponentError, match=r"red, blue, plain cannot be had: building multi .*undefined: nonsense"):
        bring(known, options, [])

    assert find("red", options, known=known) is None
    assert not (options.cache / "components/.staging").exists()


def test_two_processes_that_want_the_same_build_it_once_and_both_have_it(
    known: Mapping[str, Component], options: ComponentOptions
) -> None:
    """The second waits for the first and then finds everything in the cache."""
    context = get_context("spawn")
    processes = [context.Process(target=bring_in_a_process, args=(known, options)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert [process.exitcode for process in processes] == [0, 0]
    assert find("blue", options, known=known) is not None


def test_without_go_the_error_says_what_to_install(
    known: Mapping[str, Component], options: ComponentOptions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One line names the Go that is needed and where it comes from."""
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ComponentError, match=r"no `go` on PATH; install Go 1\.26 or newer from https://go\.dev/dl"):
        bring(known, options, [])


@pytest.mark.parametrize("variable", ["LBPROOF_CACHE", "TMPDIR"])
def test_a_full_disk_is_named_with_what_is_needed(
    known: Mapping[str, Component], small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """Wherever the disk is full, the error says which folder, how much it takes and how to choose another."""
    monkeypatch.setenv("LBPROOF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(variable, str(small))
    monkeypatch.setattr("tempfile.tempdir", None)
    options = ComponentOptions()

    with pytest.raises(ComponentError, match=rf"disk of {small}.* is full .*3 GB .*TMPDIR can point to another disk"):
        bring(known, options, [])

    assert find("red", options, known=known) is None


def test_the_versions_are_those_of_the_go_module() -> None:
    """The pinned versions and sums, and what go.mod and go.sum name, are the same."""
    known = catalogue()
    build = known["etcd"].build
    assert build is not None
    assert build.tree.folder is not None
    module = (build.tree.folder / "go.mod").read_text()
    sums = (build.tree.folder / "go.sum").read_text()

    assert f"k8s.io/kubernetes v{known['kubectl'].version}\n" in module
    assert f"go.etcd.io/etcd/server/v3 v{known['etcd'].version}\n" in module
    assert f"k8s.io/kubernetes v{VERSIONS['kubernetes']} {VERSIONS['kubernetes-sum']}\n" in sums
    assert f"go.etcd.io/etcd/server/v3 v{VERSIONS['etcd']} {VERSIONS['etcd-sum']}\n" in sums


@pytest.fixture
def proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module proxy in a folder, which serves one module of one program."""
    folder = tmp_path / "proxy/example.com/tiny/@v"
    folder.mkdir(parents=True)
    (folder / "v1.0.0.info").write_text('{"Version": "v1.0.0"}')
    (folder / "v1.0.0.mod").write_text("module example.com/tiny\n")
    with zipfile.ZipFile(folder / "v1.0.0.zip", "w") as archive:
        archive.writestr("example.com/tiny@v1.0.0/go.mod", "module example.com/tiny\n")
        archive.writestr("example.com/tiny@v1.0.0/main.go", MAIN)
    monkeypatch.setenv("GOPROXY", f"file://{tmp_path}/proxy")
    monkeypatch.setenv("GOMODCACHE", str(tmp_path / "modules"))


@pytest.mark.usefixtures("proxy")
def test_a_module_with_another_sum_than_the_pinned_one_is_one_line(options: ComponentOptions) -> None:
    """Which module, and both sums; nothing of it is kept."""
    pinned = "h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
    tree = GoTree(module="example.com/tiny@v1.0.0", sum=pinned)
    one = Component(name="tiny", version="1.0.0", build=Build(tree=tree, package="."))

    with pytest.raises(ComponentError) as caught:
        bring({"tiny": one}, options, [])

    said = re.escape("tiny cannot be had: the module example.com/tiny@v1.0.0 has the sum ")
    assert re.fullmatch(rf"{said}h1:\S+=; pinned is {re.escape(pinned)}; nothing of it is kept", str(caught.value))
    assert [path for path in options.cache.rglob("*") if path.is_file() and path.name != ".lock"] == []


@pytest.mark.usefixtures("proxy")
def test_a_module_that_no_go_sum_names_is_not_built(
    options: ComponentOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even where the user's own settings of Go would accept it."""
    settings = tmp_path / "go-env"
    settings.write_text("GOFLAGS=-mod=mod\n")
    monkeypatch.setenv("GOENV", str(settings))
    folder = tmp_path / "unpinned"
    folder.mkdir()
    (folder / "go.mod").write_text("module unpinned\n\ngo 1.26\n\nrequire example.com/tiny v1.0.0\n")
    (folder / "main.go").write_text('package main\nimport _ "example.com/tiny"\nfunc main() {}\n')
    one = Component(name="unpinned", version="1", build=Build(tree=GoTree(folder=folder), package="."))

    with pytest.raises(ComponentError, match=r"missing go\.sum entry for (go\.mod file|module)"):
        bring({"unpinned": one}, options, [])
