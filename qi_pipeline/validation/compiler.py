"""A client of the TypeScript 7 compiler's API server.

One long-lived native process (`tsc --api --async`) answers JSON-RPC requests framed by
`Content-Length` headers on its standard streams. Requests are pipelined: all are written, then the
answers are collected. Flows in: method names and parameters. Flows out: their results. What is
asked, and what an answer means, belongs to `checker` and `questions`.
"""

import json
import os
import platform
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from qi_pipeline.errors import QiPipelineError

Request = tuple[str, dict[str, Any]]

_STDERR_BYTES_SHOWN = 2000
_PIPE_BYTES = 16_384
"""A quarter of what a pipe holds: writing less never waits for the compiler to read."""
_RUNTIME = {"GOGC": "400", "GOMEMLIMIT": "1GiB"}
"""The compiler is a Go program that makes much garbage with every state of the program. Collecting
it less often saves a third of its work; near the limit (a soft one) it is collected as usual."""
_ARCHITECTURES = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}


class CompilerFailedError(Exception):
    """The compiler process died, fell silent or refused a request; a restart may mend it."""


def compiler_executable(toolchain_dir: Path) -> Path:
    """Return the native `tsc` below `toolchain_dir`.

    Same folder as typescript/lib/getExePath.js names. Raises QiPipelineError when it is missing.
    """
    machine = platform.machine().lower()
    package = f"typescript-{platform.system().lower()}-{_ARCHITECTURES.get(machine, machine)}"
    executable = toolchain_dir / "node_modules" / "@typescript" / package / "lib" / "tsc"
    if not executable.is_file():
        raise QiPipelineError(
            f"no TypeScript compiler at {executable}; run `make setup` (or `npm ci` in "
            f"{toolchain_dir}), or point QI_TOOLCHAIN_DIR at a folder where it has run"
        )
    return executable


class _Round:
    """Requests that are waited for together."""

    def __init__(self, numbers: range) -> None:
        self.numbers = numbers
        self.answers: dict[int, dict[str, Any]] = {}
        self.finished = threading.Event()
        """Set when all answers are there, or no more will come."""
        if not numbers:
            self.finished.set()

    def add(self, number: int, answer: dict[str, Any]) -> None:
        self.answers[number] = answer
        if len(self.answers) == len(self.numbers):
            self.finished.set()

    def in_order(self) -> list[dict[str, Any]]:
        return [self.answers[number] for number in self.numbers]


