# ruff: noqa: E501 - TypeScript in tables reads best one case a line
from qi_pipeline.extraction.pattern import Pattern, PatternMetadata
from qi_pipeline.validation.checker import Checker
from qi_pipeline.validation.patterns import validate_patterns

GOOD = 'import { success } from "@qi/base";\nexport const fine = success(1);\n'
ALMOST = GOOD.replace("fine", "good")
BROKEN = 'import { nothing } from "@qi/base";\nexport const a: string = nothing + 1; nowhere(); elsewhere();\n'
RUDE = "export const f = () => { throw new Error('x'); };\nexport const g = (x: any) => x;\n"


def pattern(pattern_id: str, implementation: str) -> Pattern:
    return Pattern(
        id=pattern_id,
        type="result_creation",
        instruction="Return a number.",
        implementation=implementation,
        complexity=1,
        category="basic",
        metadata=PatternMetadata(
            source_file="a.ts", line_range=(1, 2), dependencies=(), test_coverage=False
        ),
        symbols=(),
        commit="a" * 40,
        blob="b" * 40,
        container="a",
        source_kind="app",
    )


def test_a_compliant_pattern_is_kept_and_the_order_is_kept(checker: Checker) -> None:
    rows = validate_patterns([pattern("b", GOOD), pattern("a", RUDE)], checker, {})
    assert [(row.pattern.id, row.status) for row in rows] == [("b", "kept"), ("a", "rejected")]
    assert rows[0].reasons == ()
    assert rows[0].duplicate_cluster == "b"


def test_reasons_name_each_code_and_rule_once(checker: Checker) -> None:
    broken, rude = validate_patterns([pattern("a", BROKEN), pattern("b", RUDE)], checker, {})
    assert [reason.split(":")[0] for reason in broken.reasons] == ["TS2305", "TS2304"]
    assert "nothing" in broken.reasons[0]
    assert all("\n" not in reason for reason in broken.reasons)
    assert [reason.split(":")[0] for reason in rude.reasons] == ["R7", "R12"]
    assert "return failure" in rude.reasons[0]


def test_one_of_a_cluster_is_kept(checker: Checker) -> None:
    rows = validate_patterns(
        [pattern("c", GOOD), pattern("b", ALMOST), pattern("d", GOOD + "// d")],
        checker,
        {"c": "x", "b": "x", "d": "d"},
    )
    assert [row.status for row in rows] == ["rejected", "kept", "kept"]
    assert rows[0].reasons == ("duplicate of b",)
    assert [row.duplicate_cluster for row in rows] == ["b", "b", "d"]


def test_a_compliant_copy_represents_its_cluster_before_a_smaller_id(checker: Checker) -> None:
    rows = validate_patterns(
        [pattern("a", RUDE), pattern("b", GOOD)], checker, {"a": "a", "b": "a"}
    )
    assert [row.status for row in rows] == ["rejected", "kept"]
    assert rows[0].reasons[-1] == "duplicate of b"


def test_exact_copies_are_duplicates_whatever_the_clusters_say(checker: Checker) -> None:
    rows = validate_patterns(
        [pattern("a", GOOD), pattern("b", GOOD), pattern("c", ALMOST)],
        checker,
        {"a": "a", "b": "b", "c": "b"},
    )
    assert [row.reasons for row in rows] == [(), ("duplicate of a",), ("duplicate of a",)]


def test_no_patterns_give_no_rows(checker: Checker) -> None:
    assert validate_patterns([], checker, {}) == []
