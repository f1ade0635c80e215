"""Pods seen from inside: their declared privileges, and what an attacker in one reaches of the machine: nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lbproof.lab.netns.lab import NetnsLab

UNPRIVILEGED = {
    "runAsNonRoot": True,
    "runAsUser": 65534,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
SPEAKER = {
    "runAsUser": 0,
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"], "add": ["NET_RAW", "SYS_NICE"]},
}
CONTEXTS: dict[str, dict[str, Any]] = {"default": {}, "unprivileged": UNPRIVILEGED, "speaker": SPEAKER}
ATTACKS = {
    "read a file of the machine": "open(MARKER).read()",
    "read it through process 1": "open('/proc/1/root' + MARKER).read()",
    "read it through the working directory of process 1": "open('/proc/1/cwd' + MARKER).read()",
    "climb out by ..": "open('/../../../../../..' + MARKER).read()",
    "climb out by chroot": (
        "root = os.open('/', 0); os.mkdir('/tmp/x'); os.chroot('/tmp/x'); os.fchdir(root)\n"
        "for _ in range(99): os.chdir('..')\n"
        "os.chroot('.'); open(MARKER).read()"
    ),
    "read the lab's credentials": "os.listdir(STATE)",
    "write among the programs of the machine": "open('/usr/bin/lbproof-attack', 'w')",
    "replace the interpreter": "open(sys.executable, 'r+b')",
    "write to a package": "open(sys.prefix + '/lbproof-attack', 'w')",
    "name a device of the machine": (
        "os.mknod('/tmp/disk', stat.S_IFBLK | 0o600, DEVICE); os.open('/tmp/disk', os.O_RDONLY)"
    ),
    "name a device in /dev": "os.mknod('/dev/disk', stat.S_IFBLK | 0o600, DEVICE); os.open('/dev/disk', os.O_RDONLY)",
    "mount the devices of the machine": "call(libc.mount, b'x', b'/tmp', b'devtmpfs', 0, b'')",
    "make a mount writable": "call(libc.mount, b'', b'/usr', b'', 32 | 4096, b'')",
    "set a kernel parameter": "open('/proc/sys/kernel/core_pattern', 'w')",
    "set a parameter of the network": "open('/proc/sys/net/ipv4/ip_forward', 'w')",
    "send a key to the kernel": "open('/proc/sysrq-trigger', 'w')",
    "set a parameter below /sys": "open('/sys/kernel/mm/transparent_hugepage/enabled', 'w')",
    "read the keys of the kernel": "assert open('/proc/keys').read()",
    "enter another namespace": "call(libc.setns, os.open('/proc/1/ns/net', 0), 0)",
    "put the clock": "time.clock_settime(time.CLOCK_REALTIME, time.time())",
    "load a module": "call(libc.syscall, 175, b'', 0, b'')",
    "see another process": "assert {p for p in os.listdir('/proc') if p.isdigit()} - {'1', str(os.getpid())}",
    "become more": "assert max(int(l.split()[1], 16) for l in open('/proc/self/status') if l[:3] == 'Cap') & 1 << 21",
}
"""What an attacker tries → Python code that raises when it does not work."""
ATTACKER = """
import ctypes, json, os, stat, sys, time
MARKER, STATE, DEVICE, attacks = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
def call(function, *arguments):
    if function(*arguments):
        raise OSError(ctypes.get_errno(), "refused")
reached = []
for name, code in attacks.items():
    child = os.fork()
    if child == 0:
        try:
            exec(code)
        except (OSError, AssertionError):
            os._exit(0)
        os._exit(1)
    if os.waitpid(child, 0)[1]:
        reached.append(name)
print(json.dumps(reached))
"""
VIEW = """
import json, os
def writable(path):
    try:
        open(path + "/.probe", "w").close()
    except OSError as error:
        return os.strerror(error.errno)
    return "yes"
