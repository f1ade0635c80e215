"""The command as another user than root, on a machine where root has a lab: one line, no traceback, no wrong reason."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lbproof.lab import registry
from lbproof.lab.base import Topology

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
NOBODY = "65534"
WHAT_IT_NEEDS = (Path(sys.base_prefix), Path(sys.prefix), ROOT)
AS_NOBODY = """
set -e
mount --make-rprivate /
keep=$(mktemp -d); number=0
for path in $HIDDEN; do
    number=$((number + 1)); mkdir "$keep/$number"; mount --bind "$path" "$keep/$number"
done
for top in $TOPS; do mount -t tmpfs -o mode=755 none "$top"; done
number=0
for path in $HIDDEN; do
    number=$((number + 1)); mkdir -p "$path"; mount --bind "$keep/$number" "$path"
done
[ -z "$HIDDEN" ] || { umount -l "$keep"/*; rmdir "$keep"/*; }
rmdir "$keep"
cd "$FOLDER"
exec setpriv --reuid=$NOBODY --regid=$NOBODY --clear-groups env HOME="$FOLDER" "$@"
"""
"""Shell script for a mount namespace: the interpreter and the packages are reachable, though below a home of root's."""
COMMAND = """
import sys
import tempfile
from pathlib import Path
from lbproof.lab import registry
from lbproof.run import cli
registry.ROOT = Path(sys.argv.pop(1))
cli.main()
"""
BELONGS = "lab mine belongs to root: run the command as that user, for instance with sudo"


def _hidden(path: Path) -> bool:
    return any(not parent.stat().st_mode & 1 for parent in (path, *path.parents))


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder that every user may enter; each start of pytest closes its own to other users."""
    with tempfile.TemporaryDirectory(prefix="lbproof-test-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The command as `nobody`, in a folder that it can write, beside root's lab `mine` and root's folder `secret`."""
    (tmp_path / "home").mkdir()
    os.chown(tmp_path / "home", int(NOBODY), int(NOBODY))
    (tmp_path / "secret").mkdir(mode=0o700)
    monkeypatch.setattr(registry, "ROOT", tmp_path / "labs")
    with registry.claim("mine"):
        registry.record("mine", os.getpid(), Topology(), provider="netns")
    hidden = [path for path in WHAT_IT_NEEDS if _hidden(path)]

    def go(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", COMMAND, str(tmp_path / "labs"), *arguments]
        return subprocess.run(
            ["unshare", "--mount", "sh", "-c", AS_NOBODY, "sh", *command],
            env={
                **os.environ,
                "HIDDEN": " ".join(map(str, hidden)),
                "TOPS": " ".join({f"/{path.parts[1]}" for path in hidden}),
                "FOLDER": str(tmp_path / "home"),
                "NOBODY": NOBODY,
                "PYTHONDONTWRITEBYTECODE": "1",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return go


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ("lab list", 0, "mine             belongs to root"),
        ("lab down mine", 69, BELONGS),
        ("lab kubeconfig mine", 69, BELONGS),
        ("lab exec --name mine client true", 69, BELONGS),
        ("lab up --name mine", 69, "root: not root: user 65534 may not make network namespaces"),
        ("run --lab mine", 69, BELONGS),
        ("run --lab other", 69, "no lab other is up; there are: mine"),
        ("adapter check reference --lab mine", 69, BELONGS),
        ("run", 69, "root: not root: user 65534 may not make network namespaces"),
        ("bench failover --arm reference", 69, "root: not root: user 65534 may not make network namespaces"),
        ("run --results ../secret/runs", 64, "results folder ../secret/runs: Permission denied"),
        ("run --rerun ../secret/run", 64, "../secret/run: Permission denied"),
        ("run --options ../secret/options.toml", 64, "options file ../secret/options.toml: Permission denied"),
        ("report html ../secret", 64, "Directory '../secret' is not readable"),
    ],
)
def test_what_belongs_to_another_user_is_told(
    nobody: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, arguments: str, code: int, says: str
) -> None:
    """Whose it is and what to do; a command that needs none of it is not hindered."""
    done = nobody(*arguments.split())

    assert done.returncode == code, done.stdout + done.stderr
    assert says in " ".join((done.stdout + done.stderr).split()) or says in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert "a bug in lbproof" not in done.stdout + done.stderr
    assert (tmp_path / "labs" / "mine" / "lab.json").exists()


def test_clean_leaves_labs_of_others_alone(
    nobody: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    """It removes what this user's labs left."""
    done = nobody("clean", "--all")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing to remove" in done.stdout
    assert (tmp_path / "labs" / "mine" / "lab.json").exists()
