"""The sandbox: a command, what it may read, and bounds on everything else.

Flows in: a command line, readable folders, a working directory, `Limits`. Flows out: a
`ProcessOutcome`, or `SandboxRefusedError` where this machine does not grant a wall - fail closed.
What is run belongs to `modules` (one answer) and `suite` (a library's own tests).

What a command inside can reach: the processor, the folders named readable (never writable), an
empty /tmp in memory, five devices and its three standard streams. Not the network (not even a
loopback), no other process, no other file, no environment variable of the caller. What stays
outside the promise: weaknesses of the kernel itself (system calls are not filtered), and timing.
"""

import os
import secrets
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.sandbox.limits import Limits
from qi_pipeline.sandbox.supervisor import ProcessOutcome, Refusal, supervise

Enforcement = Literal["required", "off"]

SCRATCH: Final = Path("/tmp")  # noqa: S108
"""The one writable folder inside; private to the run and gone with it."""

_SYSTEM_FOLDERS = ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
"""Shared libraries of the operating system; what does not exist is left out."""
# systemd's range for users that exist only while something runs (systemd.exec, DynamicUser).
_UNPRIVILEGED_IDS = range(61184, 65520)
_ENVIRONMENT = {
    "HOME": str(SCRATCH), "TMPDIR": str(SCRATCH), "LANG": "C.UTF-8", "TZ": "UTC",
}  # fmt: skip
_MEND = {
    "platform": "run it on Linux",
    "user namespace": "allow unprivileged user namespaces (kernel.unprivileged_userns_clone=1, "
    "kernel.apparmor_restrict_unprivileged_userns=0, user.max_user_namespaces above 0; in a "
    "container, a seccomp profile that permits unshare)",
    "namespaces": "allow network, process, IPC, UTS and mount namespaces to unprivileged users "
    "(kernel.apparmor_restrict_unprivileged_userns=0; in a container, a seccomp profile that "
    "permits unshare)",
    "private file system": "use Linux 5.12 or newer and allow mounts inside a user namespace (in a "
    "container, profiles of seccomp and AppArmor that permit mount and pivot_root)",
    "identity": "allow one more user namespace for each sandbox (user.max_user_namespaces)",
    "memory watch": "use a kernel with CONFIG_PROC_CHILDREN and a /proc that shows own processes",
    "command": "check that the program exists and that its folder is readable",
}  # fmt: skip


class SandboxRefusedError(QiPipelineError):
    """This machine does not grant a layer of the sandbox, so nothing untrusted was run."""

    def __init__(self, layer: str, reason: str) -> None:
        super().__init__(
            f"this machine refuses the sandbox's layer {layer!r} ({reason}); nothing untrusted "
            f"was run; {_MEND[layer]}"
        )
        self.layer = layer


@dataclass(frozen=True)
class Sandbox:
    """Runs commands that nobody trusts.

    `enforcement="off"` is a person's own decision to do without namespaces and the private file
    system; the resource limits but that of processes, the empty environment and the wall clock
    remain, and whatever the command's own runtime denies.
    """

    enforcement: Enforcement = "required"

    def run(
        self,
        command: Sequence[str | Path],
        *,
        readable: Sequence[Path],
        directory: Path,
        limits: Limits,
        stdin: bytes = b"",
        environment: Mapping[str, str] | None = None,
    ) -> ProcessOutcome:
        """Run `command` until it ends or goes beyond a limit.

        command: absolute path of the program and its arguments; the program is made readable.
        readable: files and folders it may read, at their own absolute paths.
        directory: working directory; one of `readable`, inside one of them, or `SCRATCH`.
        stdin: what it reads on standard input; then that ends.
        environment: variables beside HOME, TMPDIR, LANG and TZ.

        Raises SandboxRefusedError when a layer is missing and QiPipelineError when a readable path
        does not exist.
        """
        program = Path(command[0]).resolve()
        shown = _existing([program, *readable])
        unprivileged_id = _unprivileged_id()
        if unprivileged_id is not None:
            _require_world_readable(shown)
        spec = {
            "isolated": self.enforcement == "required",
            "unprivileged_id": unprivileged_id,
            "readable": [str(place) for place in shown],
            "system": list(_SYSTEM_FOLDERS),
            "directory": str(directory if directory == SCRATCH else directory.resolve()),
            "limits": limits.as_dict(),
            "command": [str(program), *map(str, command[1:])],
            "environment": {**_ENVIRONMENT, **(environment or {})},
        }
        if not sys.platform.startswith("linux"):
            raise SandboxRefusedError("platform", sys.platform)
        if not Path(f"/proc/self/task/{os.getpid()}/children").exists():
            raise SandboxRefusedError("memory watch", "/proc shows no children of a process")
        outcome = supervise(spec, limits, stdin)
        if isinstance(outcome, Refusal):
            raise SandboxRefusedError(outcome.layer, outcome.reason)
        return outcome


def _existing(paths: Sequence[Path]) -> list[Path]:
    """Return the paths with links resolved, those inside another one left out."""
    resolved = sorted({path.resolve() for path in paths})
    missing = [str(path) for path in resolved if not path.exists()]
    if missing:
        raise QiPipelineError(
            f"{', '.join(missing)} should be readable in the sandbox but does not exist; prepare "
            "the library and install the toolchain first (make setup)"
        )
    kept: list[Path] = []
    for path in resolved:
        if not any(path.is_relative_to(other) for other in kept):
            kept.append(path)
    return kept


def _require_world_readable(paths: Sequence[Path]) -> None:
    """Refuse what only its owner may read: inside, root becomes a user of its own."""
    for path in paths:
        needed = 0o005 if path.is_dir() else 0o004
        if path.stat().st_mode & needed != needed:
            raise QiPipelineError(
                f"{path} is readable for its owner alone, and in the sandbox root becomes another "
                f"user; chmod -R o+rX {path}, or run as an ordinary user"
            )


def _unprivileged_id() -> int | None:
    """Return the user that root becomes inside; None for ordinary users and for a root without one.

    Root of a user namespace that maps nobody else (rootless containers) is an ordinary user.
    """
    if os.geteuid() != 0:
        return None
    for line in Path("/proc/self/uid_map").read_text(encoding="ascii").splitlines():
        inside, _, count = map(int, line.split())
        if inside <= _UNPRIVILEGED_IDS.start and _UNPRIVILEGED_IDS.stop <= inside + count:
            return secrets.choice(_UNPRIVILEGED_IDS)
    return None


def find_node() -> Path:
    """Return the absolute path of Node.js; QiPipelineError when it is not on PATH."""
    node = shutil.which("node")
    if node is None:
        raise QiPipelineError("node is not on PATH; install Node.js 20 or newer")
    return Path(node).resolve()
