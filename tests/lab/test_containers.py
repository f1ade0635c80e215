"""What a container runs and what is said of it: the pure parts of the kubelet's stand-in."""

from __future__ import annotations

import copy
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from lbproof.lab.base import Image
from lbproof.lab.common import image_names
from lbproof.lab.netns import container, images, status
from lbproof.lab.netns.probe import QUICK, ContainerProbe, port
from lbproof.lab.netns.volumes import File, publish

AT = "2026-01-02T03:04:05Z"


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("nginx", "nginx"),
        ("nginx:1.24.0", "nginx"),
        ("docker.io/library/nginx:1", "nginx"),
        ("quay.io/metallb/speaker:v0.15.2", "metallb/speaker"),
        ("localhost:5000/a/b/c@sha256:0123", "a/b/c"),
        ("lbproof/reference:dev", "lbproof/reference"),
    ],
)
def test_an_image_goes_by_its_repository(reference: str, name: str) -> None:
    """Registry, tag and digest do not matter."""
    assert image_names.repository(reference) == name


def test_the_image_mapped_last_counts() -> None:
    """A pattern that is added later goes before those that are known."""
    known = [*images.defaults({"agnhost": Path("/a"), "nginx": Path("/n")}), Image(pattern="ngin*", program="/mine")]

    assert images.find(known, "nginx:1") == known[-1]
    assert images.find(known, "registry.k8s.io/e2e-test-images/agnhost:2.57") == known[0]
    assert images.find(known, "other") is None
    assert images.defaults({}) == []


def test_command_and_args_mean_what_they_mean_to_kubernetes() -> None:
    """`command` replaces entrypoint and default arguments, `args` the latter alone."""
    image = Image(pattern="x", program="/p", args=("-a",), default_args=("-d",))

    assert container.argv(image, {}, {}) == ["/p", "-a", "-d"]
    assert container.argv(image, {"args": ["$(N)", "$(M)"]}, {"N": "1"}) == ["/p", "-a", "1", "$(M)"]
    assert container.argv(image, {"command": ["c"], "args": ["x"]}, {}) == ["c", "x"]
    assert container.expand("$$(N) $(N)", {"N": "1"}) == "$(N) 1"


def made(**more: Any) -> status.Container:  # noqa: ANN401 - any field
    """A container that runs, unless told otherwise."""
    return status.Container(**{"name": "c", "image": "i", "waiting": None, "pid": 7, "started": AT, **more})


def test_a_pod_s_phase_follows_its_containers() -> None:
    """Pending until all have started, then by how they ended and the restart policy."""
    done, failed = made(exited={"exitCode": 0}), made(exited={"exitCode": 1})
    waits = made(waiting=("ErrImagePull", ""), pid=0)

    assert status.phase([made(), waits], "Always") == "Pending"
    assert status.phase([made(), done], "Never") == "Running"
    assert status.phase([done, done], "Never") == "Succeeded"
    assert status.phase([done, failed], "Never") == "Failed"
    assert status.phase([done, failed], "OnFailure") == "Running"
    assert status.phase([done], "Always") == "Running"


def test_a_signal_shows_in_the_exit_code() -> None:
    """As with any container runtime: 128 and the signal."""
    ended = status.terminated(-9, AT, AT, 7)

    assert (ended["exitCode"], ended["signal"], ended["reason"]) == (137, 9, "Error")
    assert status.terminated(0, AT, AT, 7)["reason"] == "Completed"


def test_a_condition_keeps_its_time_until_it_changes() -> None:
    """`lastTransitionTime` is when it changed, not when it was posted."""
    first = status.conditions(networked=True, initialized=True, containers=[made()], before={}, at=AT)
    later = status.conditions(
        networked=True, initialized=True, containers=[made(ready=True)], before={"conditions": first}, at="later"
    )

    assert {row["type"]: (row["status"], row["lastTransitionTime"]) for row in later} == {
        "PodReadyToStartContainers": ("True", AT),
        "Initialized": ("True", AT),
        "ContainersReady": ("True", "later"),
        "Ready": ("True", "later"),
    }


def test_a_status_is_written_again_when_others_changed_it() -> None:
    """What the API omits as empty is no difference, nor are conditions of others; a changed Ready is."""
    address = [ip_address("10.244.1.2")]
    said = status.pod_status(
        node=address, addresses=address, started=AT, init=[], containers=[made(ready=True)], restart="Always", before={}
    )
    seen = without_empty(said)
    seen["conditions"].append({"type": "PodScheduled", "status": "True"})
    given_up = copy.deepcopy(seen)
    next(row for row in given_up["conditions"] if row["type"] == "Ready")["status"] = "False"

    assert status.shows(seen, said)
    assert not status.shows(given_up, said)
    assert not status.shows({}, said)


def without_empty(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Drop from JSON what an API server omits."""
    if isinstance(value, dict):
        return {key: without_empty(inner) for key, inner in value.items() if inner not in (None, "", {})}
    return [without_empty(inner) for inner in value] if isinstance(value, list) else value


def test_a_volume_belongs_to_the_pod_s_group(tmp_path: Path) -> None:
    """`fsGroup` can read every file, whatever its mode."""
    publish(tmp_path, {"a": File(data=b"1", mode=0o600, user=1000), "d/b": File(data=b"2", mode=0o444)}, group=7)
    found = {name: (tmp_path / name).stat() for name in ("..data", "a", "..data/d", "d/b")}

    assert {name: (oct(row.st_mode & 0o7777), row.st_uid, row.st_gid) for name, row in found.items()} == {
        "..data": ("0o2755", 0, 7),
        "a": ("0o640", 1000, 7),
        "..data/d": ("0o2755", 0, 7),
        "d/b": ("0o444", 0, 7),
    }


def test_a_probe_is_quick_until_its_first_success() -> None:
    """Then its period and its thresholds are the pod's."""
    probe = ContainerProbe({"periodSeconds": 3, "failureThreshold": 2, "successThreshold": 1}, {}, quick=True)
    seen = []
    for success, at in (
        (False, 0.0),
        (False, 1.0),
        (False, 2.0),
        (True, 3.0),
        (False, 6.0),
        (False, 9.0),
        (True, 12.0),
    ):
        probe.answered(success, at)
        seen.append((probe.passed, probe.failed, round(probe.due - at, 1)))

    assert seen[:3] == [(False, False, QUICK)] * 3
    assert seen[3:] == [(True, False, 3), (True, False, 3), (False, True, 3), (True, False, 3)]


def test_a_named_port_is_found() -> None:
    """By the container's own list; an unknown name is a port that nothing listens on."""
    container = {"ports": [{"name": "web", "containerPort": 80}]}

    assert (port(7, container), port("web", container), port("other", container)) == (7, 80, 0)


def test_a_volume_changes_in_one_step(tmp_path: Path) -> None:
    """Files are links through `..data`, which is swapped; what is no longer there goes."""
    publish(tmp_path, {"a": File(data=b"1"), "d/b": File(data=b"2")})
    first = (tmp_path / "..data").readlink()
    publish(tmp_path, {"a": File(data=b"1"), "d/b": File(data=b"2")})
    unchanged = (tmp_path / "..data").readlink()
    publish(tmp_path, {"a": File(data=b"3")})

    assert unchanged == first
    assert (tmp_path / "..data").readlink() != first
    assert (tmp_path / "a").read_bytes() == b"3"
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("..")) == ["a"]
    assert not (tmp_path / first).exists()
