"""An immutable, content-addressed copy of one commit's relevant files.

Flows in: a git source, a revision and a profile. Flows out: a `Snapshot`, whose directory is named
by `tree_hash` and never modified. What the files mean belongs to `extraction`.
"""

from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict

SnapshotKind = Literal[
    "tutorial", "app", "implementation", "test", "api_doc", "notebook", "manifest"
]


class SnapshotFile(BaseModel):
    """One relevant file."""

    model_config = ConfigDict(frozen=True)

    path: str
    """Path in the repository, forward slashes."""
    blob: str
    """Git blob id (40 hex digits)."""
    kind: SnapshotKind
    size: int
    """Bytes."""


SkipReason = Literal["symlink", "submodule", "oversize", "unsafe path", "undecodable path"]


class SkippedFile(BaseModel):
    """One entry of the commit that was left out on purpose.

    Every symbolic link and submodule is listed; the other reasons only for paths that the profile
    finds relevant.
    """

    model_config = ConfigDict(frozen=True)

    path: str
    """Path in the repository; bytes that are not UTF-8 are written as `\\xNN`."""
    reason: SkipReason


class Snapshot(BaseModel):
    """One commit of a library, reduced to what is relevant for learning."""

    model_config = ConfigDict(frozen=True)

    root: Path
    """Directory that holds the files under their repository paths."""
    tree_hash: str
    """SHA-256 (64 hex digits) over the sorted (path, blob, kind) triples."""
    source: str
    """Path or URL as it was given, without credentials."""
    revision: str
    commit: str
    """40 hex digits."""
    committed_at: str
    """ISO 8601 with offset."""
    subject: str
    """First line of the commit message."""
    files: tuple[SnapshotFile, ...]
    """Sorted by path."""
    skipped: tuple[SkippedFile, ...] = ()
    """What was left out and why, sorted by path; not part of `tree_hash`."""

    def path_of(self, file: SnapshotFile) -> Path:
        """Return where the copy of `file` lies."""
        return self.root / PurePosixPath(file.path)

    def read_text(self, file: SnapshotFile) -> str:
        """Return the file's text; undecodable bytes become U+FFFD, so no file can stop a run."""
        return self.path_of(file).read_bytes().decode("utf-8", errors="replace")
