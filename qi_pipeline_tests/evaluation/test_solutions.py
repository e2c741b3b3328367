"""Given answers, scored without a model."""

import json
from pathlib import Path

import pytest

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.judge import Judge
from qi_pipeline.evaluation.solutions import (
    SolutionReport,
    load_solutions,
    render_solutions,
    score_solutions,
)
from qi_pipeline.evaluation.tasks import bundled_suite, load_tasks

TASKS = load_tasks(bundled_suite())[:6]


def written(folder: Path, rows: list[dict[str, str]]) -> Path:
    path = folder / "solutions.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def scored(folder: Path, rows: list[dict[str, str]], judge: Judge) -> SolutionReport:
    return score_solutions(TASKS, load_solutions(written(folder, rows), TASKS), judge)


def test_right_wrong_rule_breaking_and_missing_answers_get_what_they_deserve(
    tmp_path: Path, judge: Judge
) -> None:
    first, second, third, fourth = (task.reference for task in TASKS[:4])
    report = scored(
        tmp_path,
        [
            {"id": TASKS[0].id, "code": first},
            {"id": TASKS[1].id, "code": second.replace("No labels left", "None")},
            {"id": TASKS[2].id, "code": third + "export const loose: any = 1;\n"},
            {"id": TASKS[3].id, "code": fourth.replace("Result<number>", "Result<numbr>")},
            {"id": TASKS[4].id, "answer": f"Here:\n```ts\n{TASKS[4].reference}```\nDone."},
        ],
        judge,
    )
    outcomes = {one.id: one for one in report.tasks}
    assert list(outcomes) == [task.id for task in TASKS]
    assert outcomes[TASKS[0].id].passes
    assert outcomes[TASKS[0].id].reason == ""
    assert (outcomes[TASKS[1].id].compiles, outcomes[TASKS[1].id].tests_passed) == (True, False)
    assert outcomes[TASKS[2].id].rules == ("R12",)
    assert "R12" in outcomes[TASKS[2].id].reason
    assert not outcomes[TASKS[3].id].compiles
    assert "TS2552" in outcomes[TASKS[3].id].reason
    assert outcomes[TASKS[4].id].passes
    assert outcomes[TASKS[5].id].reason == "no solution was given"
    assert report.unanswered == 1
    assert (report.summary.all.count, report.summary.all.n) == (2, 6)
    assert (report.summary.compile.count, report.summary.adherence.count) == (4, 4)
    assert report.summary.all.low < report.summary.all.rate < report.summary.all.high
    assert report.pass_at == {}


def test_code_is_judged_as_it_is(tmp_path: Path, judge: Judge) -> None:
    task = TASKS[0]
    bare = task.reference.partition("\n\n")[2]
    fenced = f"```ts\n{task.reference}```"
    for code in (bare, fenced):
        report = scored(tmp_path, [{"id": task.id, "code": code}], judge)
        assert not report.tasks[0].compiles
    report = scored(tmp_path, [{"id": task.id, "answer": f"```ts\n{bare}```"}], judge)
    assert report.tasks[0].passes


def test_several_samples_give_pass_at_k(tmp_path: Path, judge: Judge) -> None:
    rows = [{"id": task.id, "code": ""} for task in TASKS]
    rows += [{"id": task.id, "code": task.reference} for task in TASKS]
    report = scored(tmp_path, rows, judge)
    assert report.summary.all.count == 0
    assert {k: found.value for k, found in report.pass_at.items()} == {1: 0.5, 2: 1.0}
    assert all((one.samples, one.passing_samples) == (2, 1) for one in report.tasks)


def test_the_same_solutions_give_the_same_report(tmp_path: Path, judge: Judge) -> None:
    rows = [{"id": task.id, "code": task.reference} for task in TASKS]
    assert scored(tmp_path, rows, judge) == scored(tmp_path, rows, judge)


def test_the_text_for_a_terminal_names_what_fails(tmp_path: Path, judge: Judge) -> None:
    text = render_solutions(scored(tmp_path, [{"id": TASKS[0].id, "code": ""}], judge))
    assert "all           0 of 6" in text
    assert f"{TASKS[0].id}: does not export the entry point" in text
    assert "5 tasks have no solution" in text


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "holds no solution"),
        ("{", "solutions.jsonl:1 is not JSON"),
        ('{"code": ""}', "solutions.jsonl:1 id: Field required"),
        ('{"id": "x"}', "expected either `code` or `answer`"),
        ('{"id": "x", "code": "", "answer": ""}', "expected either `code` or `answer`"),
        ('{"id": "nobody", "code": ""}', "1 solutions are for tasks .*'nobody'"),
    ],
)
def test_a_file_that_is_not_as_expected_is_refused_by_line(
    tmp_path: Path, text: str, told: str
) -> None:
    path = tmp_path / "solutions.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(QiPipelineError, match=told):
        load_solutions(path, TASKS)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(QiPipelineError, match=r"none\.jsonl"):
        load_solutions(tmp_path / "none.jsonl", TASKS)
