"""One commit's relevant files, listed from the object store without reading any of them.

Flows in: a repository on this machine, a commit id and a profile. Flows out: a `RelevantTree` and
its hash, the same one for snapshots and for the commit sensor. Reading content belongs to `take`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from qi_pipeline.artefacts import content_hash
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.library.profile import Profile
from qi_pipeline.source.commands import run_git
from qi_pipeline.source.snapshot import SkippedFile, SkipReason, SnapshotFile

MAX_FILE_BYTES = 5_000_000
"""Larger files are generated or data; nobody learns an idiom from them."""

# Limits of the common file systems: one name, and a whole path with room for the data directory.
_MAX_NAME_BYTES = 255
_MAX_PATH_BYTES = 3_000
_SKIPPED_MODES: dict[bytes, SkipReason] = {b"120000": "symlink", b"160000": "submodule"}


@dataclass(frozen=True)
class RelevantTree:
    """What a snapshot of one commit holds and what it leaves out."""

    files: tuple[SnapshotFile, ...]
    """Sorted by path."""
    skipped: tuple[SkippedFile, ...]
    """Sorted by path."""

    @property
    def hash(self) -> str:
        """SHA-256 (64 hex digits) over the sorted (path, blob, kind) triples."""
        return tree_hash(self.files)


def tree_hash(files: Sequence[SnapshotFile]) -> str:
    """Return the SHA-256 (64 hex digits) over the sorted (path, blob, kind) triples."""
    return content_hash(sorted([file.path, file.blob, file.kind] for file in files))


def read_tree(repository: Path, commit: str, profile: Profile) -> RelevantTree:
    """List the files of `commit` (40 hex digits) that `profile` finds relevant.

    Raises QiPipelineError when there is none to learn from, or when objects are missing (a partial
    clone).
    """
    files: list[SnapshotFile] = []
    skipped: list[SkippedFile] = []
    for entry in _entries(run_git(["ls-tree", "-r", "-l", "-z", commit], directory=repository)):
        kept = classify_entry(entry, profile)
        if isinstance(kept, SnapshotFile):
            files.append(kept)
        elif kept is not None:
            skipped.append(kept)
    if all(file.kind == "manifest" for file in files):
        raise QiPipelineError(_nothing_relevant(commit, profile, skipped))
    return RelevantTree(
        tuple(sorted(files, key=lambda file: file.path)),
        tuple(sorted(skipped, key=lambda file: (file.path, file.reason))),
    )


@dataclass(frozen=True)
class TreeEntry:
    """One entry of a commit's tree, as git lists it."""

    mode: bytes
    blob: str
    size: int | None
    """Bytes; None when the object is missing here."""
    path: bytes


def _entries(listing: bytes) -> Iterator[TreeEntry]:
    for record in listing.split(b"\0"):
        if record:
            facts, path = record.split(b"\t", 1)
            mode, _, blob, size = facts.split()
            yield TreeEntry(mode, blob.decode(), int(size) if size.isdigit() else None, path)


def classify_entry(entry: TreeEntry, profile: Profile) -> SnapshotFile | SkippedFile | None:
    """Return what becomes of an entry: kept, skipped with its reason, or None: not relevant.

    Raises QiPipelineError when a relevant entry's content is missing here.
    """
    path = entry.path.decode("utf-8", "backslashreplace")
    if entry.mode in _SKIPPED_MODES:
        return SkippedFile(path=path, reason=_SKIPPED_MODES[entry.mode])
    kind = profile.kind_of(path)
    if kind is None or kind == "ignored":
        return None
    reason = _refusal(entry)
    if reason is not None:
        return SkippedFile(path=path, reason=reason)
    if entry.size is None:
        raise QiPipelineError(
            f"the repository lacks the content of {path} ({entry.blob}); it is damaged or a "
            "partial clone; use a full clone"
        )
    return SnapshotFile(path=path, blob=entry.blob, kind=kind, size=entry.size)


def _refusal(entry: TreeEntry) -> SkipReason | None:
    try:
        entry.path.decode("utf-8")
    except UnicodeDecodeError:
        return "undecodable path"
    if not _is_safe(entry.path):
        return "unsafe path"
    return "oversize" if (entry.size or 0) > MAX_FILE_BYTES else None


def _is_safe(path: bytes) -> bool:
    names = path.split(b"/")
    return len(path) <= _MAX_PATH_BYTES and all(
        name not in (b"", b".", b"..") and name.lower() != b".git" and len(name) <= _MAX_NAME_BYTES
        for name in names
    )


def _nothing_relevant(commit: str, profile: Profile, skipped: Sequence[SkippedFile]) -> str:
    looked_for = "; ".join(
        f"{rule.kind}: {', '.join(rule.globs)}"
        for rule in profile.sources
        if rule.kind not in ("ignored", "manifest")
    )
    left_out = f" ({len(skipped)} entries were skipped as unsafe)" if skipped else ""
    return (
        f"commit {commit[:12]} has no relevant file{left_out}; profile {profile.name!r} looks for "
        f"{looked_for}; choose another revision, or a profile that fits this repository"
    )
