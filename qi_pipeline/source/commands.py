"""Run git so that nothing of the repository it reads can run.

Flows in: arguments and a directory. Flows out: standard output as bytes, or a `GitError` with
git's own last line. Only plumbing that reads objects and refs, and fetch into a mirror of our own,
belong here; nothing that checks out, filters, merges or opens a submodule does.
"""

import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from qi_pipeline.errors import QiPipelineError

LOCAL_SECONDS = 120.0
"""Time limit of a command that reads a repository on this machine."""

# A local read must never reach a transport: in a partial clone git fetches missing objects by
# itself, through a remote, ssh command or upload-pack program that the repository's config names.
NO_TRANSPORT = "none"
NETWORK_TRANSPORTS = "file:git:http:https:ssh"

# The person's own settings for reaching a remote. Every other GIT_* variable is dropped: inside a
# git hook GIT_DIR and its kind would point these commands at another repository.
_KEPT_VARIABLES = frozenset({
    "GIT_ASKPASS", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_SYSTEM", "GIT_EXEC_PATH",
    "GIT_SSH", "GIT_SSH_COMMAND", "GIT_SSH_VARIANT", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH",
    "GIT_SSL_CERT", "GIT_SSL_KEY",
})  # fmt: skip

# Command-line config wins over the repository's. The person's own global and system config stay
# readable, because proxies, credentials and safe.directory live there.
_CONFIG = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "protocol.ext.allow=never",
    # A repository given by path may be bare; the default of some machines refuses those.
    "safe.bareRepository=all",
    # A detached clean-up would outlive the lock that guards the mirror.
    "gc.autoDetach=false",
    "maintenance.autoDetach=false",
    # A connection that stalls ends by itself, before the time limit.
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=30",
)

# What git prints after the reason of a failed connection.
_ADVICE = (
    "fatal: Could not read from remote repository",
    "Please make sure you have the correct access rights",
    "and the repository exists.",
)


class GitError(QiPipelineError):
    """Git ended with an error or ran past its time limit."""

    def __init__(self, message: str, last_line: str) -> None:
        super().__init__(message)
        self.last_line = last_line


def hide_credentials(text: str) -> str:
    """Return `text` with the user and password of every http(s) URL removed."""
    return re.sub(r"(https?://)[^/@\s']+@", r"\1", text)


def run_git(
    arguments: Sequence[str],
    *,
    directory: Path,
    stdin: bytes = b"",
    transports: str = NO_TRANSPORT,
    seconds: float = LOCAL_SECONDS,
) -> bytes:
    """Return what `git <arguments>` prints when run in the repository at `directory`.

    `directory` is the work tree, the bare repository or, for `ls-remote` and `init`, any folder;
    its parents are never searched for a repository. Raises GitError when git fails or runs longer
    than `seconds`, and QiPipelineError when there is no git.
    """
    process = _start(arguments, directory, transports, subprocess.PIPE)
    try:
        output, errors = process.communicate(stdin, timeout=seconds)
    except BaseException as error:
        _kill_group(process)
        if isinstance(error, subprocess.TimeoutExpired):
            line = f"no answer within {seconds:g} s"
            raise GitError(f"git {arguments[0]}: {line}", line) from error
        raise
    if process.returncode != 0:
        raise _failure(arguments[0], directory, errors, process.returncode)
    return output


@contextmanager
def git_session(arguments: Sequence[str], *, directory: Path) -> Iterator["GitSession"]:
    """Run `git <arguments>` for as long as the block lasts; for `cat-file --batch` and its kind.

    The process reads this machine only, as `run_git` does by default, and is gone when the block
    ends, however it ends.
    """
    with tempfile.TemporaryFile() as errors:
        process = _start(arguments, directory, NO_TRANSPORT, errors)
        try:
            yield GitSession(arguments[0], directory, process, errors)
        finally:
            # Without a transport git has no children.
            process.kill()
            process.communicate()


@dataclass(frozen=True)
class GitSession:
    """A running git that answers one line of input after the other."""

    command: str
    directory: Path
    process: subprocess.Popen[bytes]
    errors: IO[bytes]

    def send(self, line: bytes) -> None:
        """Write one line of input; raises GitError when git has ended."""
        stream = self.process.stdin
        try:
            if stream is not None:
                stream.write(line + b"\n")
                stream.flush()
        except BrokenPipeError as error:
            raise self._ended() from error

    def read_line(self) -> bytes:
        """Return the next line of output without its end; raises GitError when git has ended."""
        line = self.process.stdout.readline() if self.process.stdout is not None else b""
        if not line.endswith(b"\n"):
            raise self._ended()
        return line[:-1]

    def read_bytes(self, size: int) -> bytes:
        """Return the next `size` bytes of output; raises GitError when git has ended."""
        data = self.process.stdout.read(size) if self.process.stdout is not None else b""
        if len(data) < size:
            raise self._ended()
        return data

    def _ended(self) -> GitError:
        status = self.process.wait(LOCAL_SECONDS)
        self.errors.seek(0)
        return _failure(self.command, self.directory, self.errors.read(), status)


def _start(
    arguments: Sequence[str], directory: Path, transports: str, errors: int | IO[bytes]
) -> subprocess.Popen[bytes]:
    settings = [part for item in _CONFIG for part in ("-c", item)]
    try:
        return subprocess.Popen(
            ["git", *settings, *arguments],
            cwd=directory,
            env=_environment(directory, transports),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            # Without a terminal ssh cannot ask for a password and wait for ever.
            start_new_session=True,
        )
    except FileNotFoundError as error:
        if not directory.is_dir():
            raise QiPipelineError(f"no directory {directory}") from error
        raise QiPipelineError("git is not installed; install it (2.30 or newer)") from error


def _failure(command: str, directory: Path, errors: bytes, status: int) -> GitError:
    line = _last_line(errors) or f"status {status}"
    return GitError(f"git {command} in {directory}: {_with_mend(line)}", line)


def _with_mend(line: str) -> str:
    owner = re.search(r"dubious ownership in repository at '(.+)'", line)
    if owner:
        return (
            f"the repository at {owner[1]} belongs to another user, so git refuses to read it; if "
            f"you trust it: git config --global --add safe.directory {owner[1]}"
        )
    if "promisor remote" in line:
        return f"{line}; this is a partial clone, and nothing is fetched for it; use a full clone"
    return line


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    # ssh and the http helpers are children of git; they share its session.
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _last_line(errors: bytes) -> str:
    lines = [line.strip() for line in errors.decode("utf-8", "replace").splitlines()]
    said = [line for line in lines if line and not line.startswith(_ADVICE)]
    fatal = [line for line in said if line.startswith(("fatal:", "error:"))]
    return hide_credentials((fatal or said or lines or [""])[-1])


def _environment(directory: Path, transports: str) -> Mapping[str, str]:
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("GIT_") or name in _KEPT_VARIABLES
    }
    return inherited | {
        "GIT_ALLOW_PROTOCOL": transports,
        "GIT_CEILING_DIRECTORIES": str(directory.resolve().parent),
        "GIT_NO_LAZY_FETCH": "1",
        # Replacement refs would show other content under a blob's id.
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
        "LANGUAGE": "C",
    }
