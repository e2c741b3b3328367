"""The review file and the rules of deciding."""

import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.extraction.pattern import PATTERN_TYPES
from qi_pipeline.validation.checker import Checker
from qi_pipeline.validation.patterns import grade_patterns
from qi_pipeline.validation.queue import accept, difference, edit, find_row, reject, undo
from qi_pipeline.validation.review import (
    ReviewDecision,
    append_decision,
    decisions_hash,
    implementation_hash,
    read_decisions,
    standing_decisions,
)
from qi_pipeline.validation.verdict import ValidatedPattern
from qi_pipeline_tests.validation.rows import block, pattern, recognized, untyped

GOOD = 'import { success } from "@qi/base";\nexport const fine = success(1);\n'
BETTER = GOOD.replace("fine", "better")
RUDE = "export const g = (x: any) => x;\n"
NEAR = 'import { success } from "@qi/base";\nexport const a = () => success(load(1));\n'


def made(pattern_id: str = "a", kind: str = "accept", **more: object) -> ReviewDecision:
    return ReviewDecision.model_validate(
        {
            "pattern_id": pattern_id,
            "content_hash": implementation_hash(GOOD),
            "decision": kind,
            "decided_at": "2026-01-01T00:00:00+00:00",
            "by": "someone",
            **more,
        }
    )


# Lone surrogates are no text: JSON in UTF-8 cannot hold them.
_TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@st.composite
def _decisions(draw: st.DrawFn) -> ReviewDecision:
    kind = draw(st.sampled_from(["accept", "reject", "edit", "undo"]))
    return made(
        draw(_TEXT),
        kind,
        note=draw(_TEXT),
        by=draw(_TEXT),
        type=draw(st.sampled_from([None, *PATTERN_TYPES])),
        edited_text=draw(_TEXT) if kind == "edit" else None,
    )


@given(decisions=st.lists(_decisions(), max_size=6))
def test_what_is_appended_is_read_back_in_order(
    tmp_path_factory: pytest.TempPathFactory, decisions: list[ReviewDecision]
) -> None:
    path = tmp_path_factory.mktemp("review") / "below" / "decisions.jsonl"
    for decision in decisions:
        append_decision(path, decision)
    assert read_decisions(path) == tuple(decisions)


def _append_many(path: Path, writer: int) -> None:
    for number in range(25):
        append_decision(path, made(f"{writer}-{number}", note="x" * 9000))


def test_writers_take_turns(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append_many, args=(path, n)) for n in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    found = [decision.pattern_id for decision in read_decisions(path)]
    assert sorted(found) == sorted(f"{w}-{n}" for w in range(3) for n in range(25))
    for number in range(3):
        own = [name for name in found if name.startswith(f"{number}-")]
        assert own == [f"{number}-{n}" for n in range(25)]


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ("{not json}\n", r"decisions.jsonl:2 is not a review decision \(Invalid JSON"),
        ('{"pattern_id": "a"}\n', r":2 is not a review decision \(content_hash: Field required"),
        (made().model_dump_json().replace("accept", "praise") + "\n", r":2 .*decision: Input"),
        (
            made(kind="accept").model_dump_json().replace("accept", "edit") + "\n",
            ":2 .*edited_text",
        ),
        (made().model_dump_json(), ":2 does not end with a line break"),
    ],
)
def test_a_damaged_line_is_named_and_nothing_is_written_after_it(
    tmp_path: Path, damage: str, problem: str
) -> None:
    path = tmp_path / "decisions.jsonl"
    append_decision(path, made())
    path.write_text(path.read_text("utf-8") + damage, encoding="utf-8")
    before = path.read_bytes()
    with pytest.raises(QiPipelineError, match=problem):
        read_decisions(path)
    with pytest.raises(QiPipelineError, match=problem):
        append_decision(path, made())
    assert path.read_bytes() == before


def test_the_hash_is_of_what_stands() -> None:
    accept_a, reject_a, accept_b = made(), made(kind="reject"), made("b")
    assert decisions_hash([reject_a, accept_a]) == decisions_hash([accept_a])
    assert decisions_hash([accept_a, made(kind="undo")]) == decisions_hash([])
    assert decisions_hash([accept_b, accept_a]) == decisions_hash([accept_a, accept_b])
    assert decisions_hash([accept_a]) != decisions_hash([accept_b])
    assert list(standing_decisions([accept_a, accept_b, made(kind="undo")])) == ["b"]


