"""Content hashes and files that appear whole or not at all.

Every artefact is written to a temporary sibling and renamed into place, so a process killed at
any instant leaves nothing half-written under a final name; what it did leave is swept by the next
process that writes there. What an artefact means belongs to the package that writes it, not here.
"""

import errno
import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.processes import is_alive

_TEMPORARY_MARK: Final = ".partial-"
_FOREIGN_LIFETIME: Final = 24 * 3600.0
"""Seconds after which a temporary of another machine or container counts as abandoned."""
_PROCESS: Final = secrets.token_hex(4)
"""Tells this process from an earlier one with its id, as in a container where each one is 1."""
_SWEPT: Final[set[Path]] = set()
"""Directories swept already: once is enough, and a cache of thousands of files stays fast."""


def content_hash(value: Any) -> str:
    """Return the SHA-256 (64 hex digits) of `value` as canonical JSON (sorted keys, UTF-8)."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def file_hash(path: Path) -> str:
    """Return the SHA-256 (64 hex digits) of the file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def directory_hash(directory: Path) -> str:
    """Return the SHA-256 over the sorted (relative path, file hash) pairs below `directory`."""
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return content_hash(
        [[file.relative_to(directory).as_posix(), file_hash(file)] for file in files]
    )


def _process_space() -> str:
    """Return 8 hex digits for the machine and container within which a process id has a meaning."""
    namespace = Path("/proc/self/ns/pid")
    inode = namespace.stat().st_ino if namespace.exists() else 0
    return content_hash([os.uname().nodename, inode])[:8]


def _is_abandoned(path: Path) -> bool:
    """Tell whether the process that was writing the temporary `path` is gone."""
    parts = path.name.rsplit(_TEMPORARY_MARK, 1)[1].split("-")
    if len(parts) != 4 or not parts[1].isdigit():  # noqa: PLR2004
        return False
    space, pid, process, _ = parts
    if space != _process_space():
        # On a shared volume a living writer elsewhere must not lose its work to our process table.
        return time.time() - path.lstat().st_mtime > _FOREIGN_LIFETIME
    if int(pid) == os.getpid():
        return process != _PROCESS
    return not is_alive(int(pid))


def sweep_abandoned(directory: Path) -> int:
    """Delete temporary siblings left in `directory` by processes that no longer run.

    Those of another machine or container go after a day. Returns the number of entries removed.
    """
    removed = 0
    for path in directory.glob(f".*{_TEMPORARY_MARK}*"):
        # Others sweep and finish at the same time, so an entry may vanish at any point.
        try:
            abandoned = _is_abandoned(path)
        except FileNotFoundError:
            continue
        if abandoned:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
            removed += 1
    return removed


def _temporary_sibling(destination: Path) -> Path:
    parent = destination.parent
    parent.mkdir(parents=True, exist_ok=True)
    if parent not in _SWEPT:
        sweep_abandoned(parent)
        _SWEPT.add(parent)
    owner = f"{_process_space()}-{os.getpid()}-{_PROCESS}"
    return parent / f".{destination.name}{_TEMPORARY_MARK}{owner}-{secrets.token_hex(4)}"


@contextmanager
def disk_space_errors_named(destination: Path) -> Iterator[None]:
    """Turn "no space left" into an error that names the artefact and the mend."""
    try:
        yield
    except QiPipelineError:
        raise
    except Exception as error:
        if _says_disk_full(error):
            raise QiPipelineError(
                f"no space left while writing {destination}; free space on that disk or point "
                "QI_DATA_DIR at another one; nothing half-written was kept"
            ) from error
        raise


def _says_disk_full(error: Exception) -> bool:
    """Tell whether an error means a full disk, in the words of Python or of a native library."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return any(words in str(error) for words in ("No space left on device", "disk is full"))


def build_directory(destination: Path, build: Callable[[Path], object]) -> Path:
    """Make the directory `destination` whole: `build` fills a sibling, which is then renamed.

    An existing `destination` is returned untouched (content-named directories never change).
    When `build` raises, the sibling is deleted and the error propagates; a full disk raises
    QiPipelineError naming the destination.
    """
    if destination.is_dir():
        return destination
    with disk_space_errors_named(destination):
        temporary = _temporary_sibling(destination)
        try:
            temporary.mkdir()
            build(temporary)
            try:
                temporary.rename(destination)
            except OSError:
                # Another process finished the same content first; its copy is as good.
                if not destination.is_dir():
                    raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    return destination


def write_bytes(path: Path, data: bytes) -> Path:
    """Replace the file `path` by `data` in one step."""
    with disk_space_errors_named(path):
        temporary = _temporary_sibling(path)
        try:
            temporary.write_bytes(data)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    return path


def write_text(path: Path, text: str) -> Path:
    """Replace the UTF-8 file `path` by `text` in one step."""
    return write_bytes(path, text.encode())


def write_json(path: Path, value: Any) -> Path:
    """Replace the file `path` by `value` as indented JSON with sorted keys, in one step."""
    return write_text(path, json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    """Replace the file `path` by one JSON object per line, keys in the given order, in one step."""
    return write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Return the objects of a JSON Lines file.

    Raises QiPipelineError naming the file and line when a line is not a JSON object.
    """
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise QiPipelineError(f"{path}:{number} is not JSON: {error.msg}") from error
        if not isinstance(row, dict):
            raise QiPipelineError(f"{path}:{number} holds {type(row).__name__}, expected an object")
        rows.append(row)
    return rows
