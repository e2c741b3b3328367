"""Which functions their own tests watch, in a planted library whose tests watch some of them."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.extraction.extract import Extraction, extract_patterns, read_library
from qi_pipeline.extraction.syntax import parse_module, syntax_error_line
from qi_pipeline.library.profile import load_profile
from qi_pipeline.sandbox.limits import SUITE_LIMITS, Limits
from qi_pipeline.sandbox.mutation import (
    FunctionTester,
    LibraryTests,
    prepare_function_tester,
    reaching_tests,
    with_wrong_body,
)
from qi_pipeline.sandbox.sandbox import Sandbox, SandboxRefusedError
from qi_pipeline.sandbox.suite import prepare_suite, run_suite
from qi_pipeline.source.take import take_snapshot
from qi_pipeline.validation.workspace import prepare_library
from qi_pipeline_tests.extraction.planted import plant
from qi_pipeline_tests.sandbox.conftest import TOOLCHAIN, Sample

PARTS = "lib/base/src/parts.ts"
WATCHED = "lib/tests/base/watched.test.ts"
BROKEN = "lib/tests/base/broken.test.ts"
TABLE = "lib/tests/base/table.test.ts"
HELPER = "lib/tests/base/helper.ts"
HOPELESS = "lib/tests/base/hopeless.test.ts"
ENDLESS = "lib/tests/base/endless.test.ts"
LIBRARY = {
    "lib/base/src/index.ts": """
export { overloaded, arrow, block, later, record, count, wrapped, deep } from "./parts.js";
export { renamed as another, careless, lonely, ready, atLoad, setting } from "./parts.js";
export { inBroken, inHopeless, inTable, byHelper, Pair } from "./parts.js";
export { arrow as pointed } from "./parts.js";
""",
    PARTS: """/** Pärts: bytes are not characters. */
const DOUBLE = 2;
const doubled = (value: number) => value * DOUBLE;
export function overloaded(value: string): string;
export function overloaded(value: number): number;
export function overloaded(value: string | number): string | number {
  return value;
}
export const arrow = <T>(value: T): { value: T } => ({ value });
export const block = async <T>(value: T): Promise<T> => {
  return value;
};
export async function later(value: number): Promise<number> {
  return value + 1;
}
export const record = (log: string[]): void => {
  log.push("seen");
};
export function* count(): Generator<number> {
  yield 1;
}
export const wrapped = ((value: number) => doubled(value)) satisfies (value: number) => number;
export const inner = (value: number) => value + 10;
export const deep = (value: number) => inner(value);
export const renamed = function (value: number) { return value + 20; };
export const careless = (value: number) => arrow(value).value;
export const lonely = (value: number) => value;
export const ready = (tries: number): boolean => tries > 0;
export const atLoad = (value: number) => ({ value });
export const setting = atLoad(1).value;
export const inBroken = (value: number) => value;
export const inHopeless = (value: number) => value;
const same = (value: number) => value;
export const inTable = (value: number) => same(value);
export const byHelper = (value: number) => value;
export interface Pair { left: number }
export const Pair = (left: number): Pair => ({ left });
""",
}
HEAD = 'import { expect, test } from "vitest";\n'
TESTS = {
    WATCHED: HEAD
    + """
import { another, arrow, atLoad, block, careless, count, deep, later, overloaded, Pair, record,
  wrapped } from "@qi/base";
test("overloaded", () => expect(overloaded("a")).toBe("a"));
test("arrow", () => expect(arrow(1)).toEqual({ value: 1 }));
test("block", async () => expect(await block(1)).toBe(1));
test("later", async () => expect(await later(1)).toBe(2));
test("record", () => { const log: string[] = []; record(log); expect(log).toEqual(["seen"]); });
test("count", () => expect([...count()]).toEqual([1]));
test("wrapped", () => expect(wrapped(2)).toBe(4));
test("deep", () => expect(deep(1)).toBe(11));
test("another", () => expect(another(1)).toBe(21));
test("careless", () => { careless(1); });
test("pair", () => expect(Pair(1).left).toBe(1));
test("at load", () => expect(atLoad(2).value).toBe(2));
""",
    BROKEN: HEAD
    + """
