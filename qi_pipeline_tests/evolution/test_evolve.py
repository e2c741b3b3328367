import os
import signal
from pathlib import Path
from typing import Self

import pytest

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evolution import survey
from qi_pipeline.evolution.analysis import analyse
from qi_pipeline.evolution.evolve import evolve
from qi_pipeline.evolution.text import render_evolution
from qi_pipeline.validation.program import SourceProgram
from qi_pipeline_tests.evolution.planted import (
    APP,
    APP_PATH,
    ENTRY,
    GUIDE_PATH,
    INDEX,
    LIBRARY,
    PROFILE,
    RESULT,
    SOURCE,
    STATE,
    TEST,
    TEST_PATH,
    TOOLCHAIN,
    Planted,
    calls,
)
from qi_pipeline_tests.source.git_repository import GitRepository

BASE_CALLS = {"@qi/base:map": 1, "@qi/base:success": 1}


def test_uses_are_counted_by_kind_of_source(planted: Planted) -> None:
    planted.commit(STATE)
    (step,) = planted.steps()
    assert calls(step, "app") == BASE_CALLS
    assert calls(step, "test") == {**BASE_CALLS, "@qi/base:unwrapOr": 1}
    assert calls(step, "implementation") == {"@qi/base:success": 1}
    assert step.uses["@qi/base:Result", "app"] == 2
    assert step.exports["@qi/base:Result"] == "type"
    assert step.exports["@qi/base:map"] == "function"


def test_a_document_counts_with_the_imports_that_it_leaves_out(planted: Planted) -> None:
    planted.commit(STATE)
    (step,) = planted.steps()
    assert calls(step, "tutorial") == {"@qi/base:success": 2, "@qi/base:unwrapOr": 1}
    assert step.violations["R2", "tutorial"] == 1
    assert step.violations["R2", "app"] == 0


def test_files_are_judged_with_the_files_they_import(planted: Planted) -> None:
    helper = "import { success } from '@qi/base';\nexport const read = () => success(1);\n"
    user = "import { read } from './read.js';\nexport const tag = read().tag;\n"
    files = {"app/demo/src/read.ts": helper, "app/demo/src/tag.ts": user}
    planted.commit({**LIBRARY, **files})
    (step,) = planted.steps()
    assert step.violations["R1", "app"] == 1
    changed = "import { success } from '@qi/base';\nexport const read = () => ({ tag: 1 });\n"
    planted.commit({"app/demo/src/read.ts": changed})
    assert planted.steps()[-1].violations["R1", "app"] == 0


def test_before_the_library_exists_nothing_is_used(planted: Planted) -> None:
    planted.commit({"README.md": "soon"})
    planted.commit({APP_PATH: APP})
    planted.commit(LIBRARY)
    first, second, third = planted.steps()
    assert (first.exports, first.calls.total(), first.state.changed) == ({}, 0, True)
    assert (second.exports, second.calls.total(), second.state.changed) == ({}, 0, True)
    assert calls(third, "app") == BASE_CALLS


def test_a_history_without_the_library_is_an_error(planted: Planted) -> None:
    planted.commit({APP_PATH: APP})
    with pytest.raises(QiPipelineError, match=r"none of the 1 commits.*lib/base/src/index\.ts"):
        planted.evolve()


def test_a_second_run_asks_nothing_and_says_the_same(planted: Planted) -> None:
    planted.commit(STATE)
    planted.commit({APP_PATH: APP + "export const three = success(3);\n"})
    first = planted.evolve()
    assert first.work.states_surveyed == 2
    second = planted.evolve()
    assert second.states == first.states
    work = second.work
    assert (work.states_surveyed, work.files_read, work.modules_judged) == (0, 0, 0)
    assert planted.lines == []
    assert second.version == first.version
    planted.commit({APP_PATH: APP})
    assert planted.evolve().version != first.version


def test_only_what_a_commit_touches_is_judged_again(planted: Planted) -> None:
    planted.commit(STATE)
    planted.evolve()
    planted.commit({APP_PATH: APP + "export const three = success(3);\n"})
    work = planted.evolve().work
    assert (work.states_surveyed, work.files_read, work.modules_judged) == (1, 1, 1)


