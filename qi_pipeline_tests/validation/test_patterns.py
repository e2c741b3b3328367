# ruff: noqa: E501 - TypeScript in tables reads best one case a line
"""Grades: which rows are kept, repaired, left to a person or rejected, and why."""

from collections.abc import Mapping, Sequence

import pytest

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.extraction.pattern import Pattern, UntypedPattern
from qi_pipeline.recognition.records import Recognition
from qi_pipeline.validation.checker import Checker
from qi_pipeline.validation.patterns import grade_patterns, grading_figures, reason_kind
from qi_pipeline.validation.review import ReviewDecision, implementation_hash
from qi_pipeline.validation.verdict import ValidatedPattern
from qi_pipeline_tests.validation.rows import block, pattern, recognized, untyped

GOOD = 'import { success } from "@qi/base";\nexport const fine = success(1);\n'
ALMOST = GOOD.replace("fine", "good")
BROKEN = 'import { nothing } from "@qi/base";\nexport const a: string = nothing + 1; nowhere(); elsewhere();\n'
RUDE = "export const f = () => { throw new Error('x'); };\nexport const g = (x: any) => x;\n"
FORGETFUL = "export const half = (n: number): Result<number, QiError> => success(n / 2);\n"


def graded(
    checker: Checker,
    rows: Sequence[Pattern],
    *,
    units: Sequence[UntypedPattern] = (),
    clusters: Mapping[str, str] | None = None,
    recognition: Mapping[str, Recognition] | None = None,
    decisions: Sequence[ReviewDecision] = (),
) -> list[ValidatedPattern]:
    return grade_patterns(rows, units, checker, clusters or {}, recognition or {}, decisions)


def statuses(rows: Sequence[ValidatedPattern]) -> list[str]:
    return [row.status for row in rows]


def test_a_compliant_pattern_is_kept_and_the_order_is_kept(checker: Checker) -> None:
    rows = graded(checker, [pattern("b", GOOD), pattern("a", RUDE)])
    assert [(row.pattern.id, row.status) for row in rows] == [("b", "kept"), ("a", "rejected")]
    assert rows[0].reasons == ()
    assert rows[0].duplicate_cluster == "b"
    assert rows[0].original is None


def test_reasons_name_each_code_and_rule_once(checker: Checker) -> None:
    broken, rude = graded(checker, [pattern("a", BROKEN), pattern("b", RUDE)])
    assert [reason.split(":")[0] for reason in broken.reasons] == ["TS2305", "TS2304"]
    assert "nothing" in broken.reasons[0]
    assert all("\n" not in reason for reason in broken.reasons)
    assert [reason.split(":")[0] for reason in rude.reasons] == ["R7", "R12"]
    assert "return failure" in rude.reasons[0]


def test_one_of_a_cluster_is_kept(checker: Checker) -> None:
    rows = graded(
        checker,
        [pattern("c", GOOD), pattern("b", ALMOST), pattern("d", GOOD + "// d")],
        clusters={"c": "x", "b": "x", "d": "d"},
    )
    assert statuses(rows) == ["rejected", "kept", "kept"]
    assert rows[0].reasons == ("duplicate of b",)
    assert [row.duplicate_cluster for row in rows] == ["b", "b", "d"]


def test_a_compliant_copy_represents_its_cluster_before_a_smaller_id(checker: Checker) -> None:
    rows = graded(checker, [pattern("a", RUDE), pattern("b", GOOD)], clusters={"a": "a", "b": "a"})
    assert statuses(rows) == ["rejected", "kept"]
    assert rows[0].reasons[-1] == "duplicate of b"


def test_a_kept_copy_represents_its_cluster_before_a_repaired_one(checker: Checker) -> None:
    rows = graded(
        checker,
        [pattern("a", FORGETFUL), pattern("b", GOOD)],
        clusters={"a": "a", "b": "a"},
    )
    assert statuses(rows) == ["rejected", "kept"]


def test_exact_copies_are_duplicates_whatever_the_clusters_say(checker: Checker) -> None:
    rows = graded(
        checker,
        [pattern("a", GOOD), pattern("b", GOOD), pattern("c", ALMOST)],
        clusters={"a": "a", "b": "b", "c": "b"},
    )
    assert [row.reasons for row in rows] == [(), ("duplicate of a",), ("duplicate of a",)]


