"""The sample history as a real git repository.

Flows in: the states of `history.py`. Flows out: a repository on disk with the
same commit ids on every machine. Names, dates and settings are fixed here, so
neither the clock nor anybody's git configuration has a say.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from git import Repo

from qi_pipeline.sample.history import COMMITS, Commit, Tree, states

BRANCH = "main"
IDENTITY = "QiCore Sample <sample@example.invalid>"
FIRST_COMMIT_TIME = 1_704_704_400  # 2024-01-08 09:00 UTC
SECONDS_BETWEEN_COMMITS = 86_400


def build_sample_repository(destination: Path) -> str:
    """Write the sample repository to `destination` and return the id of its HEAD commit.

    The repository is built beside the destination and renamed at the end, so
    that an interruption leaves nothing half-made there.

    Raises FileExistsError when the destination is anything but an empty folder.
    """
    destination = destination.absolute()
    _refuse_occupied(destination)
    destination.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{destination.name}-", dir=destination.parent))
    try:
        head = _write_repository(partial)
        # mkdtemp makes folders for one user only; the repository is no secret.
        partial.chmod(0o755)
        partial.replace(destination)
    except BaseException:
        shutil.rmtree(partial)
        raise
    return head


def commit_ids(repository: Path) -> dict[str, str]:
    """Return the commit id of every slug of the sample history, oldest first."""
    with Repo(repository) as repo:
        by_message = {str(commit.message).strip(): commit.hexsha for commit in repo.iter_commits()}
    return {commit.slug: by_message[commit.message] for commit in COMMITS}


def _refuse_occupied(destination: Path) -> None:
    if not destination.exists() and not destination.is_symlink():
        return
    if destination.is_dir() and not destination.is_symlink() and not any(destination.iterdir()):
        return
    raise FileExistsError(
        f"{destination} is not empty; the sample repository needs a folder that is new or empty"
    )


def _write_repository(root: Path) -> str:
    environment = _isolated_environment(root)
    with Repo.init(root, initial_branch=BRANCH, env=environment) as repo:
        repo.git.update_environment(**environment)
        with tempfile.TemporaryFile() as stream:
            stream.writelines(_import_stream(states()))
            stream.seek(0)
            # fast-import writes blobs, trees and commits as given: no index, hook,
            # filter or signature comes between.
            repo.git.fast_import("--quiet", istream=stream)
        repo.git.reset("--hard", "--quiet")
        return repo.head.commit.hexsha


def _isolated_environment(root: Path) -> dict[str, str]:
    git_dir = root / ".git"
    return {
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_COUNT": "0",
        "GIT_CONFIG_PARAMETERS": "",
        "GIT_TEMPLATE_DIR": "",
        "GIT_DEFAULT_HASH": "sha1",
        # Git sets these for its hooks; inherited from one they would lead elsewhere.
        "GIT_DIR": str(git_dir),
        "GIT_WORK_TREE": str(root),
        "GIT_INDEX_FILE": str(git_dir / "index"),
        "GIT_OBJECT_DIRECTORY": str(git_dir / "objects"),
    }


def _import_stream(history: Iterable[tuple[Commit, Tree]]) -> Iterator[bytes]:
    """Render the history in the format of git-fast-import(1)."""
    for position, (commit, tree) in enumerate(history):
        when = f"{FIRST_COMMIT_TIME + position * SECONDS_BETWEEN_COMMITS} +0000"
        yield f"commit refs/heads/{BRANCH}\n".encode()
        yield f"author {IDENTITY} {when}\ncommitter {IDENTITY} {when}\n".encode()
        yield _data(f"{commit.message}\n")
        yield b"deleteall\n"
        for path, text in sorted(tree.items()):
            yield f"M 100644 inline {path}\n".encode()
            yield _data(text)


def _data(text: str) -> bytes:
    content = text.encode()
    return b"data %d\n%s\n" % (len(content), content)
