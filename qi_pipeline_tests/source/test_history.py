import os
from pathlib import Path

import pytest

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.library.profile import Profile
from qi_pipeline.source.history import (
    BlobReader,
    HistoryCommit,
    is_shallow,
    main_line,
    read_history,
)
from qi_pipeline.source.tree import MAX_FILE_BYTES, read_tree
from qi_pipeline_tests.source.git_repository import GitRepository

BASE = "lib/base/src/index.ts"
MISSING = "0123456789" * 4


def paths(commit: HistoryCommit) -> list[str]:
    return [file.path for file in commit.files]


def test_the_history_is_every_ancestor_oldest_first(
    repository: GitRepository, profile: Profile
) -> None:
    ids = [repository.commit({BASE: str(number)}, f"step {number}") for number in range(3)]
    history = read_history(repository.path, ids[1], profile)
    assert [item.commit for item in history] == ids[:2]
    assert [item.subject for item in history] == ["step 0", "step 1"]
    assert [item.parents for item in history] == [(), (ids[0],)]
    assert history[0].committed_at == "2026-01-02T03:04:05+05:30"


def test_every_commit_holds_what_a_snapshot_of_it_would(
    repository: GitRepository, profile: Profile
) -> None:
    states: list[dict[str, str | bytes]] = [
        {BASE: "a", "README.md": "no matter"},
        {"lib/base/src/größe.ts": "new", "docs/tutorial/a b.md": "new", BASE: "b"},
        {"app/demo/src/main.ts": "x" * (MAX_FILE_BYTES + 1)},
    ]
    ids = [repository.commit(state) for state in states]
    (repository.path / BASE).unlink()
    ids.append(repository.commit({}, "deleted"))
    repository.git("mv", "lib/base/src/größe.ts", "lib/base/src/size.ts")
    ids.append(repository.commit({}, "moved"))
    (repository.path / BASE).symlink_to("size.ts")
    ids.append(repository.commit({}, "a link in its place"))
    for item in read_history(repository.path, ids[-1], profile):
        assert item.files == read_tree(repository.path, item.commit, profile).files


def test_a_commit_without_relevant_files_holds_none(
    repository: GitRepository, profile: Profile
) -> None:
    repository.commit({"README.md": "hello"})
    repository.commit({"lib/base/package.json": "{}"})
    repository.commit({BASE: "a"})
    (repository.path / BASE).unlink()
    head = repository.commit({})
    history = read_history(repository.path, head, profile)
    assert [paths(item) for item in history] == [[], [], ["lib/base/package.json", BASE], []]


def test_commits_that_change_nothing_relevant_share_their_files(
    repository: GitRepository, profile: Profile
) -> None:
    repository.commit({BASE: "a"})
    head = repository.commit({"README.md": "more"})
    first, second = read_history(repository.path, head, profile)
    assert second.files is first.files


def test_side_branches_are_ancestors_but_not_the_main_line(
    repository: GitRepository, profile: Profile
) -> None:
    root = repository.commit({BASE: "root"})
    repository.git("switch", "--quiet", "--create", "side")
    side = repository.commit({"app/demo/src/side.ts": "side"}, "side")
    repository.git("switch", "--quiet", "main")
    trunk = repository.commit({BASE: "trunk"}, "trunk")
    repository.git("merge", "--quiet", "--no-ff", "--no-edit", "side")
    merge = repository.git("rev-parse", "HEAD")
    history = read_history(repository.path, merge, profile)
    assert {item.commit for item in history} == {root, side, trunk, merge}
    assert history[-1].parents == (trunk, side)
    position = {item.commit: number for number, item in enumerate(history)}
    assert all(position[p] < position[item.commit] for item in history for p in item.parents)
    for item in history:
        assert item.files == read_tree(repository.path, item.commit, profile).files
    assert [item.commit for item in main_line(history)] == [root, trunk, merge]


def test_a_subject_may_look_like_anything(repository: GitRepository, profile: Profile) -> None:
    repository.commit({BASE: "a"}, "commit 0000\n\ncommit body")
    repository.git("commit", "--quiet", "--allow-empty", "--allow-empty-message", "--message=")
    head = repository.commit({BASE: "b"}, "größer: ~`$(x)`")
    subjects = [item.subject for item in read_history(repository.path, head, profile)]
    assert subjects == ["commit 0000", "", "größer: ~`$(x)`"]


def test_a_shallow_clone_is_recognised_and_read_as_far_as_it_goes(
    repository: GitRepository, profile: Profile, tmp_path: Path
) -> None:
    repository.commit({BASE: "a"})
    head = repository.commit({BASE: "b"})
    repository.git("clone", "--quiet", "--depth=1", repository.url, str(tmp_path / "shallow"))
    assert not is_shallow(repository.path)
    assert is_shallow(tmp_path / "shallow")
    (only,) = read_history(tmp_path / "shallow", head, profile)
    assert (only.commit, only.parents, paths(only)) == (head, (), [BASE])


def test_a_partial_clone_is_refused_with_the_mend(
    repository: GitRepository, profile: Profile, tmp_path: Path
) -> None:
    repository.git("config", "uploadpack.allowFilter", "true")
    head = repository.commit({BASE: "a"})
    clone = tmp_path / "partial"
    repository.git("clone", "--quiet", "--bare", "--filter=blob:none", repository.url, str(clone))
    with pytest.raises(QiPipelineError, match=r"partial clone.*use a full clone"):
        read_history(clone, head, profile)


def test_an_unknown_commit_is_an_error(repository: GitRepository, profile: Profile) -> None:
    repository.commit({BASE: "a"})
    with pytest.raises(QiPipelineError, match="git rev-list"):
        read_history(repository.path, MISSING, profile)


def test_blobs_are_read_in_any_order_and_byte_for_byte(repository: GitRepository) -> None:
    contents = [b"", b"a\r\nb", b"\xff\x00\n", "größer".encode(), b"x" * 300_000]
    blobs = [repository.blob(content) for content in contents]
    with BlobReader(repository.path) as reader:
        for blob, content in reversed(list(zip(blobs, contents, strict=True))):
            assert reader.read_bytes(blob) == content
        assert reader.read_text(blobs[2]) == "\ufffd\x00\n"
        assert reader.read_text(blobs[3]) == "größer"


def test_a_reader_survives_what_is_not_there(repository: GitRepository) -> None:
    commit = repository.commit({BASE: "a"})
    blob = repository.blob(b"kept")
    with BlobReader(repository.path) as reader:
        for wrong in (MISSING, commit):
            with pytest.raises(QiPipelineError, match=f"no blob {wrong}"):
                reader.read_bytes(wrong)
        with pytest.raises(QiPipelineError, match="not a blob id"):
            reader.read_bytes("HEAD\n")
        assert reader.read_bytes(blob) == b"kept"


def test_a_reader_leaves_no_process_behind(repository: GitRepository) -> None:
    blob = repository.blob(b"x" * 3_000_000)
    with BlobReader(repository.path) as reader:
        assert reader._session is not None
        pid = reader._session.process.pid
        # Asked and not read: git is blocked on its output.
        reader._session.send(blob.encode())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_git_ending_early_is_an_error_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with (
        BlobReader(tmp_path / "empty") as reader,
        pytest.raises(QiPipelineError, match="not a git repository"),
    ):
        reader.read_bytes(MISSING)