def test_no_patterns_give_no_rows(checker: Checker) -> None:
    assert graded(checker, []) == []
    assert grading_figures([])["rows"] == 0


# ── repairs ──────────────────────────────────────────────────────────────────────────────────────


def test_missing_imports_are_added_and_both_texts_are_kept(checker: Checker) -> None:
    (row,) = graded(checker, [pattern("a", FORGETFUL)])
    assert row.status == "repaired"
    assert row.usable
    assert row.verdict.complies
    assert row.original == FORGETFUL
    assert (
        row.pattern.implementation
        == 'import { type Result, type QiError, success } from "@qi/base";\n\n' + FORGETFUL
    )
    assert row.repairs[0] == "import added: Result from @qi/base"
    assert row.pattern.symbols == ("@qi/base:success",)
    assert row.pattern.metadata.dependencies == ("@qi/base",)


def test_a_repair_that_leaves_a_rule_broken_is_not_taken(checker: Checker) -> None:
    text = 'export const f = (r: Result<number, QiError>) => r.tag === "success";\n'
    (row,) = graded(checker, [pattern("a", text)])
    assert row.status == "rejected"
    assert row.pattern.implementation == text
    assert {"TS2304", "R1"} <= {reason_kind(reason) for reason in row.reasons}


def test_a_value_that_the_prose_assumes_becomes_a_parameter(checker: Checker) -> None:
    text = 'import { isSuccess } from "@qi/base";\n\nconst ok = isSuccess(outcome) // of a parser\n'
    block_row, code_row = graded(checker, [block("a", text), pattern("b", text)])
    assert block_row.status == "repaired"
    assert block_row.pattern.implementation == (
        'import { isSuccess, type Result } from "@qi/base";\n\n'
        "export function isSuccessExample<T, E>(outcome: Result<T, E>) {\n"
        "  const ok = isSuccess(outcome) // of a parser\n"
        "  return ok;\n"
        "}\n"
    )
    assert code_row.status == "rejected", "only blocks of documents assume anything"


def test_what_another_block_of_the_document_declares_is_taken_from_it(checker: Checker) -> None:
    divide = (
        'import { success, type Result } from "@qi/base";\n\n'
        "export function divide(by: Divisor): Result<number> {\n  return success(1 / by);\n}\n\n"
        "export type Divisor = number;\n"
    )
    use = 'import { unwrapOr } from "@qi/base";\n\nconst half = unwrapOr(0, divide(2))\n'
    rows = graded(
        checker,
        [
            block("a", divide, line=10),
            block("b", use, line=30),
            block("c", use, source_file="docs/tutorial/other.md"),
        ],
        clusters={"c": "c"},
    )
    assert statuses(rows) == ["kept", "repaired", "review"]
    text = rows[1].pattern.implementation
    assert text.index("type Divisor") < text.index("function divide") < text.index("const half")
    assert 'import { unwrapOr, type Result, success } from "@qi/base";' in text


def test_what_rests_on_a_value_of_another_block_or_on_another_file_goes_to_a_person(
    checker: Checker,
) -> None:
    example = 'import { success } from "@qi/base";\nconst table = { one: success(1) }\n'
    borrowed = 'import { map } from "./list-utils";\nexport const a = map;\n'
    rows = graded(
        checker,
        [
            block("a", example),
            block("b", "console.log(table);\n", line=9),
            block("c", borrowed, source_file="docs/tutorial/other.md"),
        ],
    )
    assert statuses(rows) == ["kept", "review", "review"]
    assert all(row.verdict.complies for row in rows)
    assert [row.reasons for row in rows[1:]] == [
        ("takes the value of table from another block",),
        ("imports map from the library in place of ./list-utils",),
    ]
    figures = grading_figures(rows)["review_by_reason"]
    assert figures == {"import in doubt": 1, "value of another block": 1}


