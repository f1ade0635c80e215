"""The doctor tries the kernel, looks for programs and components, and says exactly what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lbproof.lab import doctor
from lbproof.lab.base import LabError
from lbproof.lab.common import environment
from lbproof.lab.components import ComponentOptions
from lbproof.lab.doctor import Finding, State
from lbproof.lab.netns import doctor as netns_doctor
from lbproof.lab.netns import kernel_features
from lbproof.spec.families import Family


def test_a_machine_that_can_have_a_lab_is_told_so() -> None:
    """On a machine where the other tests run, nothing but components may be missing, and nothing is left behind."""
    before = set(Path("/sys/class/net").iterdir())
    findings = netns_doctor.examine()

    assert {f.what: f.detail for f in findings if f.state is State.MISSING and f.what not in {"go", "disk"}} == {}
    assert set(Path("/sys/class/net").iterdir()) == before


def test_missing_components_are_no_reason_against_a_lab(tmp_path: Path) -> None:
    """They come when they are first needed, and the finding says from where."""
    findings = netns_doctor.examine(ComponentOptions(cache=tmp_path, mirror="http://127.0.0.1:1"))
    etcd = next(finding for finding in findings if finding.what == "etcd")

    assert etcd.state is State.UNKNOWN
    assert "download from http://127.0.0.1:1, else build from Go modules" in etcd.detail


def test_a_program_that_is_missing_is_named_with_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is missing stands in one line, with the command that brings it."""
    for name in ("unshare", "ip", "mount", "nft", "iptables", "ip6tables"):
        (tmp_path / name).symlink_to(subprocess.check_output(["which", name], text=True).strip())
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(environment, "SBIN", ())

    with pytest.raises(LabError) as caught:
        netns_doctor.require({})

    message = str(caught.value)
    assert "nsenter: there is no such program; conntrack: there is no such program" in message
    assert "apt-get install --no-install-recommends util-linux; apt-get install --no-install-rec" in message
    assert "\n" not in message


def test_a_kernel_without_ipv6_is_no_reason_against_a_lab_of_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a lab of both families or of IPv6 needs it, and the finding says how to do without."""
    tried = dict.fromkeys(kernel_features.FEATURES, "") | {kernel_features.IPV6: "ip -6 …: Operation not supported"}
    done = subprocess.CompletedProcess([], 0, stdout=json.dumps(tried), stderr="")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)

    netns_doctor.require({}, [Family.IPV4])
    with pytest.raises(LabError, match=r"IPv6: .*lacks it.* not supported.*or use a lab with --families ipv4, another"):
        netns_doctor.require({})


def test_who_is_not_root_is_told_so() -> None:
    """The kernel cannot be tried then, and nothing pretends that it was."""
    code = (
        "import os; from lbproof.lab.netns import doctor\n"
        "os.setuid(65534)\n"
        "print(*(f'{f.what}={f.state}' for f in doctor.examine() if f.what in {'root', 'veth'}))\n"
        "doctor.require({})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"LBPROOF_CACHE": "/nowhere"},
    )

    assert done.stdout == "root=missing veth=unknown\n"
    assert "no lab can be had here: root: not root: user 65534" in done.stderr


def test_a_person_reads_one_line_for_each_finding_and_what_to_run_below() -> None:
    """Columns stand under each other; a remedy follows its finding."""
    findings = [
        Finding(what="ip", state=State.OK, detail="/sbin/ip"),
        Finding(what="conntrack", state=State.MISSING, detail="there is no such program", remedy="apt-get install x"),
    ]

    assert doctor.lines(findings) == [
        "ok       ip         /sbin/ip",
        "missing  conntrack  there is no such program",
        "                    → apt-get install x",
    ]
    assert not doctor.usable(findings)
