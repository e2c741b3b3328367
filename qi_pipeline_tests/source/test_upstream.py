import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.source import mirror
from qi_pipeline_tests.source.conftest import Reader
from qi_pipeline_tests.source.git_repository import GitRepository

BASE = "lib/base/src/index.ts"


@pytest.fixture
def fetches(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The git commands that reached out to a remote, in order."""
    seen: list[str] = []
    run = mirror._reach

    def reach(url: str, arguments: list[str], directory: Path, seconds: float) -> bytes:
        seen.append(arguments[0])
        return run(url, arguments, directory, seconds)

    monkeypatch.setattr(mirror, "_reach", reach)
    return seen


@pytest.mark.parametrize("kind", ["path", "url"])
def test_upstream_and_snapshot_agree(repository: GitRepository, reader: Reader, kind: str) -> None:
    repository.commit({BASE: "a", "README.md": "r"})
    source = repository.url if kind == "url" else str(repository.path)
    state, snapshot = reader.upstream(source), reader.take(source)
    assert (state.commit, state.tree_hash) == (snapshot.commit, snapshot.tree_hash)


def test_new_upstream_commits_are_seen_through_a_url(
    repository: GitRepository, reader: Reader
) -> None:
    repository.commit({BASE: "a"})
    before = reader.upstream(repository.url)
    readme = repository.commit({"README.md": "r"})
    same = reader.upstream(repository.url)
    assert (same.commit, same.tree_hash) == (readme, before.tree_hash)
    repository.commit({BASE: "b"})
    assert reader.upstream(repository.url).tree_hash != before.tree_hash
    assert (reader.take(repository.url).root / BASE).read_text() == "b"


def test_an_unchanged_remote_is_asked_and_not_fetched(
    repository: GitRepository, reader: Reader, fetches: list[str]
) -> None:
    commit = repository.commit({BASE: "a"})
    reader.upstream(repository.url)
    assert fetches == ["ls-remote", "fetch"]
    fetches.clear()
    for revision in ("HEAD", "main", commit[:8]):
        reader.upstream(repository.url, revision)
    assert fetches == ["ls-remote"] * 3


def test_a_branch_is_not_fetched_because_another_one_moved(
    repository: GitRepository, reader: Reader, fetches: list[str]
) -> None:
    repository.commit({BASE: "a"})
    repository.git("branch", "stable")
    reader.upstream(repository.url)
    repository.commit({BASE: "b"})
    fetches.clear()
    reader.upstream(repository.url, "stable")
    assert fetches == ["ls-remote"]


def test_a_full_commit_id_that_is_here_needs_no_network(
    repository: GitRepository, reader: Reader
) -> None:
    commit = repository.commit({BASE: "a"})
    url = repository.url
    reader.take(url)
    shutil.rmtree(repository.path)
    assert reader.take(url, commit).commit == commit


def test_rewritten_and_deleted_branches_are_followed(
    repository: GitRepository, reader: Reader
) -> None:
    repository.commit({BASE: "a"})
    repository.git("branch", "side")
    reader.take(repository.url, "side")
    repository.git("branch", "--delete", "side")
    repository.git("branch", "side/deeper")
    repository.git("commit", "--quiet", "--amend", "--message=rewritten", when="2027-01-01T00:00Z")
    assert reader.take(repository.url).commit == repository.git("rev-parse", "HEAD")
    assert reader.take(repository.url, "side/deeper").files
    with pytest.raises(QiPipelineError, match="unknown or ambiguous revision 'side'"):
        reader.take(repository.url, "side")


def test_a_renamed_default_branch_is_followed(repository: GitRepository, reader: Reader) -> None:
    repository.commit({BASE: "a"})
    reader.take(repository.url)
    repository.git("branch", "--move", "main", "trunk")
    commit = repository.commit({BASE: "b"})
    assert reader.take(repository.url).commit == commit
    assert reader.take(repository.url, "HEAD~1").commit != commit


def test_a_detached_and_a_dangling_head_are_followed(
    repository: GitRepository, reader: Reader
) -> None:
    repository.commit({BASE: "a"})
    repository.git("checkout", "--quiet", "--detach")
    detached = repository.commit({BASE: "b"})
    assert reader.take(repository.url).commit == detached
    repository.git("symbolic-ref", "HEAD", "refs/heads/unborn")
    with pytest.raises(QiPipelineError, match=r"'HEAD'.*known: main"):
        reader.take(repository.url)


def test_a_mirror_has_no_hooks_and_no_address(repository: GitRepository, reader: Reader) -> None:
    repository.commit({BASE: "a"})
    reader.take(repository.url)
    (copy,) = reader.mirrors.glob("*.git")
    assert not list(copy.glob("hooks/*"))
    assert str(repository.path) not in (copy / "config").read_text()


def test_locks_of_a_killed_fetch_do_not_block_the_next(
    repository: GitRepository, reader: Reader
) -> None:
    repository.commit({BASE: "a"})
    reader.take(repository.url)
    (copy,) = reader.mirrors.glob("*.git")
    (copy / "HEAD.lock").touch()
    (copy / "packed-refs.lock").touch()
    (copy / "refs/heads/main.lock").touch()
    commit = repository.commit({BASE: "b"})
    assert reader.take(repository.url).commit == commit


_KILLED_WHILE_MIRRORING = """
import os, signal, sys
from pathlib import Path
from qi_pipeline.source import mirror

fetch = mirror._fetch

def fetch_and_die(*arguments):
    fetch(*arguments)
    os.kill(os.getpid(), signal.SIGKILL)

mirror._fetch = fetch_and_die
mirror.commit_in_mirror(sys.argv[1], "HEAD", Path(sys.argv[2]))
"""


def test_a_killed_process_leaves_no_half_mirror(repository: GitRepository, reader: Reader) -> None:
    repository.commit({BASE: "a"})
    arguments = [repository.url, str(reader.mirrors)]
    done = subprocess.run([sys.executable, "-c", _KILLED_WHILE_MIRRORING, *arguments], check=False)
    assert done.returncode == -9
    assert not list(reader.mirrors.glob("[!.]*.git"))
    assert reader.take(repository.url).files
    assert len(list(reader.mirrors.glob("[!.]*.git"))) == 1
    assert not list(reader.mirrors.glob(".*.partial-*"))


@pytest.mark.parametrize(
    ("url", "reason"),
    [("file:///nowhere/at/all", "does not appear to be a git repository"),
     ("https://user:hunter2@127.0.0.1:9/x.git", "unable to access"),
     ("ssh://-oProxyCommand=touch%20x/y", "strange hostname")],
)  # fmt: skip
def test_an_unreachable_remote_gives_the_reason_without_credentials(
    reader: Reader, url: str, reason: str
) -> None:
    with pytest.raises(QiPipelineError, match=reason) as caught:
        reader.upstream(url)
    assert "hunter2" not in str(caught.value)
    assert not list(reader.mirrors.glob("*.git"))


@pytest.fixture
def silent_server() -> Iterator[int]:
    """The port of a server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        accepted: list[socket.socket] = []
        thread = threading.Thread(target=lambda: accepted.append(server.accept()[0]), daemon=True)
        thread.start()
        yield server.getsockname()[1]
        thread.join(1)
        for connection in accepted:
            connection.close()


def test_a_remote_that_never_answers_is_given_up(
    reader: Reader, silent_server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "LIST_SECONDS", 1.0)
    with pytest.raises(QiPipelineError, match="no answer within 1 s"):
        reader.upstream(f"git://127.0.0.1:{silent_server}/x")