def test_of_two_versions_in_one_block_the_last_is_proposed_to_a_person(checker: Checker) -> None:
    text = (
        'import { failure, success, validationError, type Result } from "@qi/base";\n\n'
        "// Instead of this\nexport function half(n: number): number {\n  throw new Error(String(n));\n}\n\n"
        "// write this\nexport function half(n: number): Result<number> {\n"
        '  return n > 0 ? success(n / 2) : failure(validationError("too small"));\n}\n'
    )
    (row,) = graded(checker, [block("a", text)])
    assert row.status == "review"
    assert row.verdict.complies
    assert "Instead of this" not in row.pattern.implementation
    assert "// write this" in row.pattern.implementation
    assert row.reasons == ("declares half more than once; only the last was kept",)


def test_a_block_that_needs_one_unknown_thing_goes_to_a_person_and_one_that_needs_more_does_not(
    checker: Checker,
) -> None:
    one = 'import { success } from "@qi/base";\nexport const a = () => success(load(1));\n'
    two = one.replace("load(1)", "load(store)").replace("const a", "const b")
    near, far = graded(checker, [block("a", one), block("b", two)])
    assert (near.status, far.status) == ("review", "rejected")
    assert near.reasons[0] == "assumes load, which nothing declares"
    assert far.reasons[0] == "assumes load, store, which nothing declares"
    assert not near.verdict.complies


def test_a_block_that_breaks_a_rule_once_completed_is_rejected_for_it(checker: Checker) -> None:
    text = 'import { isSuccess } from "@qi/base";\nif (isSuccess(outcome)) console.log(outcome.value);\n'
    (row,) = graded(checker, [block("a", text)])
    assert (row.status, row.original) == ("rejected", None)
    assert [reason_kind(reason) for reason in row.reasons] == ["TS2304", "R2"]


# ── stale documents ──────────────────────────────────────────────────────────────────────────────

STALE = [
    ('import { isOk, success } from "@qi/base";\nexport const a = isOk(success(1));\n', "isOk is no longer exported by @qi/base"),
    ('import { success } from "@qi/base";\nexport const a = success(1).map((n) => n);\n', "map is no longer a member of Result<"),
    ('import { ConfigBuilder } from "@qi/core";\nexport const a = ConfigBuilder.fromObject({}).merge({});\n', "merge is no longer a member of ConfigBuilder"),
    ('import { createError } from "@qi/base";\nexport const a = createError("A", "b", "SYSTEM");\n', "createError is no longer called with as many arguments"),
    ('import { validationError } from "@qi/base";\nexport const a = validationError<string>("b");\n', "validationError is no longer called with type arguments"),
    ('import { validationError } from "@qi/base";\nexport const a = validationError({ message: "b" });\n', "validationError is no longer called with such arguments"),
    ('export const a = createError("A", "b", "SYSTEM");\n', "createError is no longer called with as many arguments"),
    ('import { x } from "@qi/base/gone";\nexport const a = x(1);\n', "@qi/base/gone is no longer a module of the library"),
    ('import { ConfigBuilder } from "@qi/core";\nexport const a = (b: ConfigBuilder) => b.build(1).map(String);\n', "….build is no longer called with as many arguments"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "use"), STALE)
def test_a_block_that_uses_what_the_library_no_longer_has_is_stale(
    checker: Checker, text: str, use: str
) -> None:
    document, code = graded(checker, [block("a", text), pattern("b", text + "// b\n")])
    assert (document.status, document.stale) == ("rejected", True)
    shown = use.replace("….", "b.")
    assert any(
        reason.startswith((f"stale: {use}", f"stale: {shown}")) for reason in document.reasons
    )
    assert not code.stale, "code of the repository compiles with the library or is wrong"


FRESH = [
    # Its own mistakes, and what follows from them, are no sign of the library's age.
    'import { success } from "@qi/base";\ninterface User { name: string }\nexport const a = (u: User) => success(u.age);\n',
    'import { validationError } from "@qi/base";\nexport const a = (x: unknown) => validationError(x);\n',
    'import { success } from "@qi/base";\nexport const a: string = success(1);\n',
    "export const a = [1, 2].first();\n",
    'import { map, success } from "@qi/base";\nexport const a = map((n: number) => { const e: { n: number } = {}; return [n, e]; }, success(1));\n',
    # What was gone is not used, and the import is mended.
    'import { isOk } from "@qi/base";\nexport const a = (x: any) => x;\n',
    "class Result<T> { constructor(readonly it: T) {} }\nexport const a = new Result(1).map(String);\n",
]  # fmt: skip


