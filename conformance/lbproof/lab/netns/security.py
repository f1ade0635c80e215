"""A container's `securityContext`: what a kubelet and containerd make of it. Pure.

Fields of a container win over those of its pod (API reference, PodSecurityContext and SecurityContext). Not applied:
`seccompProfile`, `appArmorProfile`, `seLinuxOptions`, `procMount` and `hostUsers`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lbproof.lab.base import Image

CAPABILITIES = (
    *("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP"),
    *("LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER"),
    *("SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE"),
    *("SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP"),
    *("MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF"),
    *("CHECKPOINT_RESTORE"),
)
"""Names of the capabilities by number (<linux/capability.h>), without `CAP_`."""
DEFAULT = frozenset(
    (
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"),
        *("NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    )
)
"""Capabilities of a container that declares none (containerd, pkg/oci, `defaultUnixCaps`)."""
SYSCTLS = {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647"}
"""Kernel parameters of a pod with a network of its own (containerd 2, `enable_unprivileged_ports` and `…_icmp`)."""
SAFE_SYSCTLS = frozenset(
    (
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ping_group_range",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.tcp_wmem",
    )
)
"""Kernel parameters that a kubelet lets a pod set, each of its namespaces (pkg/kubelet/sysctl, `safeSysctls`)."""
NOBODY = 65534


class ConfigError(RuntimeError):
    """The container cannot be created as its spec stands: a kubelet's CreateContainerConfigError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Privileges:
    """Identity and rights of a container's processes."""

    user: int
    group: int
    groups: tuple[int, ...]
    """Supplementary groups, with the primary one, as containerd sets them."""
    capabilities: int
    """Bounding set as a bit mask; a process of root has all of it, one of another user none."""
    no_new_privileges: bool
    privileged: bool
    read_only_root: bool


def effective(pod: Mapping[str, Any], container: Mapping[str, Any], field: str) -> Any:  # noqa: ANN401 - any field
    """Return a field of a container's `securityContext`, else of its pod's, else None."""
    for holder in (container, pod):
        value = (holder.get("securityContext") or {}).get(field)
        if value is not None:
            return value
    return None


def _of_pod(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    return pod.get("securityContext") or {}


def fs_group(pod: Mapping[str, Any]) -> int | None:
    """Return the group of a pod's volumes, None when it declares none."""
    value = _of_pod(pod).get("fsGroup")
    return None if value is None else int(value)


def fs_user(pod: Mapping[str, Any]) -> int | None:
    """Return the user that all containers of a pod declare, None when they differ (kubelet, `FsUserFrom`)."""
    users = {effective(pod, row, "runAsUser") for row in (*pod.get("initContainers", []), *pod["containers"])}
    return users.pop() if len(users) == 1 else None


def sysctls(pod: Mapping[str, Any]) -> dict[str, str]:
    """Return the kernel parameters of a pod's namespaces: those of the runtime, then its own.

    Raises `ConfigError` for one that a kubelet forbids.
    """
    own = {row["name"].replace("/", "."): row["value"] for row in _of_pod(pod).get("sysctls", [])}
    for name in own:
        shared = pod.get("hostNetwork") if name.startswith("net.") else pod.get("hostIPC")
        if name not in SAFE_SYSCTLS or shared:
            raise ConfigError(f"forbidden sysctl: {name!r} is not of the pod's own namespaces, or not allowed")
    return ({} if pod.get("hostNetwork") else SYSCTLS) | own


def privileges(pod: Mapping[str, Any], container: Mapping[str, Any], image: Image, available: int) -> Privileges:
    """Return what a container of a pod may do, by their specs.

    `available` is the bit mask of capabilities that can be given. Raises `ConfigError` when a container that must not
    run as root would, or asks for a capability that does not exist or cannot be given.
    """
    own = container.get("securityContext") or {}
    user = effective(pod, container, "runAsUser")
    if effective(pod, container, "runAsNonRoot"):
        if user == 0:
            raise ConfigError(f"container's runAsUser breaks non-root policy (container: {container['name']})")
        if user is None and image.user == 0:
            raise ConfigError(
                f"container has runAsNonRoot and image will run as root (container: {container['name']}, "
                f"image: {container['image']})"
            )
    user = image.user if user is None else int(user)
    group = effective(pod, container, "runAsGroup")
    # containerd takes it from the image's /etc/passwd, where Debian and distroless have this one user besides root
    group = (NOBODY if user == NOBODY else 0) if group is None else int(group)
    declared = _of_pod(pod).get("supplementalGroups", [])
    fs = fs_group(pod)
    groups = {group, *map(int, declared), *([] if fs is None else [fs])}
    privileged = bool(own.get("privileged"))
    return Privileges(
        user=user,
        group=group,
        groups=tuple(sorted(groups)),
        capabilities=available if privileged else _capabilities(own.get("capabilities") or {}, available),
        no_new_privileges=own.get("allowPrivilegeEscalation") is False,
        privileged=privileged,
        read_only_root=bool(own.get("readOnlyRootFilesystem")),
    )


def _capabilities(declared: Mapping[str, Any], available: int) -> int:
    """Return the bit mask for `add` and `drop`, as containerd: ALL of both, then names of `add`, then of `drop`."""
    add, drop = ([_name(row) for row in declared.get(kind) or ()] for kind in ("add", "drop"))
    mask = available if "ALL" in add else _mask(DEFAULT) & available
    mask = 0 if "ALL" in drop else mask
    wanted = _mask(name for name in add if name != "ALL")
    if lacking := wanted & ~available:
        names = [name for number, name in enumerate(CAPABILITIES) if lacking >> number & 1]
        raise ConfigError(f"capabilities {', '.join(names)} cannot be given: the lab's own process lacks them")
    return (mask | wanted) & ~_mask(name for name in drop if name != "ALL")


def _name(text: str) -> str:
    name = text.upper().removeprefix("CAP_")
    if name != "ALL" and name not in CAPABILITIES:
        raise ConfigError(f"unknown capability {text!r}")
    return name


def _mask(names: Iterable[str]) -> int:
    return sum(1 << CAPABILITIES.index(name) for name in set(names))
