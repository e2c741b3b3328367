"""Every commit that led to one commit, with the relevant files that each one holds.

Flows in: a repository on this machine, a commit id and a profile. Flows out: `HistoryCommit`s,
oldest first, and the texts of their blobs. Nothing is checked out and no commit is copied; git is
asked three questions for the whole history, whatever its length. What the files mean, and what
changed between two commits, belongs to the readers.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.library.profile import Profile
from qi_pipeline.source.commands import GitSession, git_session, run_git
from qi_pipeline.source.snapshot import SnapshotFile
from qi_pipeline.source.tree import TreeEntry, classify_entry

_NO_OBJECT = "0" * 40
_GITLINK = b"160000"
# Plumbing ignores most of a repository's settings; these close what is left.
_RAW_DIFF = ("--stdin", "--raw", "-r", "-z", "--root", "--no-abbrev", "--no-renames",
             "--no-ext-diff", "--no-textconv", "--ignore-submodules=none")  # fmt: skip


@dataclass(frozen=True)
class HistoryCommit:
    """One commit and the relevant files it holds."""

    commit: str
    """40 hex digits."""
    parents: tuple[str, ...]
    """Commit ids, the first parent first; none for a root, and where a shallow clone ends."""
    committed_at: str
    """ISO 8601 with offset."""
    subject: str
    """First line of the commit message."""
    files: tuple[SnapshotFile, ...]
    """What a snapshot of this commit holds, sorted by path; empty when there is nothing to learn
    from. Commits that change nothing relevant share the tuple of their parent."""


def read_history(repository: Path, commit: str, profile: Profile) -> list[HistoryCommit]:
    """Return `commit` and all its ancestors, every one after its parents, `commit` last.

    All ancestors, side branches included: those who pair a commit with its parent need each of
    them. `main_line` leaves the states that `commit`'s own branch went through. Raises GitError
    when the commit is unknown, and QiPipelineError when objects are missing (a partial clone).
    """
    described = _describe(repository, commit)
    changes = _changes(repository, described)
    files = _classified(repository, changes, profile)
    states: dict[str, tuple[SnapshotFile, ...]] = {}
    history = []
    for item in described:
        before = states[item.parents[0]] if item.parents else ()
        after = _apply(before, changes.get(item.commit, ()), files)
        states[item.commit] = after
        learnable = any(file.kind != "manifest" for file in after)
        history.append(
            HistoryCommit(
                item.commit,
                item.parents,
                item.committed_at,
                item.subject,
                after if learnable else (),
            )
        )
    return history


def main_line(history: Sequence[HistoryCommit]) -> list[HistoryCommit]:
    """Return the last commit's first-parent chain, oldest first.

    A side branch shows as one step, its merge: between the commits of two branches the counts of a
    history in topological order would jump to and fro.
    """
    by_id = {item.commit: item for item in history}
    chain: list[HistoryCommit] = []
    current = history[-1] if history else None
    while current is not None:
        chain.append(current)
        current = by_id[current.parents[0]] if current.parents else None
    return chain[::-1]


def is_shallow(repository: Path) -> bool:
    """Tell whether the repository is a shallow clone, whose history begins somewhere later."""
    answer = run_git(["rev-parse", "--is-shallow-repository"], directory=repository)
    return answer.strip() == b"true"


class BlobReader:
    """Reads blobs through one `git cat-file --batch`; a context manager, for one thread."""

    def __init__(self, repository: Path) -> None:
        """Take a repository on this machine."""
        self._repository = repository
        self._stack = ExitStack()
        self._session: GitSession | None = None

    def __enter__(self) -> Self:
        """Start git."""
        self._session = self._stack.enter_context(
            git_session(["cat-file", "--batch"], directory=self._repository)
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End git."""
        self._session = None
        self._stack.close()

    def read_text(self, blob: str) -> str:
        """Return the blob's text as `Snapshot.read_text` does: undecodable bytes become U+FFFD.

        Raises QiPipelineError when the repository holds no blob of that id.
        """
        return self.read_bytes(blob).decode("utf-8", errors="replace")

    def read_bytes(self, blob: str) -> bytes:
        """Return the blob's bytes; raises as `read_text` does."""
        if self._session is None:
            raise RuntimeError("use BlobReader in a with statement")
        if len(blob) != len(_NO_OBJECT) or not blob.isalnum():
            raise QiPipelineError(f"{blob!r} is not a blob id; expected 40 hex digits")
        self._session.send(blob.encode())
        header = self._session.read_line().split()
        if header[:2] != [blob.encode(), b"blob"]:
            if len(header) == len((blob, "type", "size")):
                self._session.read_bytes(int(header[2]) + 1)
            raise QiPipelineError(
                f"{self._repository} holds no blob {blob}; it is damaged or a partial clone; use a "
                "full clone"
            )
        return self._session.read_bytes(int(header[2]) + 1)[:-1]


