"""What a hostile shell and home folder do to the programs that lbproof starts: nothing that is not meant."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lbproof.lab.common import environment
from lbproof.lab.components import build, debian

if TYPE_CHECKING:
    from collections.abc import Mapping


def test_a_program_of_a_lab_has_a_closed_environment(hostile: Mapping[str, str]) -> None:
    """PATH and TMPDIR are the user's, a home folder there is not, and the language is none."""
    made = environment.closed()

    assert made.keys() - {"TMPDIR"} == {"PATH", "HOME", "LC_ALL"}
    assert not set(made.values()) & set(hostile.values())
    assert "/sbin" in made["PATH"].split(":")
    assert environment.closed()["PATH"] == made["PATH"]


def test_python_finds_the_same_packages_without_the_user_s_variables(hostile: Mapping[str, str]) -> None:
    """Only the folders of lbproof and of packages of this user are added to what the interpreter has by itself."""
    code = (
        "import json, os, sys, lbproof, kubernetes\n"
        "maps = open('/proc/self/maps').read()\n"
        "print(json.dumps([lbproof.__file__, kubernetes.__file__, sys.path, dict(os.environ), maps]))"
    )
    argv = [sys.executable, "-P", "-c", code]
    done = subprocess.run(argv, env=environment.python(), capture_output=True, text=True, check=True)
    lbproof, kubernetes, path, variables, maps = json.loads(done.stdout)

    assert lbproof == sys.modules["lbproof"].__file__
    assert Path(kubernetes).exists()
    assert hostile["PYTHONPATH"] not in path
    assert not set(variables.values()) & set(hostile.values())
    assert Path(hostile["LD_PRELOAD"]).name not in maps


def test_a_build_keeps_how_the_internet_is_reached_and_nothing_that_changes_its_result(
    hostile: Mapping[str, str],
) -> None:
    """A proxy, certificates and the home folder with Go's caches are meant; a platform of the user's is not."""
    made = build.environment()

    assert {name: made[name] for name in ("HTTPS_PROXY", "SSL_CERT_FILE", "HOME")}.items() <= hostile.items()
    assert not made.keys() & {"GOOS", "GODEBUG", "GOMAXPROCS", "LD_PRELOAD", "PYTHONPATH", "TZ"}
    assert (made["LC_ALL"], made["GOFLAGS"], made["CGO_ENABLED"]) == ("C.UTF-8", "-mod=readonly", "0")


@pytest.mark.usefixtures("hostile")
def test_a_preloaded_library_is_none_of_a_program_s() -> None:
    """What ldd prints is the program's own."""
    assert not any("BrokenLocale" in name for name in debian.libraries(Path("/bin/sh")))


def test_the_user_s_own_program_has_the_user_s_environment_but_no_proxy(hostile: Mapping[str, str]) -> None:
    """`lab exec` runs what the user types, where no proxy can be reached."""
    made = environment.of_user()

    assert made["KUBECONFIG"] == hostile["KUBECONFIG"]
    assert not made.keys() & {"HTTPS_PROXY", "http_proxy"}
