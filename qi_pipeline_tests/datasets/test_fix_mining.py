from pathlib import Path

import pytest

from qi_pipeline.datasets.fix_mining import Mined, Miner
from qi_pipeline.datasets.fix_pairs import FixPair
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.library.profile import load_profile
from qi_pipeline.settings import PROJECT_ROOT, Settings
from qi_pipeline.source.location import locate
from qi_pipeline.validation.program import SourceProgram
from qi_pipeline_tests.source.git_repository import GitRepository
from qi_pipeline_tests.validation.conftest import LIBRARY

TOOLCHAIN = PROJECT_ROOT / "toolchain"
MAIN = "typescript/app/demo/src/main.ts"
HELPED = "typescript/app/demo/src/helped.ts"

VIOLATION = """
import { success } from "@qi/base";
import type { Result } from "@qi/base";
export function half(n: number): Result<number> {
  return success(n / 2);
}
export function size(n: number): number {
  const r = half(n);
  return r.tag === "success" ? r.value : 0;
}
"""
FIXED = VIOLATION.replace('return r.tag === "success" ? r.value : 0;', "return unwrapOr(0, r);")
FIXED = FIXED.replace("{ success }", "{ success, unwrapOr }")


@pytest.fixture
def repository(tmp_path: Path) -> GitRepository:
    made = GitRepository.create(tmp_path / "library")
    made.commit({**LIBRARY, MAIN: VIOLATION}, "library")
    return made


def mine(repository: GitRepository, folder: Path) -> Mined:
    profile = load_profile()
    # Nothing is fetched: the planted library has no dependencies.
    offline = profile.compile.model_copy(update={"development_dependencies": ()})
    profile = profile.model_copy(update={"compile": offline})
    miner = Miner(profile, TOOLCHAIN, folder / "cache", lambda _line: None)
    return miner.mine(locate(str(repository.path), "HEAD", folder / "mirrors"))


def only_pair(mined: Mined) -> FixPair:
    assert len(mined.pairs) == 1
    return mined.pairs[0]


def test_a_fix_is_found_with_both_commits(repository: GitRepository, tmp_path: Path) -> None:
    parent = repository.git("rev-parse", "HEAD")
    commit = repository.commit({MAIN: FIXED}, "mend")
    pair = only_pair(mine(repository, tmp_path))
    assert (pair.commit, pair.parent) == (commit, parent)
    assert (pair.source_file, pair.container) == (MAIN, "size")
    assert pair.rules == ("R1", "R2")
    assert 'r.tag === "success"' in pair.before
    assert "unwrapOr(0, r)" in pair.after
    assert any(message.startswith("R1: ") for message in pair.messages)


def test_changes_that_mend_nothing_are_no_pairs(repository: GitRepository, tmp_path: Path) -> None:
    repository.commit({MAIN: VIOLATION.replace(": 0;", ": 1;")}, "another violation")
    repository.commit({MAIN: FIXED.replace("unwrapOr(0", "unwrapOr(none")}, "does not compile")
    assert mine(repository, tmp_path).pairs == ()


def test_breaking_a_rule_is_no_fix(repository: GitRepository, tmp_path: Path) -> None:
    repository.commit({MAIN: FIXED}, "mend")
    repository.commit({MAIN: VIOLATION}, "break")
    assert len(mine(repository, tmp_path).pairs) == 1


def test_a_move_hides_no_fix(repository: GitRepository, tmp_path: Path) -> None:
    moved = {path.replace("/lib/", "/packages/"): text for path, text in LIBRARY.items()}
    repository.git("rm", "-r", "--quiet", "typescript/lib")
    repository.commit({**moved, MAIN: FIXED})
    assert only_pair(mine(repository, tmp_path)).rules == ("R1", "R2")


def test_a_mended_helper_counts_once(repository: GitRepository, tmp_path: Path) -> None:
    user = """
import { success } from "@qi/base";
import { size } from "./main.js";
export const sizes = () => success([size(1), size(2)]);
"""
    repository.commit({HELPED: user}, "use")
    repository.commit({MAIN: FIXED}, "mend")
    assert only_pair(mine(repository, tmp_path)).container == "size"


def test_the_second_time_nothing_is_judged(
    repository: GitRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit({MAIN: FIXED}, "mend")
    first = mine(repository, tmp_path)
    opened: list[object] = []
    enter = SourceProgram.__enter__

    def watched(program: SourceProgram) -> SourceProgram:
        opened.append(program)
        return enter(program)

    monkeypatch.setattr(SourceProgram, "__enter__", watched)
    assert mine(repository, tmp_path) == first
    assert not opened
    repository.commit({MAIN: VIOLATION}, "again")
    mine(repository, tmp_path)
    assert opened


def test_a_commit_that_cannot_be_set_up_is_named(repository: GitRepository, tmp_path: Path) -> None:
    manifest = '{"dependencies": {"@qi-pipeline/is-not-published": "1.0.0"}}'
    commit = repository.commit({MAIN: FIXED, "typescript/lib/base/package.json": manifest})
    mined = mine(repository, tmp_path)
    assert mined.pairs == ()
    assert len(mined.unverified) == 1
    assert mined.unverified[0].startswith(commit[:12])
    assert "is-not-published" in mined.unverified[0]


@pytest.mark.real
def test_the_real_history_holds_verified_pairs(real_repository: Path, tmp_path: Path) -> None:
    miner = Miner(load_profile(), TOOLCHAIN, Settings().cache_dir, lambda _line: None)
    mined = miner.mine(locate(str(real_repository), "e7d02fe", tmp_path / "mirrors"))
    assert len(mined.pairs) >= 35
    assert not mined.unverified
    assert len({pair.id for pair in mined.pairs}) == len(mined.pairs)
    assert all(pair.rules and pair.before != pair.after for pair in mined.pairs)


def test_a_unit_that_was_written_anew_is_no_fix(repository: GitRepository, tmp_path: Path) -> None:
    other = """
import { match } from "@qi/base";
import { half } from "./half.js";
export function size(text: string): string {
  const words = text.trim().split(" ").filter((word) => word.length > 3);
  return match((count) => `${count} long`, (error) => error.message, half(words.length));
}
"""
    halves = VIOLATION[: VIOLATION.index("export function size")]
    repository.commit({MAIN: other, MAIN.replace("main", "half"): halves}, "write anew")
    assert mine(repository, tmp_path).pairs == ()


def test_what_could_not_be_verified_is_tried_again(
    repository: GitRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository.commit({MAIN: FIXED}, "mend")

    def unreachable(*_arguments: object) -> None:
        raise QiPipelineError("npm could not install anything")

    with monkeypatch.context() as broken:
        broken.setattr("qi_pipeline.datasets.fix_mining.prepare_library", unreachable)
        first = mine(repository, tmp_path)
    assert first.pairs == ()
    assert "npm could not install" in first.unverified[0]
    assert len(mine(repository, tmp_path).pairs) == 1
