# ruff: noqa: E501 - TypeScript in tables reads best one case a line
"""Which open member calls reach the library, as the type checker answers."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.extraction.cache import ExtractionCache
from qi_pipeline.extraction.exports import LibraryExports, read_modules
from qi_pipeline.extraction.extract import extract_patterns
from qi_pipeline.extraction.members import CallResolver, MemberQuestion
from qi_pipeline.library.profile import load_profile
from qi_pipeline.settings import PROJECT_ROOT
from qi_pipeline.source.snapshot import Snapshot
from qi_pipeline.validation.members import CheckedMembers, utf16_offsets
from qi_pipeline_tests.extraction.planted import LIBRARY, plant
from qi_pipeline_tests.extraction.typed_library import TYPED_LIBRARY

PROFILE = load_profile()
TOOLCHAIN = PROJECT_ROOT / "toolchain"
APP = "app/demo/src/index.ts"
IMPORTS = """
import { success, map, match, unwrapOr, type Result } from "@qi/base";
import { Logger, ConfigBuilder, MemoryCache, RedisCache, createLogger, createCache } from "@qi/core";
import type { ICache, LoggerConfig, Box } from "@qi/core";
"""


def answered(texts: Mapping[str, str]) -> dict[str, list[tuple[str, str]]]:
    """Return file to the members that the questions of `texts`, beside the library, come to."""
    files = {**TYPED_LIBRARY, **texts}
    library = LibraryExports(read_modules(files), PROFILE)
    questions = {
        path: CallResolver(library).resolve(module, path).questions
        for path, module in library.modules.items()
    }
    answers = CheckedMembers(PROFILE, TOOLCHAIN).resolve(files, questions)
    return {file: [found[byte] for byte in sorted(found)] for file, found in answers.items()}


INFO = "Logger.info"
CASES: list[tuple[str, list[str]]] = [
    ("const f = (l: unknown) => { if (l instanceof Logger) l.info(''); };", [INFO]),
    ("const f = (c: ICache) => { if (c instanceof RedisCache) c.close(); };", ["RedisCache.close"]),
    ("const f = (c: RedisCache | MemoryCache) => c.has('');", ["MemoryCache.has"]),
    ("function f<T extends Logger>(l: T) { l.info(''); }", [INFO]),
    ("const f = (b: Box<Logger>) => b.content.info('');", [INFO]),
    ("const f = (r: Result<Logger>) => { if (r.tag === 'success') r.value.info(''); };", [INFO]),
    ("const make = () => new Logger({ level: '' }); make().info('');", [INFO]),
    ("const f = (l: ReturnType<typeof make>) => l.info(''); const make = () => new Logger({ level: '' });", [INFO]),
    ("const deps = { logger: new Logger({ level: '' }) }; deps.logger.info('');", [INFO]),
    ("declare const all: Logger[]; all.forEach((l) => l.info('')); all[0]?.info('');", [INFO, INFO]),
    ("declare const all: Logger[]; for (const l of all) l['info']('');", [INFO]),
    ("declare const all: Map<string, Logger>; all.get('')?.info('');", [INFO]),
    ("class Own extends Logger { run() { super.info(''); } }", [INFO]),
    ("const f = (b: any) => (b as { c: ConfigBuilder }).c.merge(b).build();", ["ConfigBuilder.merge", "ConfigBuilder.build"]),
    ("const l = match((v) => v, () => new Logger({ level: '' }), createLogger({ level: '' })); l.info('');", [INFO]),
    ("const f = (l) => l.info('');", []),
    ("const make = () => new Map<string, string>(); make().get('');", []),
    ("const make = () => ({ info(m: string) {} }); make().info('');", []),
    ("class Own { info(m: string) {} } const make = () => new Own(); make().info('');", []),
    ("class Own extends Logger { info(m: string) {} } const make = () => new Own(); make().info('');", []),
    ("import { logger } from './absent.js'; logger.info('');", []),
    ("import { logger } from 'absent'; const make = () => logger; make().info('');", []),
    ("const f = (c: ICache<string>) => c.has('');", []),
    ("const make = () => ConfigBuilder; make().fromObject({});", []),
    ("/* \N{PARTY POPPER} é */ const make = () => new Logger({ level: 'é' }); make().info('');", [INFO]),
]  # fmt: skip


@pytest.fixture(scope="module")
def answers() -> dict[str, list[tuple[str, str]]]:
    """Ask about all cases in one program, each in an app of its own."""
    texts = {f"app/c{i}/src/index.ts": IMPORTS + text for i, (text, _) in enumerate(CASES)}
    return answered(texts)


@pytest.mark.parametrize(("number", "text", "expected"), [(i, *c) for i, c in enumerate(CASES)])
def test_types_decide_what_declarations_leave_open(
    number: int, text: str, expected: list[str], answers: dict[str, list[tuple[str, str]]]
) -> None:
    assert text
    assert answers[f"app/c{number}/src/index.ts"] == [("@qi/core", name) for name in expected]


def test_a_type_is_followed_through_the_files_of_the_tree() -> None:
    texts = {
        "app/demo/src/logging.ts": IMPORTS + "export const make = () => new Logger({ level: '' });",
        APP: 'import { make } from "./logging.js"; make().info("");',
    }
    assert answered(texts)[APP] == [("@qi/core", "Logger.info")]


def test_code_of_documents_stands_under_a_path_of_its_own() -> None:
    library = LibraryExports(read_modules(TYPED_LIBRARY), PROFILE)
    path = "docs/tutorial/guide.md/block-0.ts"
    text = IMPORTS + "const make = () => new Logger({ level: '' }); make().info('');"
    module = read_modules({path: text})[path]
    questions = {path: CallResolver(library).resolve(module, "docs/tutorial/guide.md").questions}
    files = {**TYPED_LIBRARY, path: text}
    found = CheckedMembers(PROFILE, TOOLCHAIN).resolve(files, questions)
    assert list(found[path].values()) == [("@qi/core", "Logger.info")]


def test_a_byte_order_mark_moves_no_answer() -> None:
    text = IMPORTS + "const make = () => new Logger({ level: 'é' }); make().info('');"
    assert answered({APP: "\ufeff" + text})[APP] == [("@qi/core", "Logger.info")]


def test_without_a_question_no_compiler_is_needed(tmp_path: Path) -> None:
    assert CheckedMembers(PROFILE, tmp_path).resolve(TYPED_LIBRARY, {APP: ()}) == {}


def test_a_missing_compiler_is_named(tmp_path: Path) -> None:
    files = {**TYPED_LIBRARY, APP: "x.info();"}
    with pytest.raises(QiPipelineError, match="no TypeScript compiler"):
        CheckedMembers(PROFILE, tmp_path).resolve(files, {APP: [MemberQuestion(0, 2)]})


def test_offsets_count_utf16_units() -> None:
    text = "\ufeffaé\N{PARTY POPPER}b"
    source = text.removeprefix("\ufeff").encode()
    assert utf16_offsets(text, [source.index(b"b"), 0, 1, 3]) == {0: 0, 1: 1, 2: 3, 4: 7}


@pytest.mark.real
def test_every_call_in_the_real_library_and_its_apps_is_found(real_snapshot: Snapshot) -> None:
    files = {
        file.path: real_snapshot.read_text(file)
        for file in real_snapshot.files
        if file.path.endswith(".ts")
    }
    library = LibraryExports(read_modules(files), PROFILE)
    found = {path: CallResolver(library).resolve(library.modules[path], path) for path in files}
    answers = CheckedMembers(PROFILE, TOOLCHAIN).resolve(
        files, {path: item.questions for path, item in found.items()}
    )
    forms = Counter(call.form for item in found.values() for call in item.calls)
    forms["instance_member"] += sum(map(len, answers.values()))
    # Counted with the classic checker in apps and library at the commit that this clone is at.
    assert forms == {"direct": 691, "new": 21, "static_member": 13, "instance_member": 156}


CACHE = 'import { createMemoryCache } from "@qi/core";\n'
NEAR, MIDDLE, FAR = (f"app/demo/src/{name}.ts" for name in ("near", "middle", "far"))


@pytest.mark.parametrize(
    ("near", "middle"),
    [
        ('import { far } from "./far.js";\nexport const make = () => far();\n', ""),
        ('import far from "./far.js";\nexport const make = () => far();\n', ""),
        ('import * as all from "./far.js";\nexport const make = () => all.far();\n', ""),
        (
            'import { middle } from "./middle.js";\nexport const make = () => middle();\n',
            'import far from "./far.js";\nexport const middle = () => far();\n',
        ),
        (
            'import * as all from "./middle.js";\nexport const make = () => all.far();\n',
            'export * from "./far.js";\n',
        ),
        (
            'import far from "./middle.js";\nexport const make = () => far();\n',
            'export { default } from "./far.js";\n',
        ),
        (
            'import { middle } from "./middle.js";\nexport const make = () => middle;\n',
            'export declare const middle: ReturnType<typeof import("./far.js").far>;\n',
        ),
    ],
)
def test_what_the_checker_inferred_from_other_files_is_asked_again_when_they_change(
    near: str, middle: str, tmp_path: Path
) -> None:
    oracle = CheckedMembers(PROFILE, TOOLCHAIN)
    cache = ExtractionCache(tmp_path / "cache", checker="one")

    def calls(far: str, cache: ExtractionCache | None) -> list[str]:
        files = {
            **LIBRARY,
            APP: 'import { success } from "@qi/base";\nimport { make } from "./near.js";\n'
            'export const a = () => { make().get("x"); return success(1); };\n',
            NEAR: near,
            MIDDLE: middle or "export {};\n",
            FAR: f"{far}export default () => far();\n",
        }
        snapshot = plant(tmp_path / str(len(list(tmp_path.iterdir()))), files)
        found = extract_patterns(snapshot, PROFILE, oracle=oracle, cache=cache)
        return [item.call.symbol for item in found.calls if item.file == APP]

    mine = f"{CACHE}export const far = () => createMemoryCache();\n"
    other = "export const far = () => new Map<string, string>();\n"
    assert calls(mine, cache) == ["MemoryCache.get", "success"]
    assert calls(other, cache) == calls(other, None) == ["success"]
