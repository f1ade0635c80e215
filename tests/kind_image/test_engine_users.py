"""`tools/with-engine`: who starts an engine, and when it is stopped. The engine here is a fake that notes its calls."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lbproof.witnesses.wait import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
FAKE_ENGINE = """#!/bin/sh
echo "$1" >>{calls}
case $1 in
start) touch {up}; echo 'export FAKE_ENGINE=1';;
stop) rm {up};;
status) [ -e {up} ];;
esac
"""
WAITS = 'while [ ! -e "$1" ]; do sleep 0.02; done'
DEADLINE_SECONDS = 20

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="an engine takes root")


class Checkout:
    """A folder with `tools/with-engine`, a fake engine and no `docker`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.up = folder / "up"
        self.users: list[subprocess.Popen[str]] = []
        for name in ("tools", "kind-configs/engine", "run", "bin"):
            (folder / name).mkdir(parents=True)
        shutil.copy(ROOT / "tools/stage", folder / "tools/stage")
        text = (ROOT / "tools/with-engine").read_text()
        self._written("tools/with-engine", text.replace("/run/lbproof", str(folder / "run")))
        self._written("kind-configs/engine/engine", FAKE_ENGINE.format(calls=folder / "calls", up=self.up))
        self._written("bin/docker", "#!/bin/sh\nexit 1\n")

    def _written(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)
        (self.folder / name).chmod(0o755)

    def start(self, end: str, *, prints: str = "") -> subprocess.Popen[str]:
        """A user of the engine, which ends when the file of this name is there."""
        script = f"echo began >{self.folder / end}.began; {WAITS}; echo {prints}"
        environment = {"PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}"}
        words = [str(self.folder / "tools/with-engine"), "sh", "-c", script, "sh", str(self.folder / end)]
        user = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
        self.users.append(user)
        eventually((self.folder / f"{end}.began").exists, bool, what=f"{end} has begun", within=DEADLINE_SECONDS)
        return user

    def end(self, end: str, user: subprocess.Popen[str]) -> str:
        """What it printed, once it has ended."""
        (self.folder / end).touch()
        printed, _ = user.communicate(timeout=DEADLINE_SECONDS)
        return printed

    def calls(self) -> list[str]:
        """What the engine was told, without questions for its state."""
        return [call for call in (self.folder / "calls").read_text().split() if call != "status"]


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Checkout]:
    """A folder with a fake engine; nothing that was started there is left."""
    made = Checkout(tmp_path)
    yield made
    for user in made.users:
        if user.poll() is None:
            os.killpg(user.pid, signal.SIGKILL)
            user.communicate()


def test_the_last_user_stops_the_engine(checkout: Checkout) -> None:
    """Who started it may end first: the engine stays for the other one."""
    first, second = checkout.start("first"), checkout.start("second", prints="$FAKE_ENGINE")
    checkout.end("first", first)
    assert checkout.up.exists()
    assert "\n1\n" in checkout.end("second", second)
    assert checkout.calls() == ["start", "start", "stop"]
    assert (first.returncode, second.returncode) == (0, 0)


def test_a_user_that_is_interrupted_stops_its_engine(checkout: Checkout) -> None:
    """Ctrl-C reaches the command and the script; what the command started and left does not keep the engine."""
    user = checkout.start("user")
    os.killpg(user.pid, signal.SIGINT)
    user.communicate(timeout=DEADLINE_SECONDS)
    assert user.returncode == 130
    assert checkout.calls() == ["start", "stop"]


def test_an_engine_that_was_up_stays(checkout: Checkout) -> None:
    """`make kind-engine` is a person's own."""
    checkout.up.touch()
    checkout.end("user", checkout.start("user"))
    assert checkout.calls() == ["start"]


def test_the_next_user_starts_it_anew(checkout: Checkout) -> None:
    """Nothing of a stopped engine's users is left."""
    for name in ("one", "two"):
        checkout.end(name, checkout.start(name))
    assert checkout.calls() == ["start", "stop", "start", "stop"]
