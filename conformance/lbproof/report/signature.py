"""Signature of a run's manifest by OpenSSH (`ssh-keygen -Y`): who answers for the files of a report.

The signature covers `SHA256SUMS`, and thereby every file of the folder. `ssh-keygen` makes and verifies it, with any
key that OpenSSH has, also one of an agent or a hardware token; formats are in ssh-keygen(1), ALLOWED SIGNERS, and in
OpenSSH's PROTOCOL.sshsig.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from lbproof.files import write_whole
from lbproof.report.folder import SIGNATURE, SUMS
from lbproof.spec import BadOption

if TYPE_CHECKING:
    from pathlib import Path

NAMESPACE = "lbproof-report"
"""Namespace of the signature: one that was made for something else is not valid here."""
_TIMEOUT = 120.0
"""Seconds for `ssh-keygen`, which may wait for a passphrase or for a touch of a token."""


def sign(run: Path, key: Path) -> None:
    """Sign the manifest of a run with a private key, or with the agent's for a public key. Raises `BadOption`."""
    if not (run / SUMS).is_file():
        raise BadOption(f"{run / SUMS} is missing: generate it with lbproof report html {run}")
    done = _ssh_keygen("sign", "-f", str(key), run=run)
    if done.returncode:
        raise BadOption(f"ssh-keygen could not sign with {key}: {_reason(done)}")
    write_whole(run / SIGNATURE, done.stdout)


def verify(run: Path, signers: Path | None) -> tuple[list[str], str]:
    """Verify the signature of a run's manifest; return problems, and a line about what is proven when there are none.

    `signers`: file of allowed signers; without it, a signature is verified with the key that it holds itself.
    """
    if not (run / SIGNATURE).is_file():
        return ([f"{SIGNATURE} is missing: the report is not signed"] if signers else []), ""
    mine = ["-s", str(run / SIGNATURE)]
    try:
        if signers is None:
            done = _ssh_keygen("check-novalidate", *mine, run=run)
            told = "; not proven: whose key it is (verify with --signers)"
        else:
            found = _ssh_keygen("find-principals", *mine, "-f", str(signers), run=run)
            if found.returncode or not found.stdout.strip():
                return [f"{SIGNATURE}: not by a signer of {signers}: {_reason(found)}"], ""
            who = found.stdout.splitlines()[0].split(",")[0]
            done = _ssh_keygen("verify", *mine, "-f", str(signers), "-I", who, run=run)
            told = ""
    except BadOption as error:
        return [str(error)], ""
    if done.returncode:
        return [f"{SIGNATURE}: not a signature of {SUMS}: {_reason(done)}"], ""
    return [], f"signed: {' '.join(done.stdout.split())}{told}"


def _ssh_keygen(do: str, *arguments: str, run: Path) -> subprocess.CompletedProcess[str]:
    """Run `ssh-keygen -Y` on the manifest. Raises `BadOption` when there is no ssh-keygen, or it does not end."""
    command = ["ssh-keygen", "-Y", do, "-n", NAMESPACE, *arguments]
    try:
        with (run / SUMS).open("rb") as manifest:
            return subprocess.run(
                command, stdin=manifest, capture_output=True, text=True, errors="replace", check=False, timeout=_TIMEOUT
            )
    except FileNotFoundError:
        raise BadOption("ssh-keygen is missing: install OpenSSH's client") from None
    except subprocess.TimeoutExpired:
        raise BadOption(f"ssh-keygen did not end within {_TIMEOUT:g} s") from None


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join((done.stderr or done.stdout).split()) or f"exit code {done.returncode}"
