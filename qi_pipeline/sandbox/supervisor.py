"""One run of the launcher, watched from outside the wall.

Flows in: the launcher's specification and the limits. Flows out: a `ProcessOutcome` once no process
of the run is left. It enforces what no process can be trusted with: wall-clock time, the memory of
all processes together, and the amount of output. Which walls stand is `launcher`'s to say.
"""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from qi_pipeline.sandbox.limits import Limits

Ending = Literal["exited", "signalled", "timed_out", "out_of_memory", "too_much_output"]

_LAUNCHER = Path(__file__).with_name("launcher.py")
_POLL_SECONDS = 0.05
_CHUNK = 1 << 16
_GRACE_SECONDS = 5.0
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class ProcessOutcome:
    """How one command ended; none of its processes is left."""

    ending: Ending
    """`exited` and `signalled` are the command's own; the others mean that a limit ended it."""
    code: int | None
    """Exit status, or the number of the signal; None where a limit ended it."""
    stdout: str
    """Undecodable bytes become U+FFFD."""
    stderr: str
    seconds: float
    """Wall-clock time, the starting of the sandbox included."""
    cpu_seconds: float
    """Processor time of the command and of its processes that it waited for."""

    @property
    def succeeded(self) -> bool:
        """Tell whether the command exited by itself with status 0."""
        return self.ending == "exited" and self.code == 0

    def describe(self) -> str:
        """Return how it ended in words, such as `exited (1) after 0.3 s`."""
        code = "" if self.code is None else f" ({self.code})"
        return f"{self.ending.replace('_', ' ')}{code} after {self.seconds:.1f} s"


@dataclass(frozen=True)
class Refusal:
    """What the launcher says when the machine does not grant a layer."""

    layer: str
    reason: str


@dataclass
class _Streams:
    """What has been read so far from the command and from the launcher."""

    input: bytes
    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    status: bytearray = field(default_factory=bytearray)

    @property
    def output_bytes(self) -> int:
        return len(self.stdout) + len(self.stderr)


def supervise(spec: dict[str, Any], limits: Limits, stdin: bytes) -> ProcessOutcome | Refusal:
    """Run one specification of the launcher under `limits`, giving the command `stdin` to read.

    The calling thread must be the one that waits: with its end the kernel ends the run.
    """
    started = time.monotonic()
    read_end, write_end = os.pipe()
    spec = {**spec, "parent": os.getpid()}
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_LAUNCHER), json.dumps(spec), str(write_end)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            pass_fds=(write_end,), start_new_session=True, env={}, bufsize=0,
        )  # fmt: skip
    finally:
        os.close(write_end)
    with process, os.fdopen(read_end, "rb", buffering=0) as status:
        streams = _Streams(stdin)
        try:
            stopped = _watch(process, status, streams, limits, started + limits.wall_seconds)
        finally:
            _end(process)
        streams.status += status.read()
    return _outcome(streams, stopped, limits, time.monotonic() - started)


def _watch(
    process: subprocess.Popen[bytes],
    status: IO[bytes],
    streams: _Streams,
    limits: Limits,
    deadline: float,
) -> Ending | None:
    """Move bytes until the launcher ends; return which limit was hit, None for none."""
    assert process.stdin is not None  # noqa: S101 - asked for above
    assert process.stdout is not None  # noqa: S101
    assert process.stderr is not None  # noqa: S101
    os.set_blocking(process.stdin.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, streams.stdout)
        selector.register(process.stderr, selectors.EVENT_READ, streams.stderr)
        selector.register(status, selectors.EVENT_READ, streams.status)
        selector.register(process.stdin, selectors.EVENT_WRITE)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                return "timed_out"
            for key, _ in selector.select(min(left, _POLL_SECONDS)):
                _move(key, selector, streams)
            if streams.output_bytes > limits.output_bytes:
                return "too_much_output"
            if memory_of_descendants(process.pid) > limits.memory_bytes:
                return "out_of_memory"
    return None


def _move(key: selectors.SelectorKey, selector: selectors.BaseSelector, streams: _Streams) -> None:
    """Read or write what one stream is ready for; a finished one is closed for the selector."""
    stream: Any = key.fileobj
    if key.data is None:
        try:
            streams.input = streams.input[os.write(key.fd, streams.input[:_CHUNK]) :]
        except BrokenPipeError:
            streams.input = b""
        if not streams.input:
            selector.unregister(stream)
            stream.close()
        return
    data = os.read(key.fd, _CHUNK)
    key.data.extend(data)
    if not data:
        selector.unregister(stream)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Leave no process of the run behind."""
    process.terminate()
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
    # Without namespaces (a person switched them off) only the session binds the processes together.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _outcome(
    streams: _Streams, stopped: Ending | None, limits: Limits, seconds: float
) -> ProcessOutcome | Refusal:
    records = [json.loads(line) for line in streams.status.splitlines()]
    for record in records:
        if "refused" in record:
            return Refusal(record["refused"], record["reason"])
    end = records[-1] if records else {}
    cpu_seconds = end.get("cpu_seconds", 0.0)
    # The kernel kills at the limit of processor time, which it counts in ticks and reports finer.
    if end.get("signal") == signal.SIGKILL and cpu_seconds > limits.cpu_seconds / 2:
        stopped = stopped or "timed_out"
    code = None if stopped else end.get("exit", end.get("signal"))
    return ProcessOutcome(
        ending=stopped or ("exited" if "exit" in end else "signalled"),
        code=code,
        stdout=streams.stdout.decode("utf-8", errors="replace"),
        stderr=streams.stderr.decode("utf-8", errors="replace"),
        seconds=seconds,
        cpu_seconds=cpu_seconds,
    )


def memory_of_descendants(pid: int) -> int:
    """Return the resident bytes of all processes below `pid`, pages shared by them counted twice.

    Processes that end meanwhile count as zero.
    """
    total = 0
    waiting = _children(pid)
    while waiting:
        child = waiting.pop()
        with contextlib.suppress(OSError):
            pages = int(Path(f"/proc/{child}/statm").read_bytes().split()[1])
            total += pages * _PAGE
        waiting.extend(_children(child))
    return total


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_bytes().split())
    return found
