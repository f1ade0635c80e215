"""First process of a container: makes its root, its view of the machine and its privileges, then becomes the program.

Runs as a program with few imports, since each pod waits for them: `python -I -S contain.py CONFIG ERRORS`, descriptors
of a configuration that `container.py` writes and of a pipe. It is the first process of a PID namespace and is in the
network namespace of its pod. When something fails it writes one line to the pipe and ends with exit code 128; the pipe
closes when the program runs.

The steps and their order are runc's (libcontainer, `rootfs_linux.go` and `init_linux.go`). What the container sees of
the machine becomes detached mounts before `pivot_root`, and the machine's root is unmounted just after it, before the
first of them is attached. Paths of a pod are resolved beneath the container's root, never through a link of /proc
(openat2(2)); nothing is mounted in /proc (CVE-2019-16884), and no file that a pod can replace decides on a privilege.
Every descriptor is closed before the working directory is entered.
"""

from __future__ import annotations

import ctypes
import marshal
import os
import stat
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

libc = ctypes.CDLL(None, use_errno=True)

NEW_MOUNT, NEW_UTS, NEW_IPC = 0x00020000, 0x04000000, 0x08000000
RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, BIND, REC, PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
DETACH = 2
SYSTEM_CALLS = {"open_tree": 428, "move_mount": 429, "openat2": 437, "mount_setattr": 442}
"""Numbers of system calls that libc may have no function for; the same on every architecture."""
IN_ROOT, NO_MAGICLINKS = 0x10, 0x02
EMPTY_PATH, TREE_CLONE, FROM_EMPTY_PATH, TO_EMPTY_PATH = 0x1000, 1, 0x04, 0x40
SET_DUMPABLE, CAPBSET_READ, CAPBSET_DROP, SET_NO_NEW_PRIVS = 4, 23, 24, 38
CAPABILITY_VERSION = 0x20080522
SIG_DFL = 0

DIRECTORIES = ("etc", "proc", "sys", "dev", "tmp", "run", "root", "var/tmp", "var/log", "var/lib")
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
LINKS = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}
MASKED = (
    *("/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats"),
    *("/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats"),
    *("/sys/devices/virtual/powercap", "/sys/firmware"),
)
"""Paths that an unprivileged container does not see (kubelet, pkg/securitycontext, `defaultMaskedPaths`)."""
READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
"""Paths that an unprivileged container does not write to."""
OLD = "/.old"
"""Where `pivot_root` puts the machine's root, which is unmounted at once."""


def call(function: str, *arguments: int | bytes | ctypes.Array[Any] | None) -> int:
    """Call a function of libc, or a system call of `SYSTEM_CALLS`. Raises `OSError`."""
    given = [ctypes.c_ulong(one) if isinstance(one, int) else one for one in arguments]
    if function in SYSTEM_CALLS:
        result = libc.syscall(ctypes.c_ulong(SYSTEM_CALLS[function]), *given)
    else:
        result = getattr(libc, function)(*given)
    if result == -1:
        code = ctypes.get_errno()
        words = [os.fsdecode(one) for one in arguments if isinstance(one, bytes)]
        raise OSError(code, f"{os.strerror(code)}: {function} {' '.join(words)}".rstrip())
    return int(result)


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount a file system, or change a mount."""
    call("mount", os.fsencode(source), os.fsencode(target), os.fsencode(kind), flags, os.fsencode(options))


def detached(path: int, flags: int) -> int:
    """Return a mount of what a descriptor is open on, which is attached nowhere yet, and close the descriptor."""
    tree = call("open_tree", path, b"", EMPTY_PATH | TREE_CLONE | os.O_CLOEXEC)
    os.close(path)
    call("mount_setattr", tree, b"", EMPTY_PATH, (ctypes.c_uint64 * 4)(flags, 0, 0, 0), 32)
    return tree


def attach(tree: int, target: str) -> None:
    """Attach a detached mount at a path beneath the root, which is made if need be, and close its descriptor.

    Raises `OSError` for a path that leads into /proc, as runc.
    """
    folder = os.open("/", os.O_PATH | os.O_CLOEXEC)
    place = made_beneath(folder, target, "directory" if stat.S_ISDIR(os.fstat(tree).st_mode) else "file")
    if os.fstat(place).st_dev == os.stat("/proc").st_dev:
        raise OSError(f"nothing can be mounted at {target}: it is in /proc")
    call("move_mount", tree, b"", place, b"", FROM_EMPTY_PATH | TO_EMPTY_PATH)
    for descriptor in (folder, place, tree):
        os.close(descriptor)


def write(path: str, text: str) -> None:
    """Write a file; without a codec, which would have to be imported from the machine's root."""
    with open(path, "wb", buffering=0) as file:
        file.write(text.encode())


