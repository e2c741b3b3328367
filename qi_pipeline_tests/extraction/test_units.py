"""Which pieces of a file are units, and what they are called."""

from qi_pipeline.extraction.members import CallResolver
from qi_pipeline.extraction.units import Unit, cut_units
from qi_pipeline_tests.extraction.planted import LIBRARY, exports

IMPORT = 'import { success, create, MemoryCache } from "@qi/base";\n'


def units(text: str) -> list[Unit]:
    path = "app/demo/src/index.ts"
    library = exports({**LIBRARY, path: IMPORT + text})
    module = library.modules[path]
    calls = CallResolver(library).resolve(module, path).calls
    return cut_units(module, path, "app", calls)


def named(text: str) -> list[tuple[str, str]]:
    return [(unit.kind, unit.container) for unit in units(text)]


def test_functions_arrows_classes_and_values_are_units() -> None:
    text = """
function a() { return success(1); }
export async function* b() { yield success(1); }
const c = () => success(1);
export const d = function () { return success(1); };
export class E { m() { return success(1); } }
abstract class F { m() { return success(1); } }
export const g = success(1);
export default function h() { return success(1); }
"""
    kinds = ["function", "function", "function", "function", "class", "class", "value", "function"]
    assert named(text) == list(zip(kinds, "abcdEFgh", strict=True))


def test_what_does_not_call_the_library_is_no_unit() -> None:
    assert named("function a() { return 1; } type T = string; const b = 1; a();") == []


def test_a_statement_with_several_names_is_one_unit() -> None:
    assert named("const a = success(1), b = success(2);") == [("value", "a")]
    assert named("const { a, b } = success(1);") == [("value", "a")]


def test_a_unit_holds_exactly_its_own_calls() -> None:
    first, second = units("const a = () => success(1);\nconst b = () => success(create('', ''));")
    assert [call.symbol for call in first.calls] == ["success"]
    assert [call.symbol for call in second.calls] == ["success", "create"]
    assert (first.line_range, second.line_range) == ((2, 2), (3, 3))


def test_cases_are_named_by_their_describe_titles() -> None:
    text = """
describe("outer", () => {
  beforeEach(() => { success(0); });
  describe.skip("inner", function () {
    it("works", () => { success(1); });
  });
  test(`templated`, () => { success(2); });
});
it("alone", () => { success(3); });
"""
    assert named(text) == [
        ("test", "outer > inner > works"),
        ("test", "outer > templated"),
        ("test", "alone"),
    ]


def test_the_title_of_a_table_test_is_that_of_the_outer_call() -> None:
    text = """
describe.each([[create("A", "B"), () => { f("x"); }]])("group %s", (x) => {
  it.each([create("A", "B")])("case %s", (y) => { success(y); });
});
"""
    assert named(text) == [("test", "group %s > case %s")]


def test_equal_titles_are_told_apart_by_their_ordinal() -> None:
    text = 'it("a", () => { success(1); });\nit("a", () => { success(2); });'
    assert [unit.ordinal for unit in units(text)] == [0, 1]