def waiting(checker: Checker, text: str, *decisions: ReviewDecision) -> ValidatedPattern:
    recognition = {"a": recognized("cache_patterns")}
    units = [untyped(pattern("a", text))]
    return grade_patterns([], units, checker, {}, recognition, decisions)[0]


def test_a_decision_is_followed_until_it_is_undone(checker: Checker, tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    row = waiting(checker, GOOD)
    append_decision(path, accept(row, pattern_type=None, note="plain", by="me"))
    (stored,) = read_decisions(path)
    assert (stored.type, stored.note, stored.by) == ("cache_patterns", "plain", "me")
    kept = waiting(checker, GOOD, *read_decisions(path))
    assert kept.status == "kept"
    # A standing decision can be replaced, on the text it was made on.
    append_decision(
        path, edit(kept, BETTER, checker.check_module, pattern_type=None, note="", by="me")
    )
    edited = waiting(checker, GOOD, *read_decisions(path))
    assert (edited.status, edited.pattern.implementation) == ("repaired", BETTER)
    assert "-export const fine = success(1);\n+export const better = success(1);" in difference(
        edited
    )
    append_decision(path, reject(edited, note="still plain", by="me"))
    rejected = waiting(checker, GOOD, *read_decisions(path))
    assert rejected.reasons == ("rejected in review: still plain",)
    append_decision(path, undo("a", standing_decisions(read_decisions(path)), note="", by="me"))
    assert waiting(checker, GOOD, *read_decisions(path)).status == "review"


def test_a_row_that_does_not_comply_is_not_accepted(checker: Checker) -> None:
    (row,) = grade_patterns([block("a", NEAR)], [], checker, {}, {}, [])
    assert row.status == "review"
    with pytest.raises(
        QiPipelineError, match=r"a cannot be accepted.*TS2304 Cannot find name 'load'"
    ):
        accept(row, pattern_type=None, note="", by="me")


def test_an_edit_that_does_not_comply_is_refused_with_the_diagnostics(checker: Checker) -> None:
    row = waiting(checker, GOOD)
    for text, problem in ((RUDE, "1 R12 "), ("export const a: string = 1;", "TS2322")):
        with pytest.raises(QiPipelineError, match=f"was not stored: .*{problem}"):
            edit(row, text, checker.check_module, pattern_type=None, note="", by="me")


def test_only_what_is_in_review_is_decided(checker: Checker) -> None:
    kept, rejected = grade_patterns(
        [pattern("a", GOOD), pattern("b", RUDE)], [], checker, {}, {}, []
    )
    with pytest.raises(QiPipelineError, match="a is kept, not in review"):
        accept(kept, pattern_type=None, note="", by="me")
    with pytest.raises(QiPipelineError, match="b is rejected, not in review"):
        reject(rejected, note="no", by="me")
    with pytest.raises(QiPipelineError, match="say why a is rejected"):
        reject(waiting(checker, GOOD), note=" ", by="me")
    with pytest.raises(QiPipelineError, match="no decision on 'a' stands"):
        undo("a", {}, note="", by="me")


def test_accepting_does_not_silently_drop_an_edit(checker: Checker) -> None:
    edited = made(kind="edit", edited_text=BETTER)
    row = waiting(checker, GOOD, edited)
    with pytest.raises(QiPipelineError, match="was edited in review"):
        accept(row, pattern_type=None, note="", by="me")


def test_an_id_may_be_shortened_while_it_is_clear(checker: Checker) -> None:
    rows = grade_patterns(
        [pattern("abcd1", GOOD), pattern("abcd2", BETTER)], [], checker, {}, {}, []
    )
    assert find_row(rows, "abcd1") is rows[0]
    with pytest.raises(QiPipelineError, match="may mean abcd1, abcd2"):
        find_row(rows, "abcd")
    for unknown in ("zzzz", "ab", ""):
        with pytest.raises(QiPipelineError, match="no pattern has the id"):
            find_row(rows, unknown)
