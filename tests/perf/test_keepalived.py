"""keepalived as the control: its configuration, as it reads it itself, and its address, as the wire shows it."""

from __future__ import annotations

import functools
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbproof.adapters.base import WorkloadRole
from lbproof.adapters.validation import validate
from lbproof.lab.base import Capability, LabError, Topology
from lbproof.lab.components import debian, ensure
from lbproof.probe.protocol import bytes_of, text_of
from lbproof.witnesses import http, neighbours
from lbproof_perf.outage_probe.jitter import JitterLog
from lbproof_perf.sut import arms, deployment, keepalived
from lbproof_perf.sut.keepalived import Keepalived, configuration, version_of
from lbproof_perf.sut.system import SystemUnderTest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lbproof.spec.families import IPAddress
    from lbproof_perf.sut.deployment import Deployment


@pytest.fixture(scope="module")
def program() -> Path:
    """The program, as a lab has it."""
    return ensure(["keepalived"], progress=print)["keepalived"]


@pytest.fixture(scope="module")
def control() -> Iterator[Deployment]:
    """A lab with keepalived at the reference's timers."""
    with deployment.opened(arms.find("keepalived-50ms"), Topology(workers=2), components=None, say=print) as made:
        yield made


@pytest.fixture(scope="module")
def address(control: Deployment) -> IPAddress:
    """An address that keepalived announces, of a Service whose backend no cut takes away."""
    app = control.check.web("backend", nodes=[control.lab.nodes[0].name])
    return control.expose("control", {"app": app})


def echoed(control: Deployment, address: IPAddress, text: str) -> str:
    """What the address answers to a UDP datagram at the client."""
    asked = {"host": str(address), "port": 80, "payload": text_of(f"echo {text}".encode()), "count": 1, "ttl": 64}
    found = control.lab.client().probe().call("udp", within=2, wait=2, source=0, enough=1, **asked)
    return "".join(bytes_of(record[2]).decode() for record in found.records if record[0] == "received")


def priorities(text: str) -> dict[str, int]:
    """Node → its priority in a configuration."""
    return {node: int(found) for node, found in re.findall(r"@(\S+) priority (\d+)", text)}


@pytest.mark.parametrize("advertisement", [1.0, 0.05, 0.01])
@pytest.mark.parametrize("real_time", [0, 1])
def test_keepalived_itself_takes_the_configuration(
    program: Path, tmp_path: Path, advertisement: float, real_time: int
) -> None:
    """Its own test of a configuration has nothing to say, on whichever node."""
    path = tmp_path / "keepalived.conf"
    made = configuration(
        ["198.18.0.1", "198.18.0.2"], ["w01", "w02"], interface="eth0", advertisement=advertisement, real_time=real_time
    )
    path.write_text(made)
    # the interface is looked for: it is in a namespace that ends with the program
    inside = ["unshare", "--net", "sh", "-c", 'ip link add eth0 type veth peer name other; exec "$@"', "sh"]
    done = subprocess.run(
        [*inside, program, f"--config-test={tmp_path / 'said'}", "--vrrp", "--config-id=w02", f"--use-file={path}"],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **debian.environment(program)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, (tmp_path / "said").read_text()) == (0, ""), done.stdout + done.stderr


@given(st.integers(1, 250))
def test_every_node_has_a_priority_of_its_own(count: int) -> None:
    """The skew of the first is least, none is 0 or 255, which VRRP keeps for itself."""
    nodes = [f"w{n}" for n in range(count)]
    found = priorities(configuration(["198.18.0.1"], nodes, interface="eth0", advertisement=1))

    assert list(found) == nodes
    assert len(set(found.values())) == count
    assert max(found.values()) == found["w0"] == 250
    assert min(found.values()) >= 1


@pytest.mark.parametrize("seconds", [0, 0.004, 0.055, 41])
def test_an_interval_that_vrrp_cannot_say_is_refused(seconds: float) -> None:
    """It would be rounded on the way, and the figure be of another interval."""
    with pytest.raises(ValueError, match="hundredths of a second"):
        configuration(["198.18.0.1"], ["w01"], interface="eth0", advertisement=seconds)


def test_more_nodes_than_priorities_are_refused() -> None:
    """Two of the same priority would take over at once."""
    with pytest.raises(ValueError, match="251 nodes: there are 250 priorities"):
        configuration(["198.18.0.1"], ["w"] * 251, interface="eth0", advertisement=1)


def test_a_control_claims_nothing() -> None:
    """It is an adapter in order, and of none of its members that only a controller has anything is asked."""
    assert validate(Keepalived(), "keepalived").features == frozenset({"core"})


def test_a_program_that_is_another_is_named(program: Path) -> None:
    """The version is the program's own word."""
    assert re.fullmatch(r"v\d+\.\d+\.\d+", version_of(program))
    with pytest.raises(LabError, match="/bin/true --version"):
        version_of(Path("/bin/true"))


def test_a_program_that_does_not_end_has_no_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not waited for without limit."""
    program = tmp_path / "keepalived"
    program.write_text("#!/bin/sh\nexec sleep 60\n", encoding="ascii")
    program.chmod(0o755)
    monkeypatch.setattr(keepalived, "WITHIN", 0.2)

    with pytest.raises(LabError, match=r"keepalived --version: no end within 0\.2 s"):
        version_of(program)


def test_it_serves_an_address_as_an_implementation_does(control: Deployment, address: IPAddress) -> None:
    """HTTP and UDP are answered at it, one node answers ARP, and that node has it on its interface."""
    served = control.check.serves(control.check.client, address)
    echo = echoed(control, address, "beep")
    answerers = control.check.answerers(address)
    holders = control.check.interfaces_with(address)

    assert served
    assert echo == "beep"
    assert len(answerers) == 1
    assert holders == [f"{answerers.pop()}/eth0"]


def test_it_moves_when_its_node_dies_and_stays_when_that_is_back(control: Deployment, address: IPAddress) -> None:
    """A power cut takes keepalived with its node; the reboot starts it again, and it takes nothing from the other."""
    check = control.check
    before = check.announcer(address, budget="one_answerer")
    with check.fault(Capability.NODE_CRASH, functools.partial(control.lab.node_crash, before.name)):
        after = check.announcer(address, but=before.name, budget="one_answerer")
        served = http.get(check.client, address, 80, "/hostname", timeout=2).status
    control.run.nodes_ready()
    control.run.workloads.rolled_out()
    check.wait.consistently(
        lambda: sorted(check.answerers(address)),
        lambda who: who == [after.name],
        what=f"{after.name} alone answers for {address}",
        budget="stays_assigned",
    )

    assert served == 200
    assert {node for node, _, _ in control.run.workloads.pods(WorkloadRole.ANNOUNCER)} == {before.name, after.name}


def test_a_client_that_used_another_node_before_is_hit_by_the_fault(control: Deployment, address: IPAddress) -> None:
    """Every node forwards, so a client with an old entry would go on through a fault of the announcer."""
    check = control.check
    announcer = check.announcer(address, budget="one_answerer")
    other = next(node for node in control.lab.nodes[1:] if node != announcer)
    neighbours.pin(check.client, address, other.mac, "PERMANENT")

    with JitterLog(control.lab.client()) as jitter:
        (seen,) = SystemUnderTest(deployment=control, address=address, jitter=jitter).watch("power-cut")

    assert seen.announcer == announcer
    assert seen.outage.values()["lost"]
