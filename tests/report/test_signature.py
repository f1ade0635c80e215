"""A signed report says who answers for it; a signature of other files, or by somebody else, is refused."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner
from tests.report.forging import remake_sums

from lbproof.report import bundle, verify
from lbproof.report.folder import SIGNATURE, SUMS
from lbproof.run.cli import cli

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two SSH keys, `alice` and `mallory`, and the file `signers`, which allows Alice to sign reports."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("alice", "mallory"):
        new = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
        subprocess.run(new, check=True)
    public = (folder / "alice.pub").read_text()
    (folder / "signers").write_text(f'alice@example.org namespaces="lbproof-report" {public}')
    return folder


def sign(whole: Path, key: Path) -> None:
    """Sign a folder by the command."""
    done = CliRunner().invoke(cli, ["report", "sign", str(whole), "--key", str(key)])
    assert done.exit_code == 0, done.output


def test_a_signed_report_says_who_answers_for_it(whole: Path, keys: Path) -> None:
    """Without the file of signers it says by which key, and that it is not proven whose key that is."""
    assert verify.verify(whole, keys / "signers") == [f"{SIGNATURE} is missing: the report is not signed"]
    sign(whole, keys / "alice")

    assert verify.verify(whole) == verify.verify(whole, keys / "signers") == []
    assert any("not proven: whose key it is" in line for line in verify.summary(whole))
    known = verify.summary(whole, keys / "signers")
    assert any(line.startswith('signed: Good "lbproof-report" signature for alice@example.org') for line in known)
    assert "not proven: that the run took place as recorded (the signer answers for it)" in known


def test_a_signature_that_does_not_fit_is_refused(whole: Path, keys: Path) -> None:
    """One of another signer, one of other files, and what is no signature at all."""
    sign(whole, keys / "mallory")
    assert verify.verify(whole) == []
    assert verify.verify(whole, keys / "signers")[0].startswith(f"{SIGNATURE}: not by a signer of")

    sign(whole, keys / "alice")
    (whole / "evidence").mkdir(exist_ok=True)
    (whole / "evidence" / "more.txt").write_text("added\n")
    remake_sums(whole)
    for signers in (None, keys / "signers"):
        assert verify.verify(whole, signers)[0].startswith(f"{SIGNATURE}: not a signature of {SUMS}: ")

    (whole / SIGNATURE).write_text("\033[2Jnone\n")
    assert verify.verify(whole)[0].startswith(f"{SIGNATURE}: not a signature of {SUMS}: ")


def test_a_report_that_is_made_again_keeps_the_signature_of_the_same_files_alone(whole: Path, keys: Path) -> None:
    """A report is written again by the same bytes; a signature of other files is removed."""
    sign(whole, keys / "alice")
    bundle.write(whole)
    assert verify.verify(whole, keys / "signers") == []

    (whole / "logs").mkdir()
    (whole / "logs" / "late.log").write_text("late\n")
    bundle.write(whole)
    assert verify.verify(whole, keys / "signers") == [f"{SIGNATURE} is missing: the report is not signed"]


def test_only_a_folder_in_order_is_signed(whole: Path, keys: Path) -> None:
    """And only a folder has a signature."""
    assert "a signature covers the run's folder" in verify.verify(whole / "report.json", keys / "signers")[0]
    (whole / "report.html").write_text("all is well\n")

    done = CliRunner().invoke(cli, ["report", "sign", str(whole), "--key", str(keys / "alice")])
    assert done.exit_code == 2
    assert "is not signed: report.html: changed since" in done.output
    assert not (whole / SIGNATURE).exists()
