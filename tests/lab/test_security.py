"""A `securityContext` as containerd and a kubelet understand it: the pure part of containment."""

from __future__ import annotations

from typing import Any

import pytest

from lbproof.lab.base import Image
from lbproof.lab.netns import security
from lbproof.lab.netns.security import ConfigError, Privileges

IMAGE = Image(pattern="x", program="/x")
ALL = (1 << len(security.CAPABILITIES)) - 1


def privileges(
    container: dict[str, Any] | None = None,
    pod: dict[str, Any] | None = None,
    image: Image = IMAGE,
    available: int = ALL,
) -> Privileges:
    """Privileges of a container with two security contexts."""
    spec = {"name": "c", "image": "i", "securityContext": container}
    return security.privileges({"securityContext": pod, "containers": [spec]}, spec, image, available)


def names(mask: int) -> set[str]:
    """Capabilities of a bit mask."""
    return {name for number, name in enumerate(security.CAPABILITIES) if mask >> number & 1}


def test_a_container_without_context_is_root_with_the_runtime_s_capabilities() -> None:
    """The defaults of containerd: no administration, and a way up by set-user-ID files."""
    found = privileges()

    assert (found.user, found.group, found.groups) == (0, 0, (0,))
    assert names(found.capabilities) == set(security.DEFAULT)
    assert (found.no_new_privileges, found.privileged, found.read_only_root) == (False, False, False)


@pytest.mark.parametrize(
    ("declared", "expected"),
    [
        ({"drop": ["ALL"]}, set()),
        ({"drop": ["all"], "add": ["NET_RAW"]}, {"NET_RAW"}),
        ({"drop": ["ALL"], "add": ["CAP_NET_RAW", "sys_nice"]}, {"NET_RAW", "SYS_NICE"}),
        ({"drop": ["MKNOD"]}, set(security.DEFAULT) - {"MKNOD"}),
        ({"add": ["NET_ADMIN"]}, {*security.DEFAULT, "NET_ADMIN"}),
        ({"add": ["ALL"], "drop": ["SYS_ADMIN"]}, set(security.CAPABILITIES) - {"SYS_ADMIN"}),
    ],
)
def test_capabilities_are_added_and_dropped(declared: dict[str, Any], expected: set[str]) -> None:
    """ALL first, then single ones; any case, with or without `CAP_`."""
    assert names(privileges({"capabilities": declared}).capabilities) == expected


def test_what_the_lab_lacks_is_not_given() -> None:
    """ALL means all that there are to give; one that is asked for by name and is not among them is an error."""
    few = ALL & ~(1 << security.CAPABILITIES.index("SYS_RESOURCE"))

    assert "SYS_RESOURCE" not in names(privileges({"privileged": True}, available=few).capabilities)
    with pytest.raises(ConfigError, match="SYS_RESOURCE cannot be given"):
        privileges({"capabilities": {"add": ["SYS_RESOURCE"]}}, available=few)
    with pytest.raises(ConfigError, match="unknown capability 'NET_ROW'"):
        privileges({"capabilities": {"add": ["NET_ROW"]}})


def test_a_container_s_context_wins_over_its_pod_s() -> None:
    """User and group; groups of the volumes are the pod's alone."""
    pod = {"runAsUser": 1, "runAsGroup": 2, "fsGroup": 7, "supplementalGroups": [8]}
    of_pod, own = privileges(pod=pod), privileges({"runAsUser": 0}, pod)

    assert (of_pod.user, of_pod.group, of_pod.groups) == (1, 2, (2, 7, 8))
    assert own.user == 0


def test_a_user_without_group_has_that_of_its_account() -> None:
    """As in an image's /etc/passwd: nobody's, or root's for a user that has no account."""
    assert (privileges({"runAsUser": 65534}).group, privileges({"runAsUser": 1000}).group) == (65534, 0)


def test_non_root_is_verified() -> None:
    """`runAsNonRoot` with user 0, declared or the image's, is refused as by a kubelet; the image's own user counts."""
    with pytest.raises(ConfigError, match="breaks non-root policy"):
        privileges({"runAsUser": 0}, {"runAsNonRoot": True})
    with pytest.raises(ConfigError, match="image will run as root"):
        privileges({"runAsNonRoot": True})

    assert privileges({"runAsNonRoot": True}, image=Image(pattern="x", program="/x", user=65532)).user == 65532
    assert privileges({"runAsNonRoot": False}, {"runAsNonRoot": True}).user == 0


def test_kernel_parameters_are_those_that_a_kubelet_allows() -> None:
    """Only what belongs to the pod's own namespaces."""
    own = {"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "0"}]}}

    assert security.sysctls(own)["net.ipv4.tcp_syncookies"] == "0"
    assert security.sysctls({"hostNetwork": True}) == {}
    for pod in (
        {"securityContext": {"sysctls": [{"name": "kernel.panic", "value": "1"}]}},
        {"securityContext": {"sysctls": [{"name": "kernel/panic", "value": "1"}]}},
        {**own, "hostNetwork": True},
    ):
        with pytest.raises(ConfigError, match="forbidden sysctl"):
            security.sysctls(pod)


def test_a_volume_s_user_is_the_one_that_all_containers_declare() -> None:
    """Else its tokens are readable by all, as no single user could be given them."""
    one, other = ({"name": name, "securityContext": {"runAsUser": user}} for name, user in (("a", 5), ("b", 6)))

    assert security.fs_user({"containers": [one]}) == 5
    assert security.fs_user({"containers": [one, other]}) is None
    assert security.fs_user({"containers": [one], "initContainers": [{"name": "c"}]}) is None