@pytest.mark.parametrize("text", FRESH)
def test_a_block_with_mistakes_of_its_own_is_not_stale(checker: Checker, text: str) -> None:
    (row,) = graded(checker, [block("a", text)])
    assert (row.status, row.stale) == ("rejected", False)
    assert not any(reason.startswith("stale") for reason in row.reasons)


# ── untyped units and disagreement ───────────────────────────────────────────────────────────────


def test_a_unit_without_a_type_waits_under_the_suggested_one(checker: Checker) -> None:
    units = [untyped(pattern("a", GOOD)), untyped(pattern("b", RUDE))]
    recognition = {
        "a": recognized("cache_patterns", confidence=0.62, novelty=0.3),
        "b": recognized("cache_patterns"),
    }
    good, rude = graded(checker, [], units=units, recognition=recognition)
    assert good.status == "review"
    assert good.pattern.type == "cache_patterns"
    assert good.reasons == ("no type: cache_patterns is suggested (confidence 0.62, novelty 0.30)",)
    assert good.recognition is not None
    assert good.recognition.novelty == 0.3
    assert rude.status == "rejected", "what cannot be accepted is not shown to a person"


def test_an_untyped_unit_that_recognition_does_not_know_is_an_error(checker: Checker) -> None:
    with pytest.raises(QiPipelineError, match="untyped unit a "):
        graded(checker, [], units=[untyped(pattern("a", GOOD))])


def test_a_sure_disagreement_on_the_type_goes_to_a_person_while_the_queue_has_room(
    checker: Checker,
) -> None:
    rows = [
        pattern(
            f"{n:02}", f'import {{ success }} from "@qi/base";\nexport const n{n} = success({n});\n'
        )
        for n in range(40)
    ]
    recognition = {
        "00": recognized("cache_patterns", confidence=0.89),
        "01": recognized("result_creation", confidence=0.99),
        "02": recognized("cache_patterns", confidence=0.93),
        "03": recognized("cache_patterns", confidence=0.97),
        "04": recognized("cache_patterns", confidence=0.95),
    }
    found = graded(checker, rows, recognition=recognition)
    assert [row.pattern.id for row in found if row.status == "review"] == ["03", "04"]
    assert found[3].reasons == (
        "type in doubt: result_creation by its symbols, cache_patterns by its looks (confidence 0.97)",
    )
    assert found[3].pattern.type == "result_creation"
    with_one_untyped = graded(
        checker,
        rows[:-1],
        units=[untyped(rows[-1])],
        recognition={**recognition, "39": recognized("cache_patterns")},
    )
    waiting = [row.pattern.id for row in with_one_untyped if row.status == "review"]
    assert waiting == ["03", "39"]
    accepted = decision("accept", rows[3].implementation, pattern_id="03")
    settled = graded(checker, rows, recognition=recognition, decisions=[accepted])
    assert [row.pattern.id for row in settled if row.status == "review"] == ["02", "04"]


# ── decisions ────────────────────────────────────────────────────────────────────────────────────


def decision(kind: str, implementation: str, **more: object) -> ReviewDecision:
    return ReviewDecision.model_validate(
        {
            "pattern_id": "a",
            "content_hash": implementation_hash(implementation),
            "decision": kind,
            "decided_at": "2026-01-01T00:00:00+00:00",
            "by": "someone",
            **more,
        }
    )


DOUBT = {"a": recognized("cache_patterns")}


def decided(checker: Checker, text: str, *decisions: ReviewDecision) -> ValidatedPattern:
    units = [untyped(pattern("a", text))]
    (row,) = graded(checker, [], units=units, recognition=DOUBT, decisions=decisions)
    return row


def test_an_accepted_row_is_kept_under_the_given_type(checker: Checker) -> None:
    row = decided(checker, GOOD, decision("accept", GOOD, type="factory_functions"))
    assert (row.status, row.reasons, row.pattern.type) == ("kept", (), "factory_functions")
    assert row.decision is not None
    assert row.decision.by == "someone"


