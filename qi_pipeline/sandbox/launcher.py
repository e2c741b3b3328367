"""The inside of the sandbox's wall: give up everything, then become the untrusted command.

Started as a program of its own (`python -I -S launcher.py SPEC STATUS_FD`), with nothing but the
standard library, by `supervisor`. Flows in: the specification as JSON. Flows out, on the status
descriptor, one JSON line: how the command ended, or which layer this machine refused.

The layers, in this order, each of them a wall of its own:
1. namespaces: users (unless started as root), network, processes, IPC, host name, mounts;
2. a private file system: a read-only root in memory with read-only binds of what may be read, five
   devices, an empty /tmp of limited size without executables, and a copy of four files of /proc;
3. identity: no capabilities, no way to get any, and a user namespace without any user in it, so
   that no further namespace can be made; root becomes a user that owns nothing;
4. resource limits.

Nothing here decides what may be read or how long a command may run: that is in the specification.
"""

import ctypes
import json
import os
import resource
import select
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

_CLONE_NEWNS, _CLONE_NEWUTS, _CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
_CLONE_NEWUSER, _CLONE_NEWPID, _CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_MNT_DETACH = 2
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
# mount_setattr(2), Linux 5.12; system calls of that age have one number on every architecture.
_SYS_MOUNT_SETATTR, _AT_FDCWD, _AT_RECURSIVE = 442, -100, 0x8000
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NOSUID, _MOUNT_ATTR_NODEV = 1, 2, 4
_DEVICES = ("null", "zero", "full", "random", "urandom")
_FIGURES = ("self/stat", "stat", "cpuinfo", "meminfo")
_OLD_ROOT = Path("/.old")
_CANNOT_EXECUTE = 126

_libc = ctypes.CDLL(None, use_errno=True)


class LayerRefusedError(Exception):
    """The machine did not grant one layer."""

    def __init__(self, layer: str, reason: str) -> None:
        super().__init__(reason)
        self.layer = layer


class _MountAttributes(ctypes.Structure):
    """`struct mount_attr` of mount_setattr(2)."""

    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def _call(layer: str, name: str, *arguments: Any) -> None:
    """Call a function of the C library; a result of -1 means that the layer is refused."""
    if getattr(_libc, name)(*arguments) == -1:
        error = os.strerror(ctypes.get_errno())
        places = " ".join(a.decode() for a in arguments if isinstance(a, bytes) and a)
        raise LayerRefusedError(layer, f"{name} {places}".rstrip() + f": {error}")


def _mount(source: str, target: Path, kind: str | None, flags: int, data: str = "") -> None:
    _call(
        "private file system", "mount", source.encode(), str(target).encode(),
        None if kind is None else kind.encode(), ctypes.c_ulong(flags), data.encode(),
    )  # fmt: skip


def _make_read_only(target: Path, extra: int, at_flags: int) -> None:
    attributes = _MountAttributes(attr_set=_MOUNT_ATTR_RDONLY | extra)
    _call(
        "private file system", "syscall", ctypes.c_long(_SYS_MOUNT_SETATTR),
        ctypes.c_int(_AT_FDCWD), str(target).encode(), ctypes.c_uint(at_flags),
        ctypes.byref(attributes), ctypes.c_size_t(ctypes.sizeof(attributes)),
    )  # fmt: skip


def enter_namespaces(*, with_user: bool) -> None:
    """Leave the machine's network, processes, IPC, host name and mounts.

    With `with_user` a user namespace is made first, in which an ordinary user may make the others.
    """
    if with_user:
        user, group = os.getuid(), os.getgid()
        _call("user namespace", "unshare", _CLONE_NEWUSER)
        try:
            Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
            Path("/proc/self/uid_map").write_text(f"{user} {user} 1", encoding="ascii")
            Path("/proc/self/gid_map").write_text(f"{group} {group} 1", encoding="ascii")
        except OSError as error:
            raise LayerRefusedError("user namespace", str(error)) from error
    isolated = _CLONE_NEWNET | _CLONE_NEWPID | _CLONE_NEWIPC | _CLONE_NEWUTS | _CLONE_NEWNS
    _call("namespaces", "unshare", isolated)
    _call("namespaces", "sethostname", b"sandbox", ctypes.c_size_t(len(b"sandbox")))


def build_root(readable: list[str], system: list[str], scratch_bytes: int) -> None:
    """Replace the file system by one that holds `readable` and `system`, read-only, and /tmp."""
    try:
        _mount("none", Path("/"), None, _MS_REC | _MS_PRIVATE)
        _mount("tmpfs", Path("/tmp"), "tmpfs", _MS_NOSUID | _MS_NODEV, "size=4m,mode=755")  # noqa: S108
        Path("/tmp/.old").mkdir()  # noqa: S108
        _call("private file system", "pivot_root", b"/tmp", b"/tmp/.old")
        os.chdir("/")
        scratch = Path("/tmp")  # noqa: S108
        scratch.mkdir()
        flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
        _mount("tmpfs", scratch, "tmpfs", flags, f"size={scratch_bytes},nr_inodes=8192,mode=1777")
        for place in system:
            _show_system(Path(place))
        for place in sorted(readable):
            _bind(Path(place))
        _copy_figures()
        for device in _DEVICES:
            _bind(Path("/dev") / device, device=True)
        _call("private file system", "umount2", str(_OLD_ROOT).encode(), _MNT_DETACH)
        _OLD_ROOT.rmdir()
        _make_read_only(Path("/"), 0, 0)
    except OSError as error:
        raise LayerRefusedError("private file system", str(error)) from error