def test_a_new_body_concerns_its_own_file_and_a_new_type_concerns_all(planted: Planted) -> None:
    planted.commit(STATE)
    planted.evolve()
    body = RESULT.replace("success(fn(result.value)) : result", "success(fn(result.value)) : r2")
    planted.commit(
        {
            SOURCE: body.replace(
                "{\n  return result.tag", "{\n  const r2 = result;\n  return result.tag"
            )
        }
    )
    assert planted.evolve().work.files_read == 1
    planted.commit({SOURCE: body.replace("fallback: T", "fallback: T | null")})
    assert planted.evolve().work.files_read == len(STATE)


def test_a_layout_move_changes_no_count(planted: Planted) -> None:
    planted.commit({"src/base/index.ts": INDEX, "src/base/result.ts": RESULT, APP_PATH: APP})
    planted.repository.git("mv", "src/base", "moved")
    (planted.repository.path / "lib/base").mkdir(parents=True)
    planted.repository.git("mv", "moved", "lib/base/src")
    planted.commit({})
    first, second = planted.steps()
    assert first.state.usage.files.keys() != second.state.usage.files.keys()
    assert (first.calls, first.uses, first.violations) == (
        second.calls,
        second.uses,
        second.violations,
    )
    assert first.exports == second.exports


def test_of_two_layouts_side_by_side_one_is_counted(planted: Planted) -> None:
    old = {"lib/src/base/index.ts": INDEX, "lib/src/base/result.ts": RESULT}
    planted.commit({**old, APP_PATH: APP})
    new = {"packages/base/src/index.ts": INDEX, "packages/base/src/result.ts": RESULT}
    planted.commit(new)
    first, second = planted.steps()
    assert second.state.usage.files.keys() == {APP_PATH, *new}
    assert first.uses == second.uses
    assert first.violations == second.violations


def test_imports_of_the_older_copy_by_path_still_count(planted: Planted) -> None:
    old = {"lib/src/base/index.ts": INDEX, "lib/src/base/result.ts": RESULT}
    new = {"packages/base/src/index.ts": INDEX, "packages/base/src/result.ts": RESULT}
    path = "lib/tests/base/result.test.ts"
    by_path = TEST.replace('"@qi/base"', '"../../src/base/result.js"')
    planted.commit({**old, **new, path: by_path})
    (step,) = planted.steps()
    assert calls(step, "test") == {**BASE_CALLS, "@qi/base:unwrapOr": 1}


def test_a_file_with_syntax_errors_is_counted_and_left_out(planted: Planted) -> None:
    planted.commit({**STATE, "app/broken/src/index.ts": "import { map from '@qi/base';"})
    (step,) = planted.steps()
    assert step.state.usage.files["app/broken/src/index.ts"].unreadable == 1
    assert calls(step, "app") == BASE_CALLS


def test_equal_texts_of_different_kinds_are_read_as_what_they_are(planted: Planted) -> None:
    planted.commit({**LIBRARY, APP_PATH: APP, GUIDE_PATH: APP})
    (step,) = planted.steps()
    assert calls(step, "app") == BASE_CALLS
    assert calls(step, "tutorial") == {}


def test_an_unreadable_notebook_is_counted(planted: Planted) -> None:
    planted.commit({**LIBRARY, "docs/tutorial/a.ipynb": "{"})
    (step,) = planted.steps()
    assert step.state.usage.files["docs/tutorial/a.ipynb"].unreadable == 1


def test_a_library_that_cannot_be_judged_is_still_counted_and_says_why(planted: Planted) -> None:
    source = "export const success = (value: number): number => value;\n"
    planted.commit({ENTRY: INDEX, SOURCE: source, APP_PATH: APP})
    planted.commit(LIBRARY)
    first, second = planted.steps()
    assert "exports none of the types Result" in first.state.usage.unjudged
    assert first.calls["@qi/base:success", "app"] == 1
    assert second.state.usage.unjudged == ""
    # What could not be judged is tried again.
    again = planted.evolve()
    assert again.work.states_surveyed == 1
    # It comes out the same: the report is as complete as it can be.
    assert (again.unjudged, again.complete) == (1, True)