def test_a_rejected_row_stays_out_with_the_persons_words(checker: Checker) -> None:
    row = decided(checker, GOOD, decision("reject", GOOD, note="shows nothing"))
    assert (row.status, row.reasons) == ("rejected", ("rejected in review: shows nothing",))


def test_an_edited_row_is_graded_by_the_edited_text(checker: Checker) -> None:
    row = decided(checker, GOOD, decision("edit", GOOD, edited_text=ALMOST))
    assert (row.status, row.pattern.implementation, row.original) == ("repaired", ALMOST, GOOD)
    assert row.repairs == ("edited: by a person in review",)
    assert row.verdict.complies


def test_an_edit_that_the_library_has_outrun_returns_to_review(checker: Checker) -> None:
    row = decided(checker, GOOD, decision("edit", GOOD, edited_text=BROKEN))
    assert row.status == "review"
    assert row.pattern.implementation == GOOD
    assert row.reasons[0].startswith("edited in review, but")
    assert not row.usable


def test_accepting_never_lets_through_what_does_not_comply(checker: Checker) -> None:
    row = decided(checker, RUDE, decision("accept", RUDE))
    assert row.status == "rejected"
    assert row.reasons[0].startswith("accepted in review, but")


@pytest.mark.parametrize("kind", ["accept", "reject"])
def test_a_decision_on_another_text_sends_the_row_back_and_is_shown(
    checker: Checker, kind: str
) -> None:
    row = decided(checker, GOOD, decision(kind, ALMOST, note="as it was"))
    assert row.status == "review"
    assert row.decision is None
    assert row.reasons[-1] == f"changed since it was {kind}ed in review: as it was"


def test_a_kept_row_whose_rejected_text_changed_returns_to_review(checker: Checker) -> None:
    (row,) = graded(checker, [pattern("a", GOOD)], decisions=[decision("reject", ALMOST)])
    assert (row.status, row.reasons) == ("review", ("changed since it was rejected in review",))


def test_the_last_decision_counts_and_an_undone_one_does_not(checker: Checker) -> None:
    accept, reject = decision("accept", GOOD), decision("reject", GOOD, note="no")
    assert decided(checker, GOOD, accept, reject).status == "rejected"
    assert decided(checker, GOOD, reject, accept).status == "kept"
    undone = decided(checker, GOOD, reject, decision("undo", GOOD))
    assert (undone.status, undone.decision) == ("review", None)


def test_a_rejected_row_makes_room_for_its_near_duplicate(checker: Checker) -> None:
    rows = graded(
        checker,
        [pattern("a", GOOD), pattern("b", ALMOST)],
        clusters={"a": "x", "b": "x"},
        decisions=[decision("reject", GOOD, note="no")],
    )
    assert statuses(rows) == ["rejected", "kept"]


COPIES = [pattern("a", GOOD), pattern("b", GOOD)]


def test_what_is_rejected_is_rejected_in_every_exact_copy(checker: Checker) -> None:
    for decided_one, copy in (("a", "b"), ("b", "a")):
        made = decision("reject", GOOD, pattern_id=decided_one, note="no")
        rows = {row.pattern.id: row for row in graded(checker, COPIES, decisions=[made])}
        assert {row.status for row in rows.values()} == {"rejected"}
        assert rows[decided_one].reasons[0] == "rejected in review: no"
        assert rows[copy].reasons[0] == f"rejected in review as the exact copy {decided_one}: no"
        undone = decision("undo", GOOD, pattern_id=decided_one)
        assert statuses(graded(checker, COPIES, decisions=[made, undone])) == ["kept", "rejected"]


def test_what_is_edited_is_edited_in_every_exact_copy(checker: Checker) -> None:
    for decided_one in ("a", "b"):
        made = decision("edit", GOOD, pattern_id=decided_one, edited_text=ALMOST)
        rows = graded(checker, COPIES, decisions=[made])
        assert [row.pattern.id for row in rows if row.usable] == [decided_one]
        assert {row.pattern.implementation for row in rows} == {ALMOST}