class Compiler:
    """One compiler process; a context manager that ends the process on exit.

    Several threads may ask at once; starting and stopping is for one.
    """

    def __init__(self, toolchain_dir: Path, directory: Path) -> None:
        """Take the folder of the toolchain and the process's working directory."""
        self._executable = compiler_executable(toolchain_dir)
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None
        self._reader: threading.Thread | None = None
        self._sending = threading.Lock()
        self._rounds: dict[int, _Round] = {}
        """Number of a request that waits for its answer to the round that it is part of."""
        self._ended = True
        self._lost: str | None = None
        """Why the process was given up."""
        self._last_id = 0

    def __enter__(self) -> Self:
        """Start the process."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process."""
        self.stop()

    @property
    def pid(self) -> int | None:
        """Process id, or None when no process runs."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start a fresh process and shake hands with it."""
        self.stop()
        # A file, not a pipe: nobody has to drain it. Appending, because the offset is shared.
        self._stderr = tempfile.TemporaryFile("a+b")  # noqa: SIM115
        self._process = subprocess.Popen(
            [self._executable, "--api", "--async", "--cwd", self._directory],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, **_RUNTIME},
        )
        self._rounds.clear()
        self._ended, self._lost = False, None
        self._reader = threading.Thread(
            target=self._read_answers, args=(self._process,), daemon=True
        )
        self._reader.start()
        self.ask([("initialize", {})], timeout_s=60)

    def stop(self) -> None:
        """End the process, if one runs, and forget its answers."""
        if self._process is None:
            return
        # The server blocks on its input; closing that lets it leave, killing makes sure.
        self._process.kill()
        self._process.wait()
        if self._reader is not None:
            self._reader.join()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            if stream is not None:
                _close_quietly(stream)
        self._process = None
        self._ended = True

    def ask(self, requests: Sequence[Request], timeout_s: float) -> list[Any]:
        """Return the results of `requests`, in order; all are under way at once.

        Raises CompilerFailedError when the process dies, one request is refused, or `timeout_s`
        passes before the last answer, which ends the process.
        """
        process = self._process
        if process is None:
            raise CompilerFailedError("the compiler is not running")
        with self._sending:
            waiting = _Round(range(self._last_id + 1, self._last_id + 1 + len(requests)))
            self._last_id += len(requests)
            self._rounds.update(dict.fromkeys(waiting.numbers, waiting))
            self._write(process, requests, waiting.numbers, timeout_s)
        if self._ended:
            # The reader may have gone before it could see this round.
            waiting.finished.set()
        if not waiting.finished.wait(timeout_s):
            self._give_up(process, timeout_s)
        if len(waiting.answers) < len(requests):
            raise self._failure(self._lost or "ended before it answered")
        answers = waiting.in_order()
        for (method, _), answer in zip(requests, answers, strict=True):
            if "error" in answer:
                raise CompilerFailedError(f"{method}: {answer['error'].get('message')}")
        return [answer.get("result") for answer in answers]

    def _give_up(self, process: subprocess.Popen[bytes], timeout_s: float) -> None:
        """End a process that fell silent: everyone else who waits for it need not wait as long."""
        self._lost = f"gave no answer within {timeout_s:.0f} s"
        process.kill()

    def _write(
        self,
        process: subprocess.Popen[bytes],
        requests: Sequence[Request],
        numbers: range,
        timeout_s: float,
    ) -> None:
        frames = bytearray()
        for number, (method, parameters) in zip(numbers, requests, strict=True):
            message = {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}
            body = json.dumps(message).encode()
            frames += b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        watch = threading.Timer(timeout_s, self._give_up, (process, timeout_s))
        if len(frames) > _PIPE_BYTES:
            watch.start()
        try:
            if process.stdin is not None:
                process.stdin.write(frames)
                process.stdin.flush()
        except OSError as error:
            raise self._failure(self._lost or "closed its input") from error
        finally:
            watch.cancel()

    def _failure(self, what: str) -> CompilerFailedError:
        return CompilerFailedError(f"the TypeScript compiler {what}{self._stderr_tail()}")

    def _stderr_tail(self) -> str:
        if self._stderr is None or self._stderr.closed:
            return ""
        stderr = self._stderr.fileno()
        start = max(0, os.fstat(stderr).st_size - _STDERR_BYTES_SHOWN)
        text = os.pread(stderr, _STDERR_BYTES_SHOWN, start).decode(errors="replace").strip()
        return f"; it wrote: {text}" if text else ""

    def _read_answers(self, process: subprocess.Popen[bytes]) -> None:
        stream = process.stdout
        try:
            while stream is not None and (message := _read_frame(stream)) is not None:
                waiting = self._rounds.pop(message.get("id", 0), None)
                if waiting is not None:
                    waiting.add(message["id"], message)
        finally:
            self._ended = True
            for waiting in list(self._rounds.values()):
                waiting.finished.set()


def _close_quietly(stream: IO[bytes]) -> None:
    try:
        stream.close()
    except BrokenPipeError:
        # Unsent bytes for a process that is gone are of no use to anyone.
        return


def _read_frame(stream: IO[bytes]) -> dict[str, Any] | None:
    """Return the next JSON-RPC message, or None at the end of the stream."""
    length = 0
    while (line := stream.readline()) not in (b"\r\n", b""):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    body = stream.read(length)
    if not length or len(body) < length:
        return None
    message = json.loads(body)
    return message if isinstance(message, dict) else {}
