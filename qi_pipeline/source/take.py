"""Copy one commit's relevant files out of the object store.

Flows in: a git source, a revision and a profile. Flows out: a `Snapshot` in
`<snapshots_dir>/<tree_hash>`. Blobs are written byte for byte: no checkout, so no hook, filter,
line-ending conversion, submodule or link of the repository takes part.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from qi_pipeline.artefacts import build_directory
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.library.profile import Profile
from qi_pipeline.source.commands import hide_credentials, run_git
from qi_pipeline.source.location import Location, locate
from qi_pipeline.source.snapshot import Snapshot, SnapshotFile
from qi_pipeline.source.tree import read_tree

_READ_ONLY = 0o444
# Bounds memory: that many bytes of content are in flight at once.
_BATCH_BYTES = 32_000_000


def take_snapshot(
    source: str, revision: str, profile: Profile, snapshots_dir: Path, mirrors_dir: Path
) -> Snapshot:
    """Copy the relevant files of one commit into `<snapshots_dir>/<tree_hash>`.

    Two commits with the same relevant files share one directory, which is written once and never
    modified. Parameters are those of `locate`; raises QiPipelineError as it does, and when the
    commit has no relevant file or lacks objects (a partial clone).
    """
    location = locate(source, revision, mirrors_dir)
    tree = read_tree(location.repository, location.commit, profile)
    root = build_directory(
        snapshots_dir / tree.hash, lambda folder: _fill(folder, location.repository, tree.files)
    )
    committed_at, subject = _describe(location)
    return Snapshot(
        root=root,
        tree_hash=tree.hash,
        source=hide_credentials(source),
        revision=revision,
        commit=location.commit,
        committed_at=committed_at,
        subject=subject,
        files=tree.files,
        skipped=tree.skipped,
    )


def _describe(location: Location) -> tuple[str, str]:
    """Return the committer's date (ISO 8601 with offset) and the message's first line."""
    # Plumbing on purpose: `git log` may run the signature program that the repository names.
    options = ["--max-count=1", "--format=%cI%n%s", "--encoding=UTF-8"]
    output = run_git(["rev-list", *options, location.commit], directory=location.repository)
    _, committed_at, subject = output.decode("utf-8", "replace").split("\n", 2)
    return committed_at, subject.strip()


def _fill(folder: Path, repository: Path, files: tuple[SnapshotFile, ...]) -> None:
    for batch in _batches(files):
        contents = _read_blobs(repository, batch)
        for file, content in zip(batch, contents, strict=True):
            _write(folder / PurePosixPath(file.path), content)


def _batches(files: Iterable[SnapshotFile]) -> Iterator[list[SnapshotFile]]:
    batch: list[SnapshotFile] = []
    for file in files:
        if batch and sum(item.size for item in batch) + file.size > _BATCH_BYTES:
            yield batch
            batch = []
        batch.append(file)
    if batch:
        yield batch


def _read_blobs(repository: Path, files: list[SnapshotFile]) -> Iterator[bytes]:
    """Yield the content of each file, in order (git-cat-file(1), "batch output")."""
    names = "".join(f"{file.blob}\n" for file in files).encode()
    output = run_git(["cat-file", "--batch"], directory=repository, stdin=names)
    position = 0
    for file in files:
        start = output.index(b"\n", position) + 1
        if output[position:start].split() != [file.blob.encode(), b"blob", b"%d" % file.size]:
            raise QiPipelineError(
                f"{repository} cannot give the content of {file.path} ({file.blob}); it is "
                "damaged; use a fresh clone"
            )
        position = start + file.size + 1
        yield output[start : start + file.size]


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # A malformed tree may list one path twice; the copy must hold what the hash says.
        with path.open("xb") as stream:
            stream.write(content)
    except FileExistsError as error:
        raise QiPipelineError(
            f"the commit lists {path.name} twice; its tree is malformed"
        ) from error
    path.chmod(_READ_ONLY)
