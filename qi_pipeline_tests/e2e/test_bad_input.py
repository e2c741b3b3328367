"""Bad input ends with a clear sentence and a non-zero exit, in every command that takes it."""

import os
import subprocess
from pathlib import Path

import pytest
from git import Actor, Repo

from qi_pipeline_tests.e2e.conftest import Terminal, terminal_in

AUTHOR = Actor("Tester", "tester@example.invalid")


@pytest.fixture
def fresh(tmp_path: Path) -> Terminal:
    return terminal_in(tmp_path)


def expect_refusal(terminal: Terminal, *arguments: str, words: tuple[str, ...]) -> None:
    done = terminal.qi(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    last = [line for line in done.stderr.splitlines() if line.startswith("qi: ")]
    assert last, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_no_repository(fresh: Terminal) -> None:
    expect_refusal(fresh, "run", "--source", "/nonexistent/repo", words=("/nonexistent/repo",))


def test_a_folder_that_is_no_repository(fresh: Terminal, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    expect_refusal(fresh, "snapshot", "--source", str(plain), words=(str(plain),))


def test_an_empty_repository(fresh: Terminal, tmp_path: Path) -> None:
    Repo.init(tmp_path / "empty")
    expect_refusal(fresh, "snapshot", "--source", str(tmp_path / "empty"), words=("commit",))


def test_an_unknown_revision(fresh: Terminal) -> None:
    expect_refusal(
        fresh, "snapshot", "--source", "sample", "--revision", "v9", words=("v9", "main")
    )


def test_a_repository_without_the_library(fresh: Terminal, tmp_path: Path) -> None:
    repo = Repo.init(tmp_path / "other", initial_branch="main")
    (tmp_path / "other" / "README.md").write_text("nothing here\n")
    repo.index.add(["README.md"])
    repo.index.commit("start", author=AUTHOR, committer=AUTHOR)
    expect_refusal(fresh, "run", "--source", str(tmp_path / "other"), words=("relevant",))


def test_an_unknown_preset(fresh: Terminal) -> None:
    expect_refusal(fresh, "run", "--preset", "laptpo", words=("laptpo", "embedded"))


def test_an_unknown_job(fresh: Terminal) -> None:
    expect_refusal(fresh, "run", "--job", "full", words=("'full'", "full_refresh"))


def test_a_base_model_that_is_not_there(fresh: Terminal) -> None:
    expect_refusal(fresh, "run", "--base-model", "/no/model.gguf", words=("/no/model.gguf",))


def test_searching_before_anything_was_indexed(fresh: Terminal) -> None:
    expect_refusal(fresh, "search", "anything", words=("qi ",))


def test_checking_a_file_that_is_not_there(fresh: Terminal) -> None:
    expect_refusal(fresh, "check", "/no/such.ts", words=("/no/such.ts",))


def test_a_file_that_does_not_parse_is_reported_and_the_rest_goes_on(
    fresh: Terminal, tmp_path: Path
) -> None:
    repo = Repo.init(tmp_path / "library", initial_branch="main")
    files = {
        "lib/base/src/index.ts": "export const success = (value: number) => value;\n",
        "app/good/src/index.ts": (
            'import { success } from "@qi/base";\nexport const f = () => success(1);\n'
        ),
        "app/bad/src/index.ts": 'import { success } from "@qi/base";\nconst = success(;\n',
    }
    for path, text in files.items():
        file = tmp_path / "library" / path
        file.parent.mkdir(parents=True)
        file.write_text(text)
        repo.index.add([path])
    repo.index.commit("start", author=AUTHOR, committer=AUTHOR)
    out = tmp_path / "calls.jsonl"
    done = fresh.qi("calls", str(tmp_path / "library"), "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "app/bad/src/index.ts:2" in done.stderr
    assert "app/good/src/index.ts" in out.read_text("utf-8")


def mounts_a_small_disk() -> bool:
    """Tell whether this machine lets a user mount a file system in a namespace of its own."""
    attempt = [
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "mount",
        "-t",
        "tmpfs",
        "x",
        "/mnt",
    ]
    return subprocess.run(attempt, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not mounts_a_small_disk(), reason="no user namespaces with mounts here")
@pytest.mark.parametrize(("size", "command"), [("600k", "patterns"), ("3m", "datasets")])
def test_a_full_disk_is_named_and_leaves_nothing(
    fresh: Terminal, size: str, command: str, tmp_path: Path
) -> None:
    fresh.data.mkdir()
    listing = tmp_path / "listing"
    script = (
        f'mount -t tmpfs -o size={size} tmpfs {fresh.data} && "$@"; status=$?; '
        f"find {fresh.data} > {listing}; exit $status"
    )
    unshared = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    done = subprocess.run(
        [*unshared, *fresh.command(command, "--source", "sample")],
        env={**os.environ, **fresh.environment},
        cwd=fresh.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "no space left" in done.stderr
    assert "QI_DATA_DIR" in done.stderr
    assert ".partial-" not in listing.read_text("utf-8")