def beneath(folder: int, path: str) -> int:
    """Open a path, with links and `..` resolved as if `folder` were the root (openat2(2), RESOLVE_IN_ROOT)."""
    how = (ctypes.c_uint64 * 3)(os.O_PATH | os.O_CLOEXEC, 0, IN_ROOT | NO_MAGICLINKS)  # flags, mode, resolve
    return call("openat2", folder, os.fsencode(path or "."), how, 24)


def made_beneath(folder: int, path: str, kind: str) -> int:
    """Open a path as `beneath`; make it first when it is not there, and its parents, if `kind` is a type to make."""
    try:
        return beneath(folder, path)
    except FileNotFoundError:
        if kind not in {"directory", "file"} or not path.strip("/"):
            raise
    parent, _, name = path.rstrip("/").rpartition("/")
    above = made_beneath(folder, parent, "directory")
    if kind == "file":
        os.close(os.open(name, os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=above))
    else:
        os.mkdir(name, dir_fd=above)
    os.close(above)
    return beneath(folder, path)


def opened(row: dict[str, Any]) -> int | str:
    """Return a detached mount of what the container sees, or the target of the link that stands at its place."""
    source = row["source"]
    if row["link"] and os.path.islink(source):
        return str(os.readlink(source))
    descriptor = os.open(source, os.O_PATH | os.O_CLOEXEC)
    if row["sub"] is not None:
        inner = made_beneath(descriptor, row["sub"], row["make"])
        os.close(descriptor)
        descriptor = inner
    return detached(descriptor, NODEV | (RDONLY if row["read_only"] else 0))


def root(config: dict[str, Any]) -> None:
    """Make the container's root in memory and move into it; nothing else of the machine is in sight afterwards."""
    call("unshare", NEW_MOUNT | NEW_UTS | (0 if config["host_ipc"] else NEW_IPC))
    mount("", "/", flags=REC | PRIVATE)
    mounts = [(row, opened(row)) for row in config["mounts"]]
    devices = {name: detached(os.open(f"/dev/{name}", os.O_PATH | os.O_CLOEXEC), NOSUID | NOEXEC) for name in DEVICES}
    mount("root", config["root"], "tmpfs", NODEV, "mode=755")
    os.mkdir(config["root"] + OLD)
    call("pivot_root", os.fsencode(config["root"]), os.fsencode(config["root"] + OLD))
    os.chdir("/")
    call("umount2", os.fsencode(OLD), DETACH)
    os.rmdir(OLD)
    for directory in DIRECTORIES:
        os.makedirs(directory)
    for directory in ("tmp", "var/tmp"):
        os.chmod(directory, 0o1777)  # noqa: S103 - as /tmp of any image
    for name, text in config["files"].items():
        write(name, text)
    mount("proc", "/proc", "proc", NOSUID | NODEV | NOEXEC)
    device_files(devices)
    kernel(config)
    for row, source in mounts:
        if isinstance(source, int):
            attach(source, row["target"])
        elif not os.path.lexists(row["target"]):
            os.makedirs(os.path.dirname(row["target"]), exist_ok=True)
            os.symlink(source, row["target"])
    folder = os.open("/", os.O_PATH | os.O_CLOEXEC)
    os.close(made_beneath(folder, config["directory"], "directory"))
    os.close(folder)
    if config["read_only_root"]:
        mount("", "/", flags=REMOUNT | BIND | RDONLY | NODEV)


def kernel(config: dict[str, Any]) -> None:
    """Mount /sys, mask what is the machine's, and set what of the kernel belongs to the container's namespaces."""
    privileged = config["privileged"]
    mount("sysfs", "/sys", "sysfs", NOSUID | NODEV | NOEXEC | (0 if privileged else RDONLY))
    hostname = os.fsencode(config["hostname"])
    call("sethostname", hostname, len(hostname))
    for name, value in config["sysctls"].items():
        write("/proc/sys/" + name.replace(".", "/"), value)
    if privileged:
        return
    for path in filter(os.path.exists, MASKED):
        if os.path.isdir(path):
            mount("masked", path, "tmpfs", RDONLY | NOSUID | NODEV | NOEXEC, "size=0")
        else:
            mount("/dev/null", path, flags=BIND)
    for path in filter(os.path.exists, READ_ONLY):
        mount(path, path, flags=BIND | REC)
        mount("", path, flags=REMOUNT | BIND | RDONLY | NOSUID | NODEV | NOEXEC)


