import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.library.profile import Profile
from qi_pipeline.validation.program import LibraryMember, SourceProgram
from qi_pipeline_tests.validation.conftest import LIBRARY, TOOLCHAIN

APP = "typescript/app/demo/src/main.ts"
SOURCES = {path: text for path, text in LIBRARY.items() if path.endswith(".ts")}
CODE = """
import { ConfigBuilder } from "@qi/core";
import { success } from "@qi/base";
const builder = ConfigBuilder.fromObject({ a: 1 });
export const built = builder.map((data) => data).build();
export const tag = built.tag;
export const doubled = [1, 2].map((n) => n * 2);
export const made = success(1);
"""


def offsets(text: str, *needles: str) -> list[int]:
    return [text.index(needle) + 1 for needle in needles]


@pytest.fixture
def program(profile: Profile) -> Iterator[SourceProgram]:
    with SourceProgram({**SOURCES, APP: CODE}, profile, TOOLCHAIN) as running:
        yield running


def test_members_are_those_of_the_exporting_class(program: SourceProgram) -> None:
    asked = offsets(CODE, ".fromObject", ".map((data)", ".build", ".map((n)", ".tag")
    found = program.members({APP: asked})[APP]
    owner = ("@qi/core", "ConfigBuilder")
    assert found == {
        asked[0]: LibraryMember(*owner, "fromObject", is_static=True),
        asked[1]: LibraryMember(*owner, "map", is_static=False),
        asked[2]: LibraryMember(*owner, "build", is_static=False),
    }


def test_violations_are_judged_in_place(program: SourceProgram) -> None:
    found = program.violations([APP, "typescript/lib/core/src/index.ts"])
    assert [(rule.id, rule.line) for rule in found[APP]] == [("R1", 6)]
    assert found["typescript/lib/core/src/index.ts"] == ()


def test_a_later_state_replaces_the_present_one(program: SourceProgram) -> None:
    program.update({**SOURCES, APP: CODE.replace("built.tag", "1")})
    assert program.violations([APP])[APP] == ()
    other = APP.replace("main", "other")
    program.update({**SOURCES, other: CODE})
    assert [rule.id for rule in program.violations([other])[other]] == ["R1"]
    with pytest.raises(KeyError):
        program.violations([APP])


def test_an_edit_of_the_library_changes_what_its_users_mean(program: SourceProgram) -> None:
    core = "typescript/lib/core/src/index.ts"
    changed = SOURCES[core].replace("build(): Result<Record<string, unknown>>", "build(): any")
    program.update({**SOURCES, core: changed, APP: CODE})
    assert program.violations([APP])[APP] == ()


def test_the_layout_may_move(program: SourceProgram) -> None:
    moved = {path.replace("/lib/", "/packages/"): text for path, text in SOURCES.items()}
    program.update({**moved, APP: CODE})
    asked = offsets(CODE, ".build")
    assert program.members({APP: asked})[APP][asked[0]].owner == "ConfigBuilder"
    assert [rule.id for rule in program.violations([APP])[APP]] == ["R1"]


def test_a_tree_without_the_library_has_no_violations(profile: Profile) -> None:
    with SourceProgram({APP: CODE}, profile, TOOLCHAIN) as program:
        assert program.packages == ()
        assert program.violations([APP]) == {APP: ()}
        assert program.members({APP: [1]}) == {APP: {}}
        program.update({**SOURCES, APP: CODE})
        assert [rule.id for rule in program.violations([APP])[APP]] == ["R1"]


def test_diagnostics_name_repository_paths(program: SourceProgram) -> None:
    broken = 'import { nothing } from "@qi/base";\nexport const n: number = "text";\nnothing;\n'
    program.update({**SOURCES, APP: broken})
    found = program.diagnostics([APP])[APP]
    assert [(item.code, item.line) for item in found] == [(2305, 1), (2322, 2)]
    assert not any("qi-program" in item.message for item in found)


def test_odd_texts_are_laid_out(program: SourceProgram) -> None:
    odd = {
        "typescript/app/demo/src/bom.ts": "\ufeff" + CODE,
        "typescript/app/demo/src/lone.ts": f'export const s = "\ud800";{CODE}',
        "typescript/app/demo/src/nul.ts": f"export const s = 1;\0{CODE}",
        "typescript/app/demo/src/windows.ts": CODE.replace("\n", "\r\n"),
    }
    program.update({**SOURCES, **odd})
    found = program.violations(list(odd))
    assert [(rule.id, rule.line) for rule in found["typescript/app/demo/src/bom.ts"]] == [("R1", 6)]
    assert [rule.id for rule in found["typescript/app/demo/src/windows.ts"]] == ["R1"]


def test_nothing_is_left_behind(profile: Profile) -> None:
    with SourceProgram(SOURCES, profile, TOOLCHAIN) as program:
        folder = program.directory
        assert folder.is_dir()
    assert not folder.exists()


def test_a_killed_compiler_is_started_again(program: SourceProgram) -> None:
    assert program.compiler_pid is not None
    os.kill(program.compiler_pid, signal.SIGKILL)
    assert [rule.id for rule in program.violations([APP])[APP]] == ["R1"]


def test_a_killed_compiler_is_started_again_for_diagnostics(program: SourceProgram) -> None:
    broken = CODE + 'export const wrong: number = "text";'
    program.update({**SOURCES, APP: broken})
    expected = program.diagnostics([APP])
    assert [item.code for item in expected[APP]] == [2322]
    assert program.compiler_pid is not None
    os.kill(program.compiler_pid, signal.SIGKILL)
    assert program.diagnostics([APP]) == expected


def test_a_path_may_be_asked_for_twice(program: SourceProgram) -> None:
    assert program.violations([APP, APP]) == program.violations([APP])
    assert program.diagnostics([APP, APP]) == program.diagnostics([APP])


def test_a_missing_toolchain_is_named(profile: Profile, tmp_path: Path) -> None:
    with pytest.raises(QiPipelineError, match="make setup"):
        SourceProgram(SOURCES, profile, tmp_path)
