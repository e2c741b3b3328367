import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from qi_pipeline.artefacts import read_jsonl
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.report import (
    EvaluationContext,
    EvaluationReport,
    evaluation_report,
    render_category_markdown,
    render_html,
    render_markdown,
    write_report,
)
from qi_pipeline.evaluation.tasks import Task
from qi_pipeline.validation.verdict import Diagnostic
from qi_pipeline_tests.evaluation.samples import (
    GOOD,
    NOT_ADHERING,
    NOT_COMPILING,
    USELESS,
    make_arm,
    make_task,
)

HOSTILE = '</script><script>alert("x")</script> & <img src=x onerror=alert(1)>'
TASKS = (
    make_task("first"),
    make_task("second", category="expert", prompt=f"Explain {HOSTILE}"),
    make_task("third", reference=GOOD + f"// {HOSTILE}\n"),
)


def context(tasks: tuple[Task, ...] = TASKS) -> EvaluationContext:
    return EvaluationContext(
        title="Evaluation",
        library="sample library",
        suite="foundation",
        tasks=tasks,
        references_passed=len(tasks),
        measured_at="2026-01-01T00:00:00+00:00",
    )


@pytest.fixture
def report() -> EvaluationReport:
    base = {"first": USELESS, "second": HOSTILE, "third": NOT_COMPILING}
    tuned = {"first": GOOD, "second": NOT_ADHERING, "third": GOOD}
    return evaluation_report(
        [make_arm("base <1>", base, TASKS), make_arm("tuned", tuned, TASKS)], context()
    )


class Page(HTMLParser):
    """Collects what a browser would see: tags with attributes, and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_every_task_every_answer_and_every_reference_is_on_the_page(
    report: EvaluationReport,
) -> None:
    page = Page(render_html(report))
    assert not page.open, "every element is closed"
    for task in TASKS:
        assert task.id in page.text
        assert task.prompt in page.text
        assert task.reference in page.text
    for arm in report.arms:
        for result in arm.results:
            assert result.answer.answer in page.text
    shown = [attributes["id"] for tag, attributes in page.tags if tag == "details" and attributes]
    assert shown == [task.id for task in TASKS]


def test_what_models_and_tasks_wrote_is_escaped_and_nothing_is_loaded(
    report: EvaluationReport,
) -> None:
    text = render_html(report)
    page = Page(text)
    tags = {tag for tag, _ in page.tags}
    assert tags.isdisjoint({"script", "img", "link", "iframe"})
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert not re.search(r"(?:src|href)\s*=\s*[\"']|url\(|@import", text)
    assert HOSTILE in page.text


def test_a_single_empty_looking_arm_renders(report: EvaluationReport) -> None:
    tasks = (make_task("only"),)
    single = evaluation_report([make_arm("one", {"only": ""}, tasks)], context(tasks))
    assert "Task by task" not in render_html(single)
    assert "nan" not in Page(render_html(single)).text.lower()
    assert "unknown" in render_markdown(single)
    assert "Task by task" in render_html(report)


def test_deltas_compare_with_the_first_arm(report: EvaluationReport) -> None:
    (delta,) = report.deltas
    assert (delta.arm, delta.baseline) == ("tuned", "base <1>")
    assert (delta.both.won, delta.both.lost, delta.both.tied) == (2, 0, 1)
    assert delta.bleu.value > 0


def test_failures_count_tasks_not_occurrences(report: EvaluationReport) -> None:
    first, *others = report.arms[0].results
    twice = (*first.verdict.diagnostics, Diagnostic(code=2304, line=9, column=1, message="Again."))
    doubled = first.model_copy(
        update={"verdict": first.verdict.model_copy(update={"diagnostics": twice})}
    )
    arm = report.arms[0].model_copy(update={"results": (doubled, *others)})
    base, tuned = evaluation_report([arm, report.arms[1]], context()).failures
    assert [(item.name, item.tasks) for item in base.compiler] == [("TS2304", 3)]
    assert base.compiler[0].example == "Cannot find name 'missing'."
    assert base.not_exported == 2
    assert [(item.name, item.tasks) for item in tuned.rules] == [("R12", 1)]
    assert [item.name for item in tuned.forbidden] == ["no_any"]
    assert {(item.name, item.tasks) for item in base.missing_api} == {
        ("success", 2),
        ("failure or Err", 2),
    }


def test_the_markdown_table_has_one_row_per_arm(report: EvaluationReport) -> None:
    lines = render_markdown(report).splitlines()
    assert lines[2].startswith("| base <1> | 0/3 = 0% [0%, 71%] |")
    assert lines[3].startswith("| tuned | 2/3 = 67% [9%, 99%] |")
    assert "won 2, lost 0, tied 1" in lines[5]


def test_the_category_table_has_one_row_per_category_and_arm(report: EvaluationReport) -> None:
    rows = render_category_markdown(report).splitlines()[2:]
    assert len(rows) == 2 * len(report.arms[0].per_category)
    both = {
        arm.name: sum(int(row.split("|")[4]) for row in rows if f"| {arm.name} |" in row)
        for arm in report.arms
    }
    assert both == {arm.name: arm.overall.both.count for arm in report.arms}


def test_the_files_hold_the_report_and_one_row_per_task_and_arm(
    report: EvaluationReport, tmp_path: Path
) -> None:
    page = write_report(report, tmp_path / "evaluation")
    assert page.read_text(encoding="utf-8") == render_html(report)
    stored = json.loads((page.parent / "report.json").read_text(encoding="utf-8"))
    assert EvaluationReport.model_validate(stored) == report
    rows = read_jsonl(page.parent / "results.jsonl")
    assert [(row["arm"], row["task_id"]) for row in rows] == [
        (arm.name, task.id) for arm in report.arms for task in TASKS
    ]
    assert [row["both"] for row in rows] == [False, False, False, True, False, True]


def test_arms_that_cannot_be_compared_are_refused() -> None:
    tasks = (make_task("a"),)
    arm = make_arm("one", {"a": GOOD}, tasks)
    with pytest.raises(QiPipelineError, match="at least one arm"):
        evaluation_report([], context(tasks))
    with pytest.raises(QiPipelineError, match="different names"):
        evaluation_report([arm, arm], context(tasks))
    with pytest.raises(QiPipelineError, match="not measured on the tasks"):
        evaluation_report([arm], context())
    other = arm.model_copy(update={"name": "two", "library_hash": "other"})
    with pytest.raises(QiPipelineError, match="different tasks or libraries"):
        evaluation_report([arm, other], context(tasks))