def device_files(devices: dict[str, int]) -> None:
    """Fill /dev as a runtime does: the harmless devices, terminals and shared memory of its own."""
    mount("dev", "/dev", "tmpfs", NOSUID | NODEV, "mode=755,size=64k")
    for name, tree in devices.items():
        attach(tree, f"/dev/{name}")
    for name, target in LINKS.items():
        os.symlink(target, f"/dev/{name}")
    os.mkdir("/dev/pts")
    mount("devpts", "/dev/pts", "devpts", NOSUID | NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
    os.mkdir("/dev/shm")  # noqa: S108 - the container's own
    mount("shm", "/dev/shm", "tmpfs", NOSUID | NODEV | NOEXEC, "mode=1777,size=64m")  # noqa: S108


def join(pid: int) -> None:
    """Enter the namespaces and the root of a container that runs, whose PID namespace this process is in already."""
    call("prctl", SET_DUMPABLE, 0)  # so that no process of the container reaches this one's files before it is one
    spaces = [os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in ("net", "ipc", "uts", "mnt")]
    for space in spaces:
        call("setns", space, 0)
        os.close(space)


def enter(directory: str) -> None:
    """Make a directory beneath the root the working directory."""
    folder = os.open("/", os.O_PATH | os.O_CLOEXEC)
    inner = beneath(folder, directory)
    os.fchdir(inner)
    os.close(inner)
    os.close(folder)


def privileges(config: dict[str, Any]) -> None:
    """Become the container's user, with its capabilities and no way to more."""
    user, group, mask = config["user"], config["group"], config["capabilities"]
    for descriptor in (1, 2):
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.fchown(descriptor, user, group)  # so that it can be opened as /dev/stdout, as runc does
    for number in range(64):
        held = libc.prctl(CAPBSET_READ, ctypes.c_ulong(number)) == 1  # -1 for one that the kernel does not know
        if held and not mask >> number & 1:
            call("prctl", CAPBSET_DROP, number)
    os.setgroups(config["groups"])
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)
    own = 0 if user else mask  # another user gets none but by a file's capabilities, within the bounding set
    low, high = own & 0xFFFFFFFF, own >> 32
    data = (ctypes.c_uint32 * 6)(low, low, 0, high, high, 0)  # effective, permitted, inheritable
    call("capset", bytes((ctypes.c_uint32 * 2)(CAPABILITY_VERSION, 0)), bytes(data))
    if config["no_new_privileges"]:
        call("prctl", SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def become(config: dict[str, Any]) -> NoReturn:
    """Replace this process by the program, with default signals and umask."""
    for number in range(1, 65):
        libc.signal(number, SIG_DFL)  # refused for SIGKILL, SIGSTOP and those of libc itself, which have no handler
    os.umask(0o022)
    env, argv = config["env"], config["argv"]
    folders = [""] if "/" in argv[0] else env.get("PATH", "/usr/bin:/bin").split(":")
    error = OSError(f"there is no {argv[0]} in {':'.join(folders)}")
    for folder in folders:
        try:
            os.execve(os.path.join(folder, argv[0]), argv, env)  # noqa: S606 - the container's command
        except OSError as why:
            if not isinstance(why, FileNotFoundError | NotADirectoryError) or folder == "":
                error = OSError(why.errno, f"{why.strerror}: executing {argv[0]} as user {config['user']}")
    raise error


def main() -> None:
    """Contain, and become the program; write why not."""
    given, errors = (int(word) for word in sys.argv[1:])
    os.set_inheritable(errors, False)
    with os.fdopen(given, "rb") as file:
        config = marshal.load(file)  # noqa: S302 - of the process that starts this one
    step = "CreateContainerError"
    try:
        if config["join"]:
            join(config["join"])
        else:
            root(config)
        enter(config["directory"])
        privileges(config)
        step = "RunContainerError"
        become(config)
    except Exception as error:  # noqa: BLE001 - whatever it is: the kubelet's stand-in says it in the pod's status
        text = f"{error.strerror}: {error.filename}" if isinstance(error, OSError) and error.filename else error
        os.write(errors, f"{step} {text}".encode(errors="replace"))
        os._exit(128)


if __name__ == "__main__":
    main()