status = {name: value.strip() for name, value in (line.split(":", 1) for line in open("/proc/self/status"))}
print(json.dumps({
    "ids": [os.getuid(), os.getgid(), os.getgroups()],
    "capabilities": [status[which].lstrip("0") for which in ("CapBnd", "CapPrm", "CapEff", "CapAmb", "CapInh")],
    "no new privileges": status["NoNewPrivs"],
    "pid": os.getpid(),
    "processes": [name for name in os.listdir("/proc") if name.isdigit()],
    "files": sorted(os.listdir("/proc/self/fd"))[:3],
    "/": sorted(os.listdir("/")),
    "/dev": sorted(os.listdir("/dev")),
    "writable": {path: writable(path) for path in ("/", "/tmp", "/dev/shm", "/empty", "/usr", "/secret") },
    "hostname": os.uname().nodename,
}))
"""


@pytest.fixture
def said(
    lab: NetnsLab, pod: Callable[..., Any], pod_when: Callable[..., Any], request: pytest.FixtureRequest
) -> Callable[..., Any]:
    """Run Python code in a pod to its end; give what it printed as JSON."""

    def run(code: str, *arguments: str, context: dict[str, Any] | None = None, **spec: Any) -> Any:  # noqa: ANN401
        name = "contained-" + "".join(c if c.isalnum() else "-" for c in request.node.name.lower()).strip("-")[-40:]
        container = {"image": "test/python:1", "args": ["-c", code, *arguments], **spec.pop("container", {})}
        pod(name, restartPolicy="Never", container={**container, "securityContext": context or {}}, **spec)
        log = lab.state / "log" / f"default_{name}_main.log"
        seen = pod_when(name, lambda seen: seen["status"]["phase"] in {"Succeeded", "Failed"})
        assert seen["status"]["phase"] == "Succeeded", log.read_text()
        return json.loads(log.read_text().splitlines()[-1])

    return run


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file of the machine that anybody may read."""
    path = tmp_path / "marker"
    path.write_text("of the machine")
    return path


@pytest.mark.parametrize("kind", CONTEXTS)
def test_an_attacker_in_a_pod_reaches_nothing_of_the_machine(
    said: Callable[..., Any], lab: NetnsLab, marker: Path, kind: str
) -> None:
    """Files, devices, mounts, kernel parameters and processes, for root with and without the usual capabilities."""
    given = json.dumps([str(marker), str(lab.state), marker.stat().st_dev, ATTACKS])

    assert said(ATTACKER, given, context=CONTEXTS[kind]) == []


def test_the_attacks_would_be_noticed(said: Callable[..., Any], lab: NetnsLab, marker: Path) -> None:
    """A privileged pod, which nothing contains on a kernel that it shares, succeeds with what is harmless of them."""
    names = (
        "mount the devices of the machine",
        "name a device of the machine",
        "set a kernel parameter",
        "become more",
    )
    tried = {name: ATTACKS[name] for name in names}
    given = json.dumps([str(marker), str(lab.state), marker.stat().st_dev, tried])

    assert set(said(ATTACKER, given, context={"privileged": True})) >= {names[0], names[2], names[3]}


@pytest.mark.parametrize("kind", CONTEXTS)
def test_a_pod_has_the_privileges_that_it_declares(said: Callable[..., Any], kind: str) -> None:
    """User, groups, capabilities, and what it can write to."""
    volumes = [{"name": "empty", "emptyDir": {}}, {"name": "secret", "downwardAPI": {"items": []}}]
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("empty", "secret")]
    context = {"fsGroup": 7} if kind == "unprivileged" else {}
    seen = said(
        VIEW, context=CONTEXTS[kind], securityContext=context, volumes=volumes, container={"volumeMounts": mounts}
    )
    root, denied = ("yes", "Read-only file system") if kind == "default" else ("Read-only file system",) * 2
    bounding = {"default": "a80425fb", "unprivileged": "", "speaker": "802000"}[kind]

    assert seen["ids"] == ([65534, 65534, [7, 65534]] if kind == "unprivileged" else [0, 0, [0]])
    assert seen["capabilities"] == [bounding, bounding, bounding, "", ""]
    assert seen["no new privileges"] == ("0" if kind == "default" else "1")
    assert (seen["pid"], seen["processes"], seen["files"]) == (1, ["1"], ["0", "1", "2"])
    assert seen["writable"] == {
        **dict.fromkeys(("/", "/tmp"), root),  # noqa: S108 - in the pod
        **dict.fromkeys(("/dev/shm", "/empty"), "yes"),  # noqa: S108 - in the pod
        **dict.fromkeys(("/usr", "/secret"), denied),
    }


def test_a_pod_sees_a_minimal_machine(said: Callable[..., Any]) -> None:
    """A root of a few directories, the harmless devices, its own hostname."""
    seen = said(VIEW)

    assert {"etc", "proc", "sys", "dev", "tmp", "usr"} <= set(seen["/"])
    assert not {"boot", "home", "mnt", "opt", "srv", ".old"} & set(seen["/"])
    assert set(seen["/dev"]) == {
        *("fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty", "urandom", "zero"),
    }
    assert seen["hostname"].startswith("contained-")