def _old(place: Path) -> Path:
    return _OLD_ROOT / place.relative_to("/")


def _show_system(place: Path) -> None:
    """Show a folder of the operating system, which on merged layouts is a link to another."""
    source = _old(place)
    if source.is_symlink():
        place.symlink_to(source.readlink())
    elif source.is_dir():
        _bind(place)


def _bind(place: Path, *, device: bool = False) -> None:
    source = _old(place)
    if source.is_dir():
        place.mkdir(parents=True, exist_ok=True)
    elif not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    _mount(str(source), place, None, _MS_BIND | _MS_REC)
    if not device:
        _make_read_only(place, _MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NODEV, _AT_RECURSIVE)


def _copy_figures() -> None:
    """Copy what Node.js reads from /proc: processors, memory, its own size at the start.

    Without them `process.memoryUsage` throws. The real /proc would show the memory of every process
    in here to every other one, and cannot be mounted inside most containers.
    """
    for name in _FIGURES:
        copy = Path("/proc") / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(_old(copy).read_bytes())


def drop_identity(unprivileged_id: int | None) -> None:
    """Become nobody with no capability, for good; `unprivileged_id` is the user root becomes."""
    try:
        if unprivileged_id is not None:
            os.setgroups([])
            os.setresgid(unprivileged_id, unprivileged_id, unprivileged_id)
            os.setresuid(unprivileged_id, unprivileged_id, unprivileged_id)
    except OSError as error:
        raise LayerRefusedError("identity", str(error)) from error
    # No user is mapped into this namespace: its processes cannot make a namespace in it, the
    # capabilities it gives are lost at exec, and the limit on processes counts in it alone.
    _call("identity", "unshare", _CLONE_NEWUSER)
    _call("identity", "prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def set_limits(limits: dict[str, float], *, isolated: bool) -> None:
    """Set the kernel's limits for this process and those that it starts.

    The number of processes is limited inside an identity of its own alone: outside, the kernel
    counts whatever else the same user runs.
    """
    wanted = {
        resource.RLIMIT_CPU: int(limits["cpu_seconds"]),
        resource.RLIMIT_DATA: int(limits["memory_bytes"]),
        resource.RLIMIT_FSIZE: int(limits["file_bytes"]),
        resource.RLIMIT_NOFILE: int(limits["open_files"]),
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
    }
    if isolated:
        wanted[resource.RLIMIT_NPROC] = int(limits["processes"])
    for kind, value in wanted.items():
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)  # noqa: PLW2901
        resource.setrlimit(kind, (value, value))


def _die_with_parent() -> None:
    _call("namespaces", "prctl", _PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _become(spec: dict[str, Any], parent_lives: int) -> NoReturn:
    """Raise the remaining walls around this process and turn it into the command.

    `parent_lives` is the reading end of a pipe that ends with the parent.
    """
    if spec["isolated"]:
        build_root(spec["readable"], spec["system"], int(spec["limits"]["scratch_bytes"]))
        drop_identity(spec["unprivileged_id"])
    # Changing the identity forgets the signal, so it is asked for now; a parent that died before
    # sends none, and its id says nothing across process namespaces.
    _die_with_parent()
    if select.select([parent_lives], [], [], 0)[0]:
        os._exit(_CANNOT_EXECUTE)
    os.chdir(spec["directory"])
    set_limits(spec["limits"], isolated=spec["isolated"])
    # Python ignores these two, and an ignored signal stays ignored in what is executed.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    command: list[str] = spec["command"]
    os.execve(command[0], command, spec["environment"])  # noqa: S606


def _report(status: int, record: dict[str, Any]) -> None:
    os.write(status, json.dumps(record).encode() + b"\n")


def main() -> None:
    """Run the specification of the command line; exit with 126 when the command never began."""
    spec, status = json.loads(sys.argv[1]), int(sys.argv[2])
    os.set_inheritable(status, False)  # noqa: FBT003
    try:
        _die_with_parent()
        if os.getppid() != spec["parent"]:
            sys.exit(_CANNOT_EXECUTE)
        if spec["isolated"]:
            enter_namespaces(with_user=spec["unprivileged_id"] is None)
        # Blocked until there is a child to pass it on to.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        parent_lives, parent_end = os.pipe()
        child = os.fork()
        if child == 0:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
            os.close(parent_end)
            _become(spec, parent_lives)
    except LayerRefusedError as error:
        _report(status, {"refused": error.layer, "reason": str(error)})
        os._exit(_CANNOT_EXECUTE)
    except OSError as error:
        _report(status, {"refused": "command", "reason": str(error)})
        os._exit(_CANNOT_EXECUTE)
    # The command's descriptors are its own: an end of file must mean that the command closed it.
    for descriptor in (0, 1, 2):
        os.close(descriptor)
    # The end of the first process of a process namespace is the end of all of them, and waiting for
    # it is waiting for all of them; so the supervisor asks this process, which outlives them.
    signal.signal(signal.SIGTERM, lambda _number, _frame: os.kill(child, signal.SIGKILL))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    _, ended, usage = os.wait4(child, 0)
    kind = "signal" if os.WIFSIGNALED(ended) else "exit"
    code = os.WTERMSIG(ended) if os.WIFSIGNALED(ended) else os.WEXITSTATUS(ended)
    _report(status, {kind: code, "cpu_seconds": usage.ru_utime + usage.ru_stime})


if __name__ == "__main__":
    main()
