"""A bare copy of a remote repository, kept up to date with as little traffic as possible.

Flows in: a URL, a revision and a folder for mirrors. Flows out: the mirror's path and, where the
remote named it, the commit. A mirror holds branches, tags and the remote's HEAD; it stores neither
the URL nor its credentials. Local paths do not belong here.
"""

import fcntl
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qi_pipeline.artefacts import build_directory
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.source.commands import (
    NETWORK_TRANSPORTS,
    GitError,
    hide_credentials,
    run_git,
)

LIST_SECONDS = 60.0
"""Time limit for asking a remote for its refs."""
FETCH_SECONDS = 900.0
"""Time limit for fetching; a first copy of a large repository needs minutes."""

_FULL_ID = re.compile(r"[0-9a-f]{40}")
_NO_HEAD = "refs/qi/no-head"


def commit_in_mirror(url: str, revision: str, mirrors_dir: Path) -> tuple[Path, str | None]:
    """Bring the mirror of `url` far enough up to date to hold `revision`.

    Returns the mirror's path and the commit id, or None where the mirror itself must resolve the
    revision (abbreviated ids, expressions such as `main~2`). A full commit id that is already there
    needs no network; a branch or tag whose commit is already there needs no fetch.
    Raises QiPipelineError when the remote cannot be reached, refuses, or has no commits.
    """
    mirror = mirrors_dir / f"{hashlib.sha256(hide_credentials(url).encode()).hexdigest()}.git"
    mirrors_dir.mkdir(parents=True, exist_ok=True)
    with _locked(mirror.with_suffix(".lock")):
        if _FULL_ID.fullmatch(revision) and _holds(mirror, revision):
            return mirror, revision
        refs = _remote_refs(url, mirrors_dir)
        wanted = _named_commit(refs, revision)
        if wanted is None or not _holds(mirror, wanted):
            _update(mirror, url, refs)
            # A tag may name something that is no commit; the mirror then says so.
            wanted = wanted if wanted is not None and _holds(mirror, wanted) else None
        return mirror, wanted


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    # The kernel drops this lock when its holder dies, however it dies.
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def _reach(url: str, arguments: list[str], directory: Path, seconds: float) -> bytes:
    try:
        return run_git(
            arguments, directory=directory, transports=NETWORK_TRANSPORTS, seconds=seconds
        )
    except GitError as error:
        if "belongs to another user" in str(error):
            raise
        raise QiPipelineError(
            f"cannot read {hide_credentials(url)}: {error.last_line}; check the address, the "
            "network and your credentials (`git ls-remote` with that address must work)"
        ) from error


def _remote_refs(url: str, mirrors_dir: Path) -> dict[str, str]:
    """Return HEAD, branches and tags (`^{}` for what an annotated tag points at) to object id."""
    listing = _reach(url, ["ls-remote", "--", url], mirrors_dir, LIST_SECONDS).decode()
    pairs = (line.split("\t", 1) for line in listing.splitlines())
    refs = {
        name: identity
        for identity, name in pairs
        if name == "HEAD" or name.startswith(("refs/heads/", "refs/tags/"))
    }
    if not refs:
        raise QiPipelineError(
            f"the repository at {hide_credentials(url)} has no commits; push one, or choose another"
        )
    return refs


def _named_commit(refs: dict[str, str], revision: str) -> str | None:
    # Git's own order of precedence (gitrevisions(7)).
    for name in (revision, f"refs/{revision}", f"refs/tags/{revision}", f"refs/heads/{revision}"):
        if name in refs:
            return refs.get(f"{name}^{{}}", refs[name])
    return None


def _holds(mirror: Path, commit: str) -> bool:
    if not mirror.is_dir():
        return False
    answer = run_git(["cat-file", "--batch-check"], directory=mirror, stdin=f"{commit}\n".encode())
    return answer.split()[1:2] == [b"commit"]


def _update(mirror: Path, url: str, refs: dict[str, str]) -> None:
    if not mirror.is_dir():
        build_directory(mirror, lambda folder: _fill(folder, url, refs))
    elif _mirrored_refs(mirror) != {n: i for n, i in refs.items() if not n.endswith("^{}")}:
        # Left by a fetch that was killed; nobody else works here while we hold the lock.
        for stale in mirror.rglob("*.lock"):
            stale.unlink()
        _fetch(mirror, url, refs)


def _mirrored_refs(mirror: Path) -> dict[str, str]:
    # `show-ref` fails when there is nothing to show, `for-each-ref` leaves HEAD out.
    listing = run_git(
        ["for-each-ref", "--format=%(objectname) %(refname)", "refs/heads", "refs/tags"],
        directory=mirror,
    )
    pairs = (line.split(" ", 1) for line in listing.decode().splitlines())
    refs = {name: identity for identity, name in pairs}
    head = (mirror / "HEAD").read_text().strip()
    return refs if head.startswith("ref:") else refs | {"HEAD": head}


def _fill(folder: Path, url: str, refs: dict[str, str]) -> None:
    # An empty template leaves no hooks, not even samples.
    run_git(["init", "--quiet", "--bare", "--template=", "."], directory=folder)
    _fetch(folder, url, refs)


def _fetch(mirror: Path, url: str, refs: dict[str, str]) -> None:
    head = ["+HEAD:refs/qi/HEAD"] if "HEAD" in refs else []
    specifications = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*", *head]
    options = [
        "--quiet",
        "--prune",
        "--no-tags",
        "--no-recurse-submodules",
        "--no-write-fetch-head",
    ]
    _reach(url, ["fetch", *options, "--", url, *specifications], mirror, FETCH_SECONDS)
    if head:
        run_git(["update-ref", "--no-deref", "HEAD", "refs/qi/HEAD"], directory=mirror)
    else:
        run_git(["symbolic-ref", "HEAD", _NO_HEAD], directory=mirror)