def test_another_user_keeps_the_bounding_set_alone(said: Callable[..., Any]) -> None:
    """Capabilities of a user that is not root come by files, as runc has it: none is ambient."""
    context = {"runAsUser": 1000, "runAsGroup": 5, "capabilities": {"add": ["NET_ADMIN"]}}
    seen = said(VIEW, context=context, securityContext={"supplementalGroups": [9]})

    assert seen["ids"] == [1000, 5, [5, 9]]
    assert seen["capabilities"] == ["a80435fb", "", "", "", ""]


def test_a_non_root_user_may_serve_port_80_and_open_its_output(said: Callable[..., Any]) -> None:
    """Ports below 1024 need no capability in a network of the pod's own, and /dev/stdout is the user's."""
    code = "import socket; socket.create_server(('', 80)); open('/dev/stdout', 'w').write('{}\\n')"

    assert said(code, context=UNPRIVILEGED) == {}


def test_a_script_cannot_reach_the_program_that_started_it(said: Callable[..., Any]) -> None:
    """`#!/proc/self/exe` runs the starter of the container in it; the file is on a read-only mount (CVE-2019-5736)."""
    code = "#!/proc/self/exe\nimport os\nprint(os.statvfs('/proc/self/exe').f_flag & os.ST_RDONLY)\n"
    volumes = [
        {"name": "script", "downwardAPI": {"defaultMode": 0o755, "items": [{"path": "run", **annotation("code")}]}}
    ]
    container = {"command": ["/script/run"], "volumeMounts": [{"name": "script", "mountPath": "/script"}]}
    seen = said("", container=container, volumes=volumes, annotations={"code": code})

    assert seen == 1


def annotation(name: str) -> dict[str, Any]:
    """A reference to an annotation."""
    return {"fieldRef": {"fieldPath": f"metadata.annotations['{name}']"}}


def test_no_path_of_a_pod_leads_out_of_its_volume(said: Callable[..., Any], marker: Path) -> None:
    """A link that a container left in a volume, `..` in a mount's path and the path of a `hostPath` stay inside."""
    code = (
        f"import os; os.symlink('/', '/v/out'); os.makedirs('/v{marker.parent}'); open('/v{marker}', 'w').write('in')"
    )
    volumes = [{"name": "v", "emptyDir": {}}, {"name": "host", "hostPath": {"path": "/"}}]
    seen = said(
        f"import json, os; print(json.dumps([open(p).read() for p in ('/link{marker}', '/climbed{marker}')]"
        " + [os.listdir('/node')]))",
        volumes=volumes,
        initContainers=[
            {
                "name": "link",
                "image": "test/python:1",
                "args": ["-c", code],
                "volumeMounts": [{"name": "v", "mountPath": "/v"}],
            }
        ],
        container={
            "volumeMounts": [
                {"name": "v", "mountPath": "/link", "subPath": "out"},
                {"name": "v", "mountPath": "/../../../climbed"},
                {"name": "host", "mountPath": "/node"},
            ]
        },
    )

    assert seen == ["in", "in", []]


def test_a_hostpath_is_the_node_s_own(said: Callable[..., Any], lab: NetnsLab) -> None:
    """Files of a node, which its pods share, are in memory and not this machine's."""
    volumes = [{"name": "v", "hostPath": {"path": "/var/lib/lbproof-attack/state"}}]
    container = {"volumeMounts": [{"name": "v", "mountPath": "/v"}]}
    code = "open('/v/f', 'a').write('x'); print(len(open('/v/f').read()))"
    seen = said(code, volumes=volumes, container=container)

    assert seen == 1
    assert lab.run("w01", ["sh", "-c", "ls /var/lib/lbproof-attack 2>/dev/null || true"]) == ""


def test_root_in_a_non_root_pod_is_refused_as_by_a_kubelet(
    pod: Callable[..., Any], pod_when: Callable[..., Any]
) -> None:
    """CreateContainerConfigError, and no process."""
    pod("rooted", securityContext={"runAsNonRoot": True}, container={"args": ["pause"]})
    seen = pod_when("rooted", lambda seen: waiting(seen).get("reason") == "CreateContainerConfigError")

    assert "image will run as root" in waiting(seen)["message"]


def test_a_program_that_is_not_there_is_named(pod: Callable[..., Any], pod_when: Callable[..., Any]) -> None:
    """The state of the container says what could not be executed."""
    pod("absent", container={"command": ["no-such-program"]})
    seen = pod_when("absent", lambda seen: waiting(seen).get("reason") == "RunContainerError")

    assert "there is no no-such-program in /usr/local/sbin:" in waiting(seen)["message"]


def waiting(seen: dict[str, Any]) -> dict[str, Any]:
    """Why a pod's only container waits."""
    rows = seen["status"].get("containerStatuses") or [{}]
    return dict(rows[0].get("state", {}).get("waiting", {}))