def test_a_compiler_that_dies_costs_one_state_and_the_evolution_is_incomplete(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    compilers: list[int] = []

    class Watched(SourceProgram):
        def __enter__(self) -> Self:
            super().__enter__()
            assert self.compiler_pid is not None
            compilers.append(self.compiler_pid)
            return self

    def kill_first(line: str) -> None:
        if line.startswith("1/3"):
            os.kill(compilers[0], signal.SIGKILL)

    monkeypatch.setattr(survey, "SourceProgram", Watched)
    planted.commit(STATE)
    planted.commit({APP_PATH: APP + "export const three = success(3);\n"})
    head = planted.commit({APP_PATH: APP + "export const four = success(4);\n"})
    arguments = (planted.repository.path, head, PROFILE, TOOLCHAIN, planted.cache)
    evolution = evolve(*arguments, kill_first)
    assert [bool(state.usage.unjudged) for state in evolution.states] == [False, True, False]
    assert (evolution.unjudged, evolution.complete) == (1, False)
    mended = evolve(*arguments)
    assert mended.work.states_surveyed == 1
    assert (mended.unjudged, mended.complete) == (0, True)


def test_a_merge_is_one_step_of_the_main_line(planted: Planted) -> None:
    planted.commit(LIBRARY)
    planted.repository.git("switch", "--quiet", "--create", "side")
    planted.commit({APP_PATH: APP})
    planted.commit({TEST_PATH: TEST})
    planted.repository.git("switch", "--quiet", "main")
    planted.repository.git("merge", "--quiet", "--no-ff", "--no-edit", "side")
    first, second = planted.steps()
    assert first.calls["@qi/base:map", "app"] == 0
    assert second.calls["@qi/base:map", "app"] == 1
    assert calls(second, "test")


def test_removing_the_library_leaves_nothing_in_use(planted: Planted) -> None:
    planted.commit(STATE)
    planted.remove(ENTRY, SOURCE)
    planted.commit({})
    last = planted.steps()[-1]
    assert (last.exports, last.calls.total(), last.state.usage.files) == ({}, 0, {})


def test_names_that_are_not_exported_are_found(planted: Planted) -> None:
    stale = """
```ts
import { isOk, success } from "@qi/base";
import * as all from "@qi/base";
isOk(success(1)); notMine(2); local(3);
function local(n: number) { return n; }
```
"""
    planted.commit({**LIBRARY, GUIDE_PATH: stale})
    (step,) = planted.steps()
    assert step.state.usage.files[GUIDE_PATH].unknown == ("@qi/base:isOk", "notMine")


def test_a_damaged_cache_is_named(planted: Planted) -> None:
    planted.commit(STATE)
    planted.evolve()
    for entry in planted.cache.rglob("*.json"):
        entry.write_text("{")
    with pytest.raises(QiPipelineError, match="is damaged; delete the folder"):
        planted.evolve()


def test_no_process_and_no_folder_is_left(
    planted: Planted, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    planted.commit(STATE)
    planted.evolve()
    assert list(folder.iterdir()) == []


def test_a_shallow_clone_is_told_as_one(planted: Planted, tmp_path: Path) -> None:
    planted.commit(STATE)
    planted.commit({APP_PATH: APP + "export const three = success(3);\n"})
    assert not planted.evolve().shallow
    url = planted.repository.url
    planted.repository.git("clone", "--quiet", "--depth=1", url, str(tmp_path / "shallow"))
    evolution = Planted(GitRepository(tmp_path / "shallow"), tmp_path / "other").evolve()
    assert evolution.shallow
    assert len(evolution.states) == 1
    text = render_evolution(analyse(evolution, PROFILE))
    assert "the clone is shallow: its history begins later than the repository's" in text


@pytest.mark.parametrize(
    "files", [{}, {"node_modules/typescript/package.json": '{"version": "7"}'}]
)
def test_a_missing_compiler_is_an_error_and_no_gap_in_the_series(
    planted: Planted, tmp_path: Path, files: dict[str, str]
) -> None:
    head = planted.commit(STATE)
    toolchain = tmp_path / "toolchain"
    for name, text in files.items():
        (toolchain / name).parent.mkdir(parents=True)
        (toolchain / name).write_text(text)
    with pytest.raises(QiPipelineError, match="no TypeScript compiler"):
        evolve(planted.repository.path, head, PROFILE, toolchain, planted.cache)