def test_a_decision_outlives_the_row_in_its_copies(checker: Checker) -> None:
    gone = decision("reject", GOOD, pattern_id="gone", note="no")
    assert statuses(graded(checker, COPIES, decisions=[gone])) == ["rejected", "rejected"]


def test_of_decisions_on_exact_copies_the_latest_counts(checker: Checker) -> None:
    def at(hour: int, kind: str, pattern_id: str) -> ReviewDecision:
        time = f"2026-01-01T{hour:02}:00:00+00:00"
        return decision(kind, GOOD, pattern_id=pattern_id, decided_at=time)

    earlier = graded(checker, COPIES, decisions=[at(1, "accept", "b"), at(2, "reject", "a")])
    later = graded(checker, COPIES, decisions=[at(2, "accept", "b"), at(1, "reject", "a")])
    assert statuses(earlier) == ["rejected", "rejected"]
    assert statuses(later) == ["rejected", "kept"]


def test_a_decision_on_an_earlier_text_does_not_shield_an_exact_copy(checker: Checker) -> None:
    earlier = decision("accept", ALMOST, pattern_id="b")
    rows = graded(checker, COPIES, decisions=[decision("reject", GOOD), earlier])
    assert statuses(rows) == ["rejected", "rejected"]
    assert rows[1].reasons[0] == "rejected in review as the exact copy a"


@pytest.mark.parametrize("kind", ["accept", "edit"])
def test_what_a_person_let_through_represents_its_cluster(checker: Checker, kind: str) -> None:
    more = {"edited_text": GOOD + "// seen\n"} if kind == "edit" else {}
    rows = graded(
        checker,
        [pattern("a", ALMOST), pattern("b", GOOD)],
        clusters={"a": "x", "b": "x"},
        decisions=[decision(kind, GOOD, pattern_id="b", **more)],
    )
    assert [row.pattern.id for row in rows if row.usable] == ["b"]
    assert rows[0].reasons == ("duplicate of b",)


def test_an_accepted_row_that_no_longer_complies_represents_nothing(checker: Checker) -> None:
    rows = graded(
        checker,
        [pattern("a", RUDE), pattern("b", GOOD)],
        clusters={"a": "x", "b": "x"},
        decisions=[decision("accept", RUDE)],
    )
    assert statuses(rows) == ["rejected", "kept"]


# ── figures ──────────────────────────────────────────────────────────────────────────────────────


def test_the_figures_count_every_row_once_by_status(checker: Checker) -> None:
    rows = graded(
        checker,
        [
            pattern("a", GOOD),
            pattern("b", FORGETFUL),
            block("c", STALE[0][0]),
            block("d", STALE[3][0]),
            pattern("e", GOOD),
            pattern("f", RUDE),
        ],
        units=[untyped(pattern("g", ALMOST))],
        recognition={"g": recognized("cache_patterns")},
        decisions=[decision("accept", GOOD)],
    )
    figures = grading_figures(rows)
    assert [figures[name] for name in ("rows", "kept", "repaired", "review", "rejected")] == [
        7,
        1,
        1,
        1,
        4,
    ]
    assert figures["usable"] == 2
    assert (figures["stale"], figures["stale_by_source"]) == (2, {"tutorial": 2})
    assert figures["review_by_reason"] == {"no type": 1}
    assert figures["repairs"] == {"import added": 1}
    assert figures["decisions"] == {"accept": 1}
    assert figures["reasons"]["stale"] == 2
    assert figures["reasons"]["duplicate"] == 1
    assert figures["usable_by_source"] == {"app": 2}


def test_what_the_librarys_tests_notice_is_noted_and_decides_nothing(checker: Checker) -> None:
    rows = grade_patterns(
        [pattern("a", GOOD), pattern("b", RUDE), pattern("c", ALMOST)],
        [],
        checker,
        {},
        {},
        [],
        library_tests={"a": "unnoticed", "b": "noticed"},
    )
    assert [(row.status, row.library_tests) for row in rows] == [
        ("kept", "unnoticed"),
        ("rejected", "noticed"),
        ("kept", None),
    ]
    assert grading_figures(rows)["library_tests"] == {"noticed": 1, "unnoticed": 1}
