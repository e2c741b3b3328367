"""The sample repository: its history, and that nothing outside this project shapes it."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from git import Repo

from qi_pipeline.sample import COMMITS, TREE_ROOT, build_sample_repository, commit_ids, repository
from qi_pipeline.sample.history import (
    Added,
    Commit,
    Edited,
    Moved,
    Tree,
    read_tree,
    states,
)

SLUGS_OTHERS_RELY_ON = {
    "layout-move",
    "formatting-only",
    "documents-only",
    "comment-only",
    "anti-pattern-fix",
    "rename",
    "deletion",
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    destination = tmp_path_factory.mktemp("sample") / "repository"
    build_sample_repository(destination)
    return destination


@pytest.fixture(scope="module")
def ids(built: Path) -> dict[str, str]:
    return commit_ids(built)


def tree_at(built: Path, commit: str) -> Tree:
    with Repo(built) as repo:
        blobs = repo.commit(commit).tree.traverse()
        return {
            str(blob.path): blob.data_stream.read().decode()
            for blob in blobs
            if not isinstance(blob, tuple) and blob.type == "blob"
        }


def before_and_after(built: Path, commit: str) -> tuple[Tree, Tree]:
    return tree_at(built, f"{commit}^"), tree_at(built, commit)


def changed_paths(built: Path, commit: str) -> set[str]:
    before, after = before_and_after(built, commit)
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


def lines_without_layout(text: str) -> list[str]:
    return [line.lstrip() for line in text.splitlines() if line.strip()]


def without_comments(text: str) -> str:
    comments = re.compile(r"/\*.*?\*/|^\s*//.*?$", re.DOTALL | re.MULTILINE)
    return "\n".join(lines_without_layout(comments.sub("", text)))


def test_head_is_the_bundled_tree(built: Path) -> None:
    assert tree_at(built, "HEAD") == read_tree(TREE_ROOT)


def test_the_returned_id_is_the_head_of_main(tmp_path: Path) -> None:
    head = build_sample_repository(tmp_path / "repository")
    with Repo(tmp_path / "repository") as repo:
        assert repo.active_branch.name == "main"
        assert repo.head.commit.hexsha == head


def test_the_work_tree_is_checked_out_and_clean(built: Path) -> None:
    with Repo(built) as repo:
        assert not repo.is_dirty(untracked_files=True)
    assert (built / "lib/base/src/result.ts").is_file()


def test_commits_and_messages_are_those_of_the_script(built: Path) -> None:
    with Repo(built) as repo:
        messages = [str(commit.message).strip() for commit in repo.iter_commits(reverse=True)]
    assert messages == [commit.message for commit in COMMITS]
    assert len(messages) >= 10


def test_every_commit_is_found_by_its_slug(ids: dict[str, str]) -> None:
    assert list(ids) == [commit.slug for commit in COMMITS]
    assert len(set(ids.values())) == len(COMMITS)
    assert ids.keys() >= SLUGS_OTHERS_RELY_ON


def test_author_and_committer_are_fixed_and_time_moves_on(built: Path) -> None:
    with Repo(built) as repo:
        commits = list(repo.iter_commits(reverse=True))
    people = {(c.author.name, c.author.email, c.committer.email) for c in commits}
    assert people == {("QiCore Sample", "sample@example.invalid", "sample@example.invalid")}
    times = [commit.committed_date for commit in commits]
    assert times == sorted(set(times))


def test_every_commit_changes_something(built: Path, ids: dict[str, str]) -> None:
    for slug in list(ids)[1:]:
        assert changed_paths(built, ids[slug]), slug


def test_nobodys_git_configuration_changes_the_commit_ids(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hooks = tmp_path / "template" / "hooks"
    hooks.mkdir(parents=True)
    for name in ("pre-commit", "reference-transaction", "post-checkout"):
        (hooks / name).write_text("#!/bin/sh\nexit 1\n")
        (hooks / name).chmod(0o755)
    config = tmp_path / "gitconfig"
    config.write_text(
        f"[init]\ntemplateDir = {tmp_path / 'template'}\ndefaultBranch = trunk\n"
        f"[core]\nautocrlf = true\nhooksPath = {hooks}\n"
        "[commit]\ngpgsign = true\n[gpg]\nprogram = false\n[user]\nname = Somebody Else\n"
    )
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Somebody Else")
    monkeypatch.setenv("GIT_COMMITTER_DATE", "2001-01-01T00:00:00Z")
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    head = build_sample_repository(tmp_path / "other")
    monkeypatch.undo()
    with Repo(built) as repo:
        assert head == repo.head.commit.hexsha
    assert b"\r\n" not in (tmp_path / "other/README.md").read_bytes()


def test_the_layout_move_moves_and_does_not_rewrite(built: Path, ids: dict[str, str]) -> None:
    before, after = before_and_after(built, ids["layout-move"])
    assert any(path.startswith("src/base/") for path in before)
    assert not any(path.startswith(("src/", "tests/")) for path in after)
    for path in ("base/result.ts", "base/error.ts", "base/async.ts", "core/config.ts"):
        package, name = path.split("/")
        assert before[f"src/{path}"] == after[f"lib/{package}/src/{name}"]


def test_the_layout_stays_after_the_move(built: Path, ids: dict[str, str]) -> None:
    slugs = list(ids)
    for slug in slugs[slugs.index("layout-move") :]:
        assert not any(path.startswith("src/") for path in tree_at(built, ids[slug])), slug


def test_formatting_only_touches_whitespace_between_tokens(
    built: Path, ids: dict[str, str]
) -> None:
    before, after = before_and_after(built, ids["formatting-only"])
    paths = changed_paths(built, ids["formatting-only"])
    assert len(paths) == 3
    for path in paths:
        assert path.endswith(".ts")
        assert lines_without_layout(before[path]) == lines_without_layout(after[path])
        assert "`" not in re.sub(r"`[^`\n]*`", "", after[path]), "a template spans lines"


def test_documents_only_touches_no_learning_material(built: Path, ids: dict[str, str]) -> None:
    assert changed_paths(built, ids["documents-only"]) == {"README.md", "CONTRIBUTING.md"}


def test_comment_only_leaves_the_code_alone(built: Path, ids: dict[str, str]) -> None:
    before, after = before_and_after(built, ids["comment-only"])
    for path in changed_paths(built, ids["comment-only"]):
        assert without_comments(before[path]) == without_comments(after[path])


def test_the_fix_turns_violations_into_the_compliant_form(built: Path, ids: dict[str, str]) -> None:
    before, after = before_and_after(built, ids["anti-pattern-fix"])
    recovery = "app/error-handling/src/recovery.ts"
    describing = "app/error-handling/src/describing.ts"
    assert 'throw new Error("There is nobody to share with")' in before[recovery]
    assert 'businessError("There is nobody to share with"' in after[recovery]
    assert "deposit.tag" in before[recovery]
    assert "deposit.tag" not in after[recovery]
    assert "user.value" in before[describing]
    assert "user.value" not in after[describing]


def test_the_rename_leaves_no_trace_of_the_old_name(built: Path, ids: dict[str, str]) -> None:
    before, after = before_and_after(built, ids["rename"])
    paths = changed_paths(built, ids["rename"])
    assert len(paths) == 2
    for path in paths:
        assert re.sub(r"\bshow\b", "describe", before[path]) == after[path]
        assert re.search(r"\bshow\b", before[path])


def test_the_deletion_deletes_one_file(built: Path, ids: dict[str, str]) -> None:
    before, after = before_and_after(built, ids["deletion"])
    assert before.keys() - after.keys() == {"app/basic-result/src/shortcuts.ts"}
    assert after.items() <= before.items()


def test_the_api_grows_over_time(ids: dict[str, str], built: Path) -> None:
    core = "lib/core/src/index.ts"
    assert "createCache" not in tree_at(built, ids["layout-move"])[core]
    assert "createCache" in tree_at(built, ids["cache-and-logger"])[core]
    assert "flatMapAsync" not in tree_at(built, ids["base-library"])["src/base/index.ts"]
    assert "flatMapAsync" in tree_at(built, ids["async-helpers"])["src/base/index.ts"]


def test_an_empty_folder_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    build_sample_repository(tmp_path / "empty")
    assert (tmp_path / "empty/.git").is_dir()


def test_missing_parents_are_made(tmp_path: Path) -> None:
    build_sample_repository(tmp_path / "a/b/c")
    assert (tmp_path / "a/b/c/README.md").is_file()


def test_an_occupied_folder_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(FileExistsError, match="new or empty"):
        build_sample_repository(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("keep me")
    with pytest.raises(FileExistsError, match="new or empty"):
        build_sample_repository(tmp_path / "file")


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken_states() -> list[tuple[Commit, Tree]]:
        return [*states()[:3], (Commit("broken", "broken"), {"bad\npath": "text"})]

    monkeypatch.setattr(repository, "states", broken_states)
    with pytest.raises(Exception, match="fast-import"):
        build_sample_repository(tmp_path / "repository")
    assert list(tmp_path.iterdir()) == []


def test_a_kill_leaves_no_destination(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, signal, sys\n"
        "from qi_pipeline.sample import build_sample_repository\n"
        "def die(*_): os.kill(os.getpid(), signal.SIGKILL)\n"
        "pathlib.Path.replace = die\n"
        "build_sample_repository(pathlib.Path(sys.argv[1]))\n"
    )
    destination = tmp_path / "repository"
    ended = subprocess.run([sys.executable, "-c", program, str(destination)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not destination.exists()
    build_sample_repository(destination)


def test_changes_that_no_longer_apply_say_so() -> None:
    tree = {"a.ts": "text"}
    with pytest.raises(ValueError, match=r"b\.ts"):
        Added("b.ts").undo(tree)
    with pytest.raises(ValueError, match="lib/"):
        Moved("src/", "lib/").undo(tree)
    with pytest.raises(ValueError, match=r"a\.ts does not contain 'words'"):
        Edited("a.ts", "", "words").undo(tree)


def test_no_bundled_file_is_ignored_by_git() -> None:
    ignored = subprocess.run(
        ["git", "check-ignore", "--no-index", *map(str, TREE_ROOT.rglob("*.*"))],
        cwd=TREE_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if "not a git repository" in ignored.stderr:
        pytest.skip("the package is installed outside a git checkout")
    assert ignored.stdout == ""