import { careless, inBroken } from "@qi/base";
test("fails anyway", () => { careless(1); expect(1).toBe(2); });
test("in broken", () => expect(inBroken(1)).toBe(1));
""",
    TABLE: HEAD
    + """
import { inTable } from "@qi/base";
import { helped } from "./helper.js";
test.each([inTable])("%o", (same) => expect(same(1)).toBe(1));
test("helped", () => expect(helped(1)).toBe(1));
""",
    HELPER: """
import { byHelper } from "@qi/base";
export const helped = (value: number) => byHelper(value);
""",
    HOPELESS: HEAD
    + """
import { inHopeless } from "@qi/base";
test("never passes", () => expect(inHopeless(1)).toBe(2));
""",
    ENDLESS: HEAD
    + """
import { ready } from "@qi/base";
test("waits", () => { let tries = 0; while (!ready(tries)) tries += 1; expect(tries).toBe(1); });
""",
}


@dataclasses.dataclass(frozen=True)
class Planted:
    tester: FunctionTester
    extraction: Extraction


BRIEF = dataclasses.replace(SUITE_LIMITS, wall_seconds=12.0)


def planted(
    root: Path, sample: Sample, files: dict[str, str], limits: Limits = SUITE_LIMITS
) -> Planted:
    # The sample's own manifests, so that its installed packages serve here too.
    manifests = {
        file.path: sample.snapshot.path_of(file).read_bytes()
        for file in sample.snapshot.files
        if file.kind == "manifest"
    }
    snapshot = plant(root, {**manifests, **files})
    workspace = prepare_library(snapshot, sample.profile, sample.cache)
    suite = prepare_suite(
        snapshot, workspace, sample.profile, TOOLCHAIN, root / "cache", limits=limits
    )
    extraction = extract_patterns(snapshot, sample.profile)
    library = read_library(snapshot, sample.profile)
    reaching = reaching_tests(library, extraction.coverage, suite)
    return Planted(prepare_function_tester(suite, library, reaching), extraction)


@pytest.fixture(scope="module")
def parts(sample: Sample, tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return planted(tmp_path_factory.mktemp("parts"), sample, {**LIBRARY, **TESTS})


@pytest.fixture(scope="module")
def judged(parts: Planted) -> LibraryTests:
    tester = parts.tester
    brief = dataclasses.replace(tester, suite=dataclasses.replace(tester.suite, limits=BRIEF))
    return brief.judge_all(workers=2)


def function(judged: LibraryTests, name: str) -> Any:
    (found,) = (item for item in judged.functions if item.symbol == f"@qi/base:{name}")
    return found


def test_exported_functions_of_every_form_are_found_once(parts: Planted) -> None:
    assert [item.symbol.partition(":")[2] for item in parts.tester.functions] == [
        "Pair", "another", "arrow", "atLoad", "block", "byHelper", "careless", "count", "deep",
        "inBroken", "inHopeless", "inTable", "later", "lonely", "overloaded", "ready", "record",
        "wrapped",
    ]  # fmt: skip
    another = parts.tester.function("@qi/base:another")
    assert (another.file, another.name) == (PARTS, "renamed")
    with pytest.raises(QiPipelineError, match="no function '@qi/base:setting'"):
        parts.tester.function("@qi/base:setting")


def test_a_wrong_body_changes_that_function_alone(parts: Planted) -> None:
    library = parts.tester.library
    before = library.modules[PARTS].text
    for item in parts.tester.functions:
        changed = with_wrong_body(library, item)
        assert syntax_error_line(parse_module(changed)) is None
        assert changed.count("undefined as never") == 1
        head, _, tail = changed.partition("undefined as never")
        head = head.removesuffix("{ return ")
        tail = tail.removeprefix("; }")
        assert before.startswith(head)
        assert before.endswith(tail)
    record = with_wrong_body(library, parts.tester.function("@qi/base:record"))
    assert "(log: string[]): void => { return undefined as never; };" in record
    arrow = with_wrong_body(library, parts.tester.function("@qi/base:arrow"))
    assert "=> undefined as never;" in arrow


@pytest.mark.parametrize(
    ("name", "test"),
    [
        ("overloaded", "overloaded"),
        ("arrow", "arrow"),
        ("block", "block"),
        ("later", "later"),
        ("record", "record"),
        ("count", "count"),
        ("wrapped", "wrapped"),
        ("deep", "deep"),
        ("another", "another"),
        ("Pair", "pair"),
    ],
)
def test_a_wrong_body_is_noticed_by_the_test_of_its_function(
    name: str, test: str, judged: LibraryTests
) -> None:
    found = function(judged, name)
    assert (found.status, found.noticed_by) == ("noticed", f"{WATCHED} > {test}")
    assert WATCHED in found.test_files


def test_a_test_may_reach_a_function_without_calling_it_by_name(judged: LibraryTests) -> None:
    table, helper = function(judged, "inTable"), function(judged, "byHelper")
    assert (table.status, table.test_files) == ("noticed", (TABLE,))
    assert table.noticed_by.startswith(f"{TABLE} > ")
    assert (helper.status, helper.noticed_by) == ("noticed", f"{TABLE} > helped")


def test_a_file_that_no_longer_loads_notices(judged: LibraryTests) -> None:
    found = function(judged, "atLoad")
    assert found.status == "noticed"
    assert found.noticed_by.startswith(f"{WATCHED}: ")


def test_a_run_without_end_notices(judged: LibraryTests) -> None:
    found = function(judged, "ready")
    assert found.status == "noticed"
    assert "timed out" in found.noticed_by


def test_a_run_that_is_too_slow_even_unchanged_notices_nothing(parts: Planted) -> None:
    tester = parts.tester
    limits = dataclasses.replace(BRIEF, wall_seconds=0.2)
    hurried = dataclasses.replace(
        tester,
        suite=dataclasses.replace(tester.suite, limits=limits),
        functions=(tester.function("@qi/base:arrow"),),
    )
    (found,) = hurried.judge_all().functions
    assert (found.status, found.noticed_by) == ("unnoticed", None)


def test_tests_that_look_at_nothing_notice_nothing(judged: LibraryTests) -> None:
    found = function(judged, "careless")
    assert (found.status, found.noticed_by) == ("unnoticed", None)
    assert found.test_files == (BROKEN, WATCHED)


def test_a_test_that_fails_anyway_judges_nothing_and_hides_nothing(judged: LibraryTests) -> None:
    found = function(judged, "inBroken")
    assert (found.status, found.noticed_by) == ("noticed", f"{BROKEN} > in broken")
    hopeless = function(judged, "inHopeless")
    assert (hopeless.status, hopeless.test_files) == ("untested", ())
    assert (judged.baseline_failed, judged.problem) == (2, None)
    assert judged.baseline_passed == 16


def test_what_no_test_reaches_is_untested(judged: LibraryTests) -> None:
    found = function(judged, "lonely")
    assert (found.status, found.test_files, found.noticed_by) == ("untested", (), None)
    assert judged.count("untested") == 2
    assert judged.count("unnoticed") == 1


def test_marks_go_to_the_patterns_that_implement_a_function(
    parts: Planted, judged: LibraryTests
) -> None:
    rows = [*parts.extraction.patterns, *parts.extraction.untyped]
    # The others call nothing of the library, and what is no function of it has no mark.
    (careless,) = (row for row in rows if row.container == "careless" and row.source_kind != "test")
    assert any(row.source_kind == "test" for row in rows)
    assert judged.marks(rows) == {careless.id: "unnoticed"}


def test_a_library_whose_tests_all_fail_has_a_reason_and_no_marks(
    sample: Sample, tmp_path: Path
) -> None:
    tests = {HOPELESS: TESTS[HOPELESS]}
    found = planted(tmp_path, sample, {**LIBRARY, **tests}).tester.judge_all()
    assert {item.status for item in found.functions} == {"untested"}
    assert (found.baseline_passed, found.baseline_failed) == (0, 1)
    assert found.problem is not None
    assert "no test of the unchanged library passes (never passes: " in found.problem


def test_a_file_that_hangs_does_not_silence_the_others(sample: Sample, tmp_path: Path) -> None:
    hangs = HEAD + 'import { ready } from "@qi/base";\ntest("x", () => { for (;;) ready(1); });\n'
    files = {**LIBRARY, BROKEN: TESTS[BROKEN], ENDLESS: hangs}
    tester = planted(tmp_path, sample, files, BRIEF).tester
    assert tester.test_files["@qi/base:inBroken"] == (BROKEN,)
    assert tester.test_files["@qi/base:ready"] == ()
    assert tester.baseline.problem is None


@dataclasses.dataclass(frozen=True)
class RefusingSandbox(Sandbox):
    def run(self, *_arguments: Any, **_options: Any) -> Any:
        raise SandboxRefusedError("identity", "refused for a test")


def test_a_refused_sandbox_is_not_swallowed(parts: Planted) -> None:
    suite = dataclasses.replace(parts.tester.suite, sandbox=RefusingSandbox())
    with pytest.raises(SandboxRefusedError):
        prepare_function_tester(suite, parts.tester.library, {})
    with pytest.raises(SandboxRefusedError):
        dataclasses.replace(parts.tester, suite=suite).judge_all()


# ── Another body ─────────────────────────────────────────────────────────────────────────────────

BODIES = {
    "declaration": ("wrapped", "const wrapped = (value: number) => doubled(value);", "passed"),
    "declared_function": ("another", "function renamed(x: number) { return x + 20; }", "passed"),
    "overloads": (
        "overloaded",
        (
            "export function overloaded(value: string): string;\n"
            "export function overloaded(value: any): any { return value; }"
        ),
        "passed",
    ),
    "module": (
        "deep",
        (
            'import { another as twenty, type Pair } from "@qi/base";\n'
            'import * as base from "@qi/base";\n'
            "const TEN: number = base.setting * 10;\n"
            "export const deep = (value: number): number => twenty(value) - TEN;\n"
            "export const left = (pair: Pair) => pair.left;\nexport { TEN };\n"
        ),
        "passed",
    ),
    "own_helper": (
        "wrapped",
        (
            "const doubled = (value: number) => value + value;\n"
            "export function wrapped(value: number) { return doubled(value); }"
        ),
        "passed",
    ),
    "promise": ("later", "export const later = async (value: number) => value + 1;", "passed"),
    "generator": ("count", "export function* count() { yield 1; }", "passed"),
    "wrong": ("deep", "export const deep = (value: number) => value;", "failed"),
    "throws": ("deep", "export const deep = () => { throw new Error('no'); };", "failed"),
    "leaves": ("deep", "export const deep = () => process.exit(0);", "failed"),
    "unknown_name": ("deep", "export const deep = (value: number) => nowhere(value);", "failed"),
    "unknown_import": (
        "deep",
        'import { ten } from "absent";\nexport const deep = (v: number) => v + ten;',
        "failed",
    ),
    "breaks_out": ("deep", "export const deep = () => 1; } evil(); {", "refused"),
    "other_name": ("deep", "export const shallow = (value: number) => value + 10;", "refused"),
    "type_only": ("deep", "export type deep = number;", "refused"),
    "skips_its_test": (
        "later",
        (
            "export const later = async (value: number) => {\n"
            "  const { getCurrentTest } = await import(['vitest', 'suite'].join('/'));\n"
            "  getCurrentTest().context.skip();\n  return value;\n};"
        ),
        "failed",
    ),
    "imports_the_runner": (
        "later",
        (
            'import { getCurrentTest } from "vitest/suite";\n'
            "export const later = (value: number) => { getCurrentTest().context.skip(); };"
        ),
        "refused",
    ),
    "imports_the_runner_later": (
        "later",
        "export const later = async () => (await import('@vitest/runner')).getCurrentTest();",
        "refused",
    ),
    "unreached": ("lonely", "export const lonely = (value: number) => value;", "untested"),
}


@pytest.mark.parametrize("name", BODIES)
def test_another_body_is_judged_by_the_librarys_tests(name: str, parts: Planted) -> None:
    symbol, text, status = BODIES[name]
    found = parts.tester.run_with_body(parts.tester.function(f"@qi/base:{symbol}"), text)
    assert found.status == status, found.reason
    assert (found.reason is None) == (status == "passed")
    if name == "wrong":
        assert found.reason == f"{WATCHED} > deep"
    if name == "skips_its_test":
        assert found.reason == f"{WATCHED} > later: did not run to its end"


def test_every_test_that_passed_before_must_be_said_to_pass_again(parts: Planted) -> None:
    tester = parts.tester
    run = run_suite(tester.suite, files=[WATCHED])
    first = tester._first_failure(run, [WATCHED])
    assert (run.status, first) == ("passed", None)
    without = dataclasses.replace(run, tests=run.tests[1:])
    assert tester._first_failure(without, [WATCHED]) == (
        f"{WATCHED} > overloaded: did not run to its end"
    )
    nothing = dataclasses.replace(run, tests=(), errors=("no test ran",), status="failed")
    assert tester._first_failure(nothing, [WATCHED]) is not None


def test_a_body_is_not_judged_by_a_machine_that_is_too_slow(parts: Planted) -> None:
    tester = parts.tester
    limits = dataclasses.replace(BRIEF, wall_seconds=0.2)
    hurried = dataclasses.replace(tester, suite=dataclasses.replace(tester.suite, limits=limits))
    body = "const wrapped = (value: number) => doubled(value);"
    found = hurried.run_with_body(tester.function("@qi/base:wrapped"), body)
    assert found.status == "untested"
    assert found.reason is not None
    assert "at present" in found.reason


def own(tester: FunctionTester, extraction: Extraction, symbol: str) -> str:
    item = tester.function(symbol)
    (row,) = (
        row
        for row in (*extraction.patterns, *extraction.untyped)
        if (row.metadata.source_file, row.container) == (item.file, item.name)
    )
    return row.implementation


def statements(text: str, name: str) -> Sequence[str]:
    """Return the text of the statements of a module that declare `name`."""
    return [
        (node.text or b"").decode()
        for node in parse_module(text).root.named_children
        if f" {name} " in (node.text or b"").decode().partition("\n")[0].replace("(", " ")
    ]


@pytest.fixture(scope="module")
def whole_sample(sample: Sample) -> Planted:
    suite = prepare_suite(
        sample.snapshot, sample.workspace, sample.profile, TOOLCHAIN, sample.cache
    )
    extraction = extract_patterns(sample.snapshot, sample.profile)
    library = read_library(sample.snapshot, sample.profile)
    reaching = reaching_tests(library, extraction.coverage, suite)
    return Planted(prepare_function_tester(suite, library, reaching), extraction)


@pytest.mark.parametrize("symbol", ["@qi/base:map", "@qi/base:mapAsync", "@qi/core:createCache"])
def test_the_pattern_of_a_function_is_the_function(symbol: str, whole_sample: Planted) -> None:
    tester = whole_sample.tester
    item = tester.function(symbol)
    text = own(tester, whole_sample.extraction, symbol)
    (declared,) = statements(text, item.name)
    assert declared in tester.library.modules[item.file].text
    assert tester.run_with_body(item, text).status == "passed"


@pytest.mark.real
@pytest.mark.slow
def test_the_real_tests_watch_as_many_functions_as_is_known(
    real_repository: Path, tmp_path: Path
) -> None:
    profile = load_profile()
    snapshot = take_snapshot(
        str(real_repository), "HEAD", profile, tmp_path / "snapshots", tmp_path / "mirrors"
    )
    workspace = prepare_library(snapshot, profile, tmp_path / "cache")
    suite = prepare_suite(snapshot, workspace, profile, TOOLCHAIN, tmp_path / "cache")
    library = read_library(snapshot, profile)
    coverage = extract_patterns(snapshot, profile).coverage
    reaching = reaching_tests(library, coverage, suite)
    found = prepare_function_tester(suite, library, reaching).judge_all()
    assert (found.baseline_passed, found.baseline_failed) == (159, 0)
    noticed = [item.symbol.split(":")[0] for item in found.functions if item.status == "noticed"]
    assert (noticed.count("@qi/base"), noticed.count("@qi/core")) == (30, 16)
    assert len(found.functions) == 73
