import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.source import commands
from qi_pipeline.source.snapshot import Snapshot, SnapshotFile
from qi_pipeline.source.tree import MAX_FILE_BYTES, tree_hash
from qi_pipeline_tests.source.conftest import Reader
from qi_pipeline_tests.source.git_repository import GitRepository

BASE = "lib/base/src/index.ts"
LAYOUTS = {
    "src": {"src/base/result.ts": "implementation", "src/index.ts": "implementation"},
    "lib/src": {"lib/src/base/result.ts": "implementation", "lib/tests/result.ts": "test"},
    "packages": {
        "packages/base/src/result.ts": "implementation",
        "packages/core/package.json": "manifest",
    },
    "lib/*/src": {
        "lib/core/src/cache.ts": "implementation",
        "lib/core/src/cache.test.ts": "test",
        "app/demo/src/main.ts": "app",
        "docs/tutorial/start.md": "tutorial",
        "docs/api/cache.md": "api_doc",
        "notebooks/tour.ipynb": "notebook",
    },
}


def kinds(snapshot: Snapshot) -> dict[str, str]:
    return {file.path: file.kind for file in snapshot.files}


def contents(snapshot: Snapshot) -> dict[str, bytes]:
    return {
        path.relative_to(snapshot.root).as_posix(): path.read_bytes()
        for path in snapshot.root.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("prefix", ["", "typescript/"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_of_the_history_is_recognised(
    repository: GitRepository, reader: Reader, layout: str, prefix: str
) -> None:
    expected = {prefix + path: kind for path, kind in LAYOUTS[layout].items()}
    noise = ("README.md", "dist/lib/base/src/x.ts", "lib/base/src/x.d.ts", "a/b.py")
    repository.commit({path: path for path in (*expected, *noise)})
    snapshot = reader.take(repository.path)
    assert kinds(snapshot) == expected
    assert contents(snapshot) == {path: path.encode() for path in expected}


def test_a_snapshot_names_its_commit(repository: GitRepository, reader: Reader) -> None:
    commit = repository.commit({BASE: "export const one = 1\n"}, "feat: größer\n\nbody")
    snapshot = reader.take(repository.path, "main")
    assert snapshot.commit == commit
    assert snapshot.committed_at == "2026-01-02T03:04:05+05:30"
    assert snapshot.subject == "feat: größer"
    assert snapshot.source == str(repository.path)
    assert snapshot.root == reader.snapshots / snapshot.tree_hash
    assert snapshot.read_text(snapshot.files[0]) == "export const one = 1\n"
    assert Snapshot.model_validate_json(snapshot.model_dump_json()) == snapshot


def test_a_readme_only_commit_leaves_the_tree_hash_and_the_directory(
    repository: GitRepository, reader: Reader
) -> None:
    repository.commit({BASE: "a"})
    before = reader.take(repository.path)
    stamp = before.root.stat().st_mtime_ns
    repository.commit({"README.md": "new"})
    after = reader.take(repository.path)
    assert after.commit != before.commit
    assert (after.tree_hash, after.root) == (before.tree_hash, before.root)
    assert after.root.stat().st_mtime_ns == stamp


@pytest.mark.parametrize("change", [{BASE: "b"}, {"lib/base/src/new.ts": "a"}])
def test_a_relevant_change_changes_the_tree_hash(
    repository: GitRepository, reader: Reader, change: dict[str, str | bytes]
) -> None:
    repository.commit({BASE: "a"})
    before = reader.take(repository.path)
    repository.commit(change)
    assert reader.take(repository.path).tree_hash != before.tree_hash
    assert contents(before) == {BASE: b"a"}


@given(
    st.lists(
        st.builds(
            SnapshotFile,
            path=st.text(min_size=1),
            blob=st.text("0123456789abcdef", min_size=40, max_size=40),
            kind=st.sampled_from(["app", "test", "tutorial"]),
            size=st.integers(0, 9),
        ),
        max_size=5,
        unique_by=lambda file: file.path,
    ).flatmap(lambda files: st.tuples(st.just(files), st.permutations(files)))
)
def test_the_tree_hash_ignores_the_order_of_files(
    lists: tuple[list[SnapshotFile], list[SnapshotFile]],
) -> None:
    assert tree_hash(lists[0]) == tree_hash(lists[1])


def test_bytes_are_kept_whatever_the_attributes_say(
    repository: GitRepository, reader: Reader, tmp_path: Path
) -> None:
    marker = tmp_path / "filter-ran"
    content = b"const a = 1\r\n\xff\x00$Id$\n"
    repository.commit({BASE: content})
    (repository.path / ".gitattributes").write_text("*.ts text eol=lf ident filter=evil\n")
    repository.git("add", ".gitattributes")
    repository.commit_index()
    repository.git("config", "filter.evil.smudge", f"touch {marker}; cat")
    repository.git("config", "filter.evil.process", f"touch {marker}")
    repository.git("config", "core.autocrlf", "input")
    assert contents(reader.take(repository.path)) == {BASE: content}
    assert not marker.exists()


def test_hooks_and_configured_programs_never_run(
    repository: GitRepository, reader: Reader, tmp_path: Path
) -> None:
    marker = tmp_path / "ran"
    hook = f"#!/bin/sh\ntouch {marker}\n"
    repository.commit({BASE: "a"})
    for name in ("post-checkout", "reference-transaction", "pre-auto-gc", "fsmonitor-watchman"):
        path = repository.path / ".git" / "hooks" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(hook)
        path.chmod(0o755)
    program = repository.path / ".git" / "hooks" / "post-checkout"
    for key in ("core.fsmonitor", "core.sshCommand", "core.pager", "core.gitProxy", "core.editor",
                "core.alternateRefsCommand", "diff.external", "gpg.program", "credential.helper",
                "uploadpack.packObjectsHook"):  # fmt: skip
        repository.git("config", key, str(program))
    repository.git("config", "log.showSignature", "true")
    for source in (str(repository.path), repository.url):
        assert kinds(reader.take(source)) == {BASE: "implementation"}
        reader.upstream(source, "main")
    assert not marker.exists()


@pytest.mark.parametrize("layer", ["GIT_NO_LAZY_FETCH", "GIT_ALLOW_PROTOCOL"])
def test_a_partial_clone_is_named_and_each_layer_alone_keeps_it_from_fetching(
    repository: GitRepository,
    reader: Reader,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    layer: str,
) -> None:
    repository.commit({BASE: "a"})
    repository.git("config", "uploadpack.allowFilter", "true")
    clone = GitRepository(tmp_path / "partial")
    repository.git(
        "clone", "--quiet", "--bare", "--filter=blob:none", repository.url, str(clone.path)
    )
    marker, program = tmp_path / "ran", tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {marker}\n")
    program.chmod(0o755)
    clone.git("config", "remote.origin.url", repository.url)
    clone.git("config", "remote.origin.uploadpack", str(program))
    other = {"GIT_NO_LAZY_FETCH", "GIT_ALLOW_PROTOCOL"} - {layer}
    complete = commands._environment
    monkeypatch.setattr(
        commands,
        "_environment",
        lambda *arguments: {k: v for k, v in complete(*arguments).items() if k not in other},
    )
    with pytest.raises(QiPipelineError, match=r"partial clone.*use a full clone"):
        reader.take(clone.path)
    assert not marker.exists()


def test_links_and_submodules_are_left_out_and_listed(
    repository: GitRepository, reader: Reader, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.ts"
    secret.write_text("secret")
    repository.commit({BASE: "a"})
    (repository.path / "lib/base/src/link.ts").symlink_to(secret)
    (repository.path / "lib/linked").symlink_to(tmp_path)
    other = GitRepository.create(tmp_path / "other")
    other.commit({BASE: "other"})
    repository.git("submodule", "--quiet", "add", other.url, "vendor")
    repository.git("add", "--all")
    repository.commit_index()
    snapshot = reader.take(repository.path)
    assert contents(snapshot) == {BASE: b"a"}
    assert [(file.path, file.reason) for file in snapshot.skipped] == [
        ("lib/base/src/link.ts", "symlink"),
        ("lib/linked", "symlink"),
        ("vendor", "submodule"),
    ]


def test_paths_that_would_leave_the_snapshot_are_refused(
    repository: GitRepository, reader: Reader
) -> None:
    blob = repository.blob(b"evil")
    files = repository.tree_of(("100644", b"x.ts", blob))
    for name in (b".GIT", b"src"):
        files = repository.tree_of(("40000", name, files))
    packages = repository.tree_of(("40000", b"lib", repository.tree_of(("40000", b"base", files))))
    source = repository.tree_of(
        ("100644", b"../../../out.ts", blob),
        ("100644", b"\xff.ts", blob),
        ("100644", b"good.ts", blob),
        ("100644", b"n" * 300 + b".ts", blob),
    )
    base = repository.tree_of(("40000", b"base", repository.tree_of(("40000", b"src", source))))
    root = repository.tree_of(
        ("40000", b"..", packages), ("40000", b"lib", base), ("40000", b"x", packages)
    )
    repository.commit_tree(root)
    snapshot = reader.take(repository.path)
    assert contents(snapshot) == {"lib/base/src/good.ts": b"evil"}
    reasons = [(file.path[:26], file.reason) for file in snapshot.skipped]
    assert reasons == [
        ("../lib/base/src/.GIT/x.ts", "unsafe path"),
        ("lib/base/src/../../../out.", "unsafe path"),
        ("lib/base/src/\\xff.ts", "undecodable path"),
        ("lib/base/src/" + "n" * 13, "unsafe path"),
        ("x/lib/base/src/.GIT/x.ts", "unsafe path"),
    ]
    assert not list(reader.snapshots.parent.rglob("out.ts"))


def test_a_tree_that_lists_a_path_twice_is_refused(
    repository: GitRepository, reader: Reader
) -> None:
    entries = [("100644", b"x.ts", repository.blob(text)) for text in (b"one", b"two")]
    tree = repository.tree_of(*entries)
    for name in (b"src", b"base", b"lib"):
        tree = repository.tree_of(("40000", name, tree))
    repository.commit_tree(tree)
    with pytest.raises(QiPipelineError, match="twice"):
        reader.take(repository.path)
    assert list(reader.snapshots.iterdir()) == []


def test_oversize_files_are_left_out_and_listed(repository: GitRepository, reader: Reader) -> None:
    limit = "lib/base/src/limit.ts"
    repository.commit({limit: b"x" * MAX_FILE_BYTES, BASE: b"x" * (MAX_FILE_BYTES + 1)})
    snapshot = reader.take(repository.path)
    assert kinds(snapshot) == {limit: "implementation"}
    assert [(file.path, file.reason) for file in snapshot.skipped] == [(BASE, "oversize")]


def test_files_are_read_only(repository: GitRepository, reader: Reader) -> None:
    repository.commit({BASE: "a"})
    (repository.path / BASE).chmod(0o755)
    repository.commit({})
    snapshot = reader.take(repository.path)
    assert stat.S_IMODE((snapshot.root / BASE).stat().st_mode) == 0o444


@pytest.mark.parametrize(
    ("revision", "expected"),
    [("HEAD", "second"), ("main", "second"), ("old", "first"), ("v1", "first"),
     ("v1-note", "first"), ("HEAD~1", "first"), ("full", "first"), ("short", "first"),
     ("tags/v1", "first")],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["work tree", "bare", "url", "git directory"])
def test_branches_tags_and_commits_are_resolved(
    repository: GitRepository, reader: Reader, revision: str, expected: str, kind: str
) -> None:
    first = repository.commit({BASE: "first"})
    repository.git("branch", "old")
    repository.git("tag", "v1")
    repository.git("tag", "--annotate", "v1-note", "--message=note")
    repository.commit({BASE: "second"})
    bare = repository.path.with_name("bare.git")
    repository.git("clone", "--quiet", "--bare", ".", str(bare))
    sources: dict[str, Path | str] = {
        "work tree": repository.path,
        "bare": bare,
        "url": repository.url,
        "git directory": repository.path / ".git",
    }
    revision = {"full": first, "short": first[:9]}.get(revision, revision)
    assert contents(reader.take(sources[kind], revision)) == {BASE: expected.encode()}


def test_a_linked_work_tree_is_a_repository(repository: GitRepository, reader: Reader) -> None:
    repository.commit({BASE: "main"})
    linked = GitRepository(repository.path.with_name("linked"))
    repository.git("worktree", "add", "--quiet", "-b", "side", str(linked.path))
    linked.commit({BASE: "side"})
    assert contents(reader.take(linked.path)) == {BASE: b"side"}


def test_git_variables_of_a_surrounding_hook_are_ignored(
    repository: GitRepository, reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit({BASE: "a"})
    other = GitRepository.create(tmp_path / "other")
    other.commit({BASE: "other"})
    for name, value in {
        "GIT_DIR": other.path / ".git",
        "GIT_OBJECT_DIRECTORY": other.path / ".git/objects",
        "GIT_WORK_TREE": other.path,
    }.items():
        monkeypatch.setenv(name, str(value))
    assert contents(reader.take(repository.path)) == {BASE: b"a"}
    assert contents(reader.take(repository.url)) == {BASE: b"a"}


def test_replacement_objects_do_not_change_content(
    repository: GitRepository, reader: Reader
) -> None:
    repository.commit({BASE: "honest"})
    repository.git(
        "replace", repository.git("rev-parse", f"HEAD:{BASE}"), repository.blob(b"forged")
    )
    assert contents(reader.take(repository.path)) == {BASE: b"honest"}


@pytest.mark.parametrize("value", ["--upload-pack=touch x", "-x", "", " ", "a\nb", "a\0b"])
def test_options_and_control_characters_are_no_source_and_no_revision(
    repository: GitRepository, reader: Reader, value: str
) -> None:
    repository.commit({BASE: "a"})
    with pytest.raises(QiPipelineError, match="is not a source"):
        reader.take(value)
    with pytest.raises(QiPipelineError, match="is not a revision"):
        reader.take(repository.path, value)


def test_a_folder_without_a_repository_is_named(reader: Reader, tmp_path: Path) -> None:
    with pytest.raises(QiPipelineError, match=f"{tmp_path} is not a git repository"):
        reader.take(tmp_path)
    with pytest.raises(QiPipelineError, match="no such directory"):
        reader.take(tmp_path / "missing")


def test_a_folder_inside_a_repository_is_not_silently_that_repository(
    repository: GitRepository, reader: Reader
) -> None:
    repository.commit({BASE: "a"})
    with pytest.raises(QiPipelineError, match=f"inside the one at {repository.path}"):
        reader.take(repository.path / "lib")


def test_a_repository_without_commits_is_named(repository: GitRepository, reader: Reader) -> None:
    for source in (str(repository.path), repository.url):
        with pytest.raises(QiPipelineError, match="has no commits"):
            reader.take(source)


@pytest.mark.parametrize(
    "revision", ["nope", "0" * 40, "abcdef1", "main:lib", "v1:README.md", "tree"]
)
def test_an_unknown_revision_lists_known_ones(
    repository: GitRepository, reader: Reader, revision: str
) -> None:
    repository.commit({BASE: "a"})
    repository.git("tag", "v1")
    repository.git("tag", "tree", "HEAD^{tree}")
    for source in (str(repository.path), repository.url):
        with pytest.raises(QiPipelineError, match=r"unknown .*'.*known: .*(main|v1)"):
            reader.take(source, revision)


@pytest.mark.parametrize("files", [{"README.md": "a"}, {"package.json": "{}"}])
def test_a_commit_without_relevant_files_names_the_profile_and_its_globs(
    repository: GitRepository, reader: Reader, files: dict[str, str | bytes]
) -> None:
    repository.commit(files)
    with pytest.raises(QiPipelineError, match=r"no relevant file.*'qicore' looks for.*lib/\*/src"):
        reader.take(repository.path)
    assert not reader.snapshots.exists()


def test_a_repository_of_another_user_is_refused_with_the_mend(
    repository: GitRepository, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit({BASE: "a"})
    # Git's own switch for testing its ownership check without a second user.
    switch = "GIT_TEST_ASSUME_DIFFERENT_OWNER"
    monkeypatch.setattr(commands, "_KEPT_VARIABLES", {switch, "GIT_CONFIG_GLOBAL"})
    monkeypatch.setenv(switch, "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    for source in (str(repository.path), repository.url):
        with pytest.raises(QiPipelineError, match=r"another user.*safe\.directory /.*library"):
            reader.take(source)


@pytest.mark.parametrize(
    "source",
    [
        "ext::sh -c 'touch {marker}'",
        "file::x",
        "gopher://example.invalid/x",
        "ftp://example.invalid/x",
    ],
)
def test_other_transports_are_refused(reader: Reader, tmp_path: Path, source: str) -> None:
    marker = tmp_path / "ran"
    with pytest.raises(QiPipelineError, match="transport"):
        reader.take(source.format(marker=marker))
    assert not marker.exists()


_KILLED_WHILE_WRITING = """
import os, sys
from pathlib import Path
from qi_pipeline.library.profile import load_profile
from qi_pipeline.source import take

def write_one_and_wait(path, content, write=take._write):
    write(path, content)
    print("written", flush=True)
    sys.stdin.read()

take._write = write_one_and_wait
source, snapshots, mirrors = sys.argv[1:]
take.take_snapshot(source, "HEAD", load_profile(), Path(snapshots), Path(mirrors))
"""


def test_a_killed_process_leaves_no_snapshot_and_its_rest_is_swept(
    repository: GitRepository, reader: Reader
) -> None:
    repository.commit({BASE: "a", "lib/base/src/more.ts": "b"})
    arguments = [str(repository.path), str(reader.snapshots), str(reader.mirrors)]
    with subprocess.Popen(
        [sys.executable, "-c", _KILLED_WHILE_WRITING, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"
        process.send_signal(signal.SIGKILL)
    assert [path.name[0] for path in reader.snapshots.iterdir()] == ["."]
    snapshot = reader.take(repository.path)
    assert list(reader.snapshots.iterdir()) == [snapshot.root]
    assert set(contents(snapshot)) == {BASE, "lib/base/src/more.ts"}


def test_two_processes_may_take_one_snapshot_at_once(
    repository: GitRepository, reader: Reader
) -> None:
    repository.commit({f"lib/base/src/f{n}.ts": str(n) for n in range(200)})
    code = _KILLED_WHILE_WRITING.replace("take._write = write_one_and_wait", "")
    arguments = [repository.url, str(reader.snapshots), str(reader.mirrors)]
    running = [subprocess.Popen([sys.executable, "-c", code, *arguments]) for _ in range(2)]
    assert [process.wait(60) for process in running] == [0, 0]
    snapshot = reader.take(repository.url)
    assert list(reader.snapshots.iterdir()) == [snapshot.root]
    assert len(contents(snapshot)) == 200


def test_a_stalled_command_is_ended_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "git"
    program.write_text(f"#!/bin/sh\nsleep 60 & echo $! > {tmp_path}/child; wait\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(commands.GitError, match="no answer within 1 s"):
        commands.run_git(["ls-remote"], directory=tmp_path, seconds=1)
    child = int((tmp_path / "child").read_text())
    for _ in range(100):
        if _is_gone(child):
            break
        time.sleep(0.05)
    assert _is_gone(child)


def _is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return True
    return state == "Z"


def test_a_missing_git_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(QiPipelineError, match="git is not installed"):
        commands.run_git(["version"], directory=tmp_path)