@dataclass(frozen=True)
class _Described:
    commit: str
    parents: tuple[str, ...]
    committed_at: str
    subject: str


@dataclass(frozen=True)
class _Change:
    """What a commit put at a path; `blob` is `_NO_OBJECT` where it removed it."""

    mode: bytes
    blob: str
    path: bytes

    @property
    def removed(self) -> bool:
        return self.blob == _NO_OBJECT


_Files = Mapping[_Change, SnapshotFile]
"""Every change that leaves a relevant file, and that file."""


def _describe(repository: Path, commit: str) -> list[_Described]:
    """List the ancestors, parents first (plumbing: `git log` may run a signature program)."""
    options = ["--topo-order", "--reverse", "--encoding=UTF-8", "--format=%P%n%cI%n%s"]
    output = run_git(["rev-list", *options, "--end-of-options", commit, "--"], directory=repository)
    lines = output.decode("utf-8", "replace").split("\n")
    return [
        _Described(
            heading.removeprefix("commit "), tuple(parents.split()), committed_at, subject.strip()
        )
        for heading, parents, committed_at, subject in zip(
            lines[:-1:4], lines[1::4], lines[2::4], lines[3::4], strict=True
        )
    ]


def _changes(repository: Path, commits: Iterable[_Described]) -> dict[str, list[_Change]]:
    """Return what each commit changed against its first parent, everything for a root."""
    asked = "".join(" ".join([item.commit, *item.parents[:1]]) + "\n" for item in commits)
    output = run_git(["diff-tree", *_RAW_DIFF], directory=repository, stdin=asked.encode())
    changes: dict[str, list[_Change]] = {}
    current: list[_Change] = []
    records = iter(output.split(b"\0"))
    for record in records:
        if record.startswith(b":"):
            _, mode, _, blob, _ = record.split()
            current.append(_Change(mode, blob.decode(), next(records)))
        elif record:
            current = changes.setdefault(record.decode().strip(), [])
    return changes


def _classified(
    repository: Path, changes: Mapping[str, Sequence[_Change]], profile: Profile
) -> _Files:
    distinct = {
        change for found in changes.values() for change in found if _may_matter(change, profile)
    }
    sizes = _sizes(repository, {change.blob for change in distinct if change.mode != _GITLINK})
    entries = (
        (change, TreeEntry(change.mode, change.blob, sizes.get(change.blob), change.path))
        for change in distinct
    )
    kept = ((change, classify_entry(entry, profile)) for change, entry in entries)
    return {change: file for change, file in kept if isinstance(file, SnapshotFile)}


def _may_matter(change: _Change, profile: Profile) -> bool:
    path = change.path.decode("utf-8", "backslashreplace")
    return not change.removed and profile.kind_of(path) is not None


def _sizes(repository: Path, blobs: Iterable[str]) -> dict[str, int]:
    """Return the bytes of each blob; a missing one is left out."""
    asked = "".join(f"{blob}\n" for blob in sorted(blobs)).encode()
    output = run_git(["cat-file", "--batch-check"], directory=repository, stdin=asked)
    return {identity: int(size) for identity, size in _sized(output.decode().splitlines())}


def _sized(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        words = line.split()
        if words[1:2] == ["blob"]:
            yield words[0], words[2]


def _apply(
    before: tuple[SnapshotFile, ...], changes: Sequence[_Change], files: _Files
) -> tuple[SnapshotFile, ...]:
    state = {file.path: file for file in before}
    touched = False
    for change in changes:
        path = change.path.decode("utf-8", "backslashreplace")
        touched = state.pop(path, None) is not None or touched
        if change in files:
            state[path] = files[change]
            touched = True
    return tuple(state[path] for path in sorted(state)) if touched else before
