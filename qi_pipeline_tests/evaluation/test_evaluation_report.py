import json
import math
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import pytest

from qi_pipeline.artefacts import read_jsonl
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.records import (
    ContaminationReport,
    Overlap,
    PastEvaluation,
    RepositoryArm,
    RepositoryResult,
    Verification,
)
from qi_pipeline.evaluation.report import (
    EvaluationContext,
    EvaluationReport,
    evaluation_report,
    render_category_markdown,
    render_html,
    render_markdown,
    write_report,
)
from qi_pipeline.evaluation.statistics import proportion
from qi_pipeline.evaluation.tasks import RequiredApi, Task
from qi_pipeline.validation.verdict import Diagnostic
from qi_pipeline_tests.evaluation.large_report import ARMS, TASKS, large_report
from qi_pipeline_tests.evaluation.samples import (
    GOOD,
    NOT_ADHERING,
    NOT_COMPILING,
    USELESS,
    arm_of,
    make_arm,
    make_attempt,
    make_result,
    make_task,
)

HOSTILE = '</script><script>alert("x")</script> & <img src=x onerror=alert(1)>'
SUITE = (
    make_task("first"),
    make_task("second", category="expert", prompt=f"Explain {HOSTILE}"),
    make_task("third", reference=GOOD + f"// {HOSTILE}\n"),
    make_task("fourth", pattern_type="error_handling"),
    make_task("fifth", category="advanced", pattern_type="cache_patterns"),
    make_task("sixth", category="advanced", test="assert.equal(1, 1);"),
)
BASE = {
    "first": USELESS,
    "second": HOSTILE,
    "third": NOT_COMPILING,
    "fourth": NOT_ADHERING,
    "fifth": GOOD,
    "sixth": USELESS,
}
TUNED = {
    "first": GOOD,
    "second": NOT_ADHERING,
    "third": f"Here it is:\n```ts\n{GOOD}```\nIt returns a Result.",
    "fourth": NOT_ADHERING,
    "fifth": GOOD,
    "sixth": GOOD,
}
GENERAL = tuple(
    make_task(f"general-{n}", pattern_type=None, required_api=RequiredApi(), forbidden=())
    for n in range(6)
)


def context(
    tasks: tuple[Task, ...] = SUITE, general_tasks: tuple[Task, ...] = ()
) -> EvaluationContext:
    return EvaluationContext(
        title="Evaluation",
        library="sample library",
        suite="qicore",
        tasks=tasks,
        general_tasks=general_tasks,
        references_passed=len(tasks),
        measured_at="2026-01-03T00:00:00+00:00",
    )


@pytest.fixture
def report() -> EvaluationReport:
    return evaluation_report(
        [make_arm("base <1>", BASE, SUITE), make_arm("tuned", TUNED, SUITE)], context()
    )


@cache
def large() -> EvaluationReport:
    return large_report()


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
        if tag not in {"meta", "input"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        # What is only in the reference is hidden until it is asked for.
        if "del" not in self.open:
            self.text += data

    def classes(self, tag: str, name: str) -> list[set[str]]:
        """Return the classes of every element of that tag and class, in the page's order."""
        found = [
            set((attrs.get("class") or "").split()) for kind, attrs in self.tags if kind == tag
        ]
        return [classes for classes in found if name in classes]


def shown_words(page: Page) -> str:
    return " ".join(page.text.split())


def test_every_task_every_answer_and_every_reference_is_on_the_page(
    report: EvaluationReport,
) -> None:
    page = Page(render_html(report))
    assert not page.open, "every element is closed"
    for task in SUITE:
        assert task.id in page.text
        assert task.prompt in page.text
        assert task.test in page.text
        assert task.reference in page.text
    for arm in report.arms:
        for result in arm.results:
            assert result.code in page.text
    assert "Here it is:\n```ts\n" in page.text
    assert "```\nIt returns a Result." in page.text
    assert len(page.classes("details", "task")) == len(SUITE)


def test_what_models_and_tasks_wrote_is_escaped_and_nothing_is_loaded(
    report: EvaluationReport,
) -> None:
    text = render_html(report)
    page = Page(text)
    tags = {tag for tag, _ in page.tags}
    assert tags.isdisjoint({"script", "img", "link", "iframe", "form", "object"})
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    assert not re.search(r"\bsrc\s*=|href\s*=\s*[\"'](?!#)|url\(|@import", text.split("<main>")[0])
    assert all((attrs.get("href") or "#").startswith("#") for _, attrs in page.tags)
    assert all("src" not in attrs for _, attrs in page.tags)
    assert HOSTILE in page.text


def test_every_link_has_its_target_and_no_id_occurs_twice() -> None:
    page = Page(render_html(large()))
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    links = {str(attrs["href"])[1:] for tag, attrs in page.tags if tag == "a"}
    assert links <= set(ids)
    assert {f"task-{number}" for number in range(1, TASKS + 1)} <= set(ids)


def test_filters_can_tell_tasks_by_group_outcome_and_failing_arm(report: EvaluationReport) -> None:
    text = render_html(report)
    tasks = Page(text).classes("details", "task")
    assert tasks[0] == {"task", "c-basic", "t-result_creation", "o-some", "p-2"}
    assert tasks[1] == {"task", "c-expert", "t-result_creation", "o-none"}
    assert tasks[4] == {"task", "c-advanced", "t-cache_patterns", "o-all", "p-1", "p-2"}
    for arm in (1, 2):
        assert f"main:has(#f-a-{arm}:checked) .task.p-{arm}" in text
    ids = {attrs.get("id") for tag, attrs in Page(text).tags if tag == "input"}
    for rule in re.findall(r"main:has\(#([\w-]+):checked\)", text):
        assert rule in ids


def test_an_answer_that_repeats_another_arm_s_code_is_shown_once(report: EvaluationReport) -> None:
    text = render_html(report)
    assert text.count("Same code as base &lt;1&gt;, above.") == 2
    # The fourth task's code is shown for the first arm only, and the second task's for the second.
    assert text.count("success(slot as any)") == 2


def test_the_difference_marks_what_only_one_side_holds(report: EvaluationReport) -> None:
    text = render_html(report)
    assert "<del>  slot &gt; 0 ? success(slot) :" in text
    assert "<ins>  slot &gt; 0 ? success(slot as any) :" in text
    assert "line by line the reference" in text


def test_a_single_arm_with_too_few_tasks_renders_without_numbers() -> None:
    tasks = (make_task("only"),)
    single = evaluation_report([make_arm("one", {"only": ""}, tasks)], context(tasks))
    page = Page(render_html(single))
    assert "Task by task" not in page.text
    assert "nan" not in page.text.lower()
    assert "too few (1)" in page.text
    assert "| one | 0/1, too few (1) |" in render_markdown(single)
    assert "nan" not in render_markdown(single)


def test_groups_with_too_few_tasks_say_so_and_give_no_rate(report: EvaluationReport) -> None:
    page = Page(render_html(report))
    assert "too few (2)" in page.text  # advanced
    assert "too few (1)" in page.text  # expert
    assert "Task by task" in page.text


def test_each_further_arm_is_compared_with_the_first() -> None:
    report = evaluation_report(
        [make_arm(name, TUNED if name == "tuned" else BASE, SUITE) for name in ("base", "tuned")],
        context(),
    )
    (comparison,) = report.comparisons
    assert (comparison.candidate, comparison.incumbent) == ("tuned", "base")
    pairs = comparison.passes.pairs
    assert (pairs.won, pairs.lost, pairs.tied) == (3, 0, 3)
    assert comparison.bleu.value > 0


def test_a_verified_arm_is_compared_with_the_base_model_too() -> None:
    arms = [
        make_arm("live", TUNED, SUITE),
        make_arm("base", BASE, SUITE),
        make_arm("tuned", TUNED, SUITE),
        make_arm("best", TUNED, SUITE, verification=Verification()),
    ]
    report = evaluation_report(arms, context())
    assert [(one.candidate, one.incumbent) for one in report.comparisons] == [
        ("base", "live"),
        ("tuned", "live"),
        ("best", "live"),
        ("best", "base"),
    ]


def test_failures_count_tasks_not_occurrences(report: EvaluationReport) -> None:
    first, *others = report.arms[0].results
    twice = (*first.verdict.diagnostics, Diagnostic(code=2304, line=9, column=1, message="Again."))
    doubled = first.model_copy(
        update={"verdict": first.verdict.model_copy(update={"diagnostics": twice})}
    )
    arm = report.arms[0].model_copy(update={"results": (doubled, *others)})
    base, tuned = evaluation_report([arm, report.arms[1]], context()).failures
    assert [(item.name, item.tasks) for item in base.compiler] == [("TS2304", 4)]
    assert base.compiler[0].example == "Cannot find name 'missing'."
    assert base.compiler[0].task_ids == ("first", "second", "third", "sixth")
    assert base.not_exported == 3
    assert [(item.name, item.tasks) for item in tuned.rules] == [("R12", 2)]
    assert [item.name for item in tuned.forbidden] == ["no_any"]
    assert {(item.name, item.tasks) for item in base.missing_api} == {
        ("success", 3),
        ("failure or Err", 3),
    }
    assert [(item.name, item.task_ids) for item in base.tests] == [
        ("failed: shelfSlot is not a function", ("first", "second", "sixth")),
        ("failed: missing is not defined", ("third",)),
    ]
    assert not tuned.tests


def test_only_the_first_of_several_samples_counts_and_all_are_marked() -> None:
    answers = {task.id: (NOT_ADHERING, GOOD, USELESS) for task in SUITE}
    report = evaluation_report([make_arm("drawn", answers, SUITE)], context())
    assert report.failures[0].rules[0].tasks == len(SUITE)
    assert not report.failures[0].compiler, "of the third samples, which do not compile"
    page = Page(render_html(report))
    assert "pass@2" in page.text
    assert shown_words(page).count("Samples of this task: ~✓✗") == len(SUITE)
    assert "pass@" not in Page(render_html(large())).text


def test_the_way_of_a_verified_arm_is_shown_with_its_messages() -> None:
    attempts = (
        make_attempt(NOT_COMPILING),
        make_attempt(NOT_ADHERING, sample=1),
        make_attempt(NOT_COMPILING, turn=1),
        make_attempt(GOOD, turn=2),
    )
    results = tuple(make_result(task, GOOD, attempts=attempts) for task in SUITE)
    arm = arm_of("verified", SUITE, results, verification=Verification(), retrieved=3)
    text = shown_words(Page(render_html(evaluation_report([arm], context()))))
    assert "4 attempts on the way; repair 2 was delivered" in text
    assert "candidate 1: does not compile: TS2304" in text
    assert "candidate 2: breaks R12" in text
    assert "repair 1: does not compile: TS2304 Same code as candidate 1." in text
    assert "repair 2 (delivered): complies The code above." in text
    assert "the best of 4 candidates by verdict" in text


def test_regression_counts_what_compiles_and_passes_its_tests() -> None:
    def answers(good: int) -> dict[str, str]:
        return {task.id: GOOD if n < good else NOT_COMPILING for n, task in enumerate(GENERAL)}

    tuned = make_arm("tuned", answers(4), GENERAL)
    first, *others = tuned.results
    wrong = first.model_copy(
        update={"score": first.score.model_copy(update={"tests_passed": False})}
    )
    report = evaluation_report(
        [make_arm("base", BASE, SUITE), make_arm("tuned", TUNED, SUITE)],
        context(general_tasks=GENERAL),
        regression=[
            make_arm("base", answers(5), GENERAL),
            arm_of("tuned", GENERAL, (wrong, *others)),
        ],
    )
    page = Page(render_html(report))
    text = shown_words(page)
    assert "base 83% 5 of 6; 36\N{EN DASH}100%" in text
    assert "tuned 50% 3 of 6; 12\N{EN DASH}88%" in text
    assert "won 0, lost 2 p 0.500" in text
    assert all(task.id in page.text for task in GENERAL)


def test_what_the_library_s_own_tests_say_is_shown(report: EvaluationReport) -> None:
    answer = report.arms[0].results[0].answer
    results = tuple(
        RepositoryResult(
            symbol=f"@qi/base:map{n}",
            file="packages/base/src/result.ts",
            prompt=f"Write map{n}.",
            answer=answer,
            code=f"export const map{n} = {n};",
            how="fence",
            passed=n > 0,
            reason=None if n else "2 of 9 tests fail <here>",
        )
        for n in range(6)
    )
    arm = RepositoryArm(name="tuned", passed=proportion(5, 6), results=results)
    page = Page(render_html(report.model_copy(update={"repository": (arm,)})))
    assert "tuned 83% 5 of 6" in shown_words(page)
    assert "2 of 9 tests fail <here>" in page.text
    assert all(result.code in page.text for result in results)


@pytest.mark.parametrize(
    ("remaining", "said"),
    [(0, "none that overlaps was trained on"), (2, "2 overlap and were trained on")],
)
def test_contamination_says_what_was_removed_and_what_remains(
    report: EvaluationReport, remaining: int, said: str
) -> None:
    overlaps = tuple(
        Overlap(task_id="first", sample=f"sample-{n:02}", jaccard=0.75, shared="a b c")
        for n in range(50)
    )
    contamination = ContaminationReport(
        tasks=6, samples=900, removed=50 - remaining, remaining=remaining, overlaps=overlaps
    )
    page = Page(render_html(report.model_copy(update={"contamination": contamination})))
    assert said in page.text
    assert "sample-39" in page.text
    assert "sample-40" not in page.text
    assert "10 further ones, in report.json" in page.text


def test_a_report_without_contamination_does_not_look_clean(report: EvaluationReport) -> None:
    assert "not compared" in Page(render_html(report)).text


def test_the_trend_shows_past_evaluations_and_this_one(report: EvaluationReport) -> None:
    past = tuple(
        PastEvaluation(
            measured_at=f"2026-01-0{day}T00:00:00+00:00",
            commit=f"commit{day}",
            arm=arm,
            model_hash="model",
            passes=proportion(day, n),
            compiles=proportion(day, n),
            adheres=proportion(day, n),
            tests=proportion(day, n),
            bleu=math.nan if day == 1 else 20.0,
        )
        for day, n in ((2, 6), (1, 4))
        for arm in ("tuned", "retired")
    )
    assert "Trend" not in Page(render_html(report)).text
    text = render_html(report.model_copy(update={"past": past}))
    page = Page(text)
    labels = [str(attrs["aria-label"]) for tag, attrs in page.tags if tag == "svg"]
    assert labels == [
        "base <1>: passes, 1 evaluations, the last 17%",
        "tuned: passes, 3 evaluations, the last 67%",
        "retired: passes, 2 evaluations, the last 33%",
    ]
    assert text.count("<circle") == 1 + 2 + 1, "four tasks are too few for a point"
    assert page.text.index("commit1") < page.text.index("commit2")
    assert "too few (4)" in page.text
    assert "nan" not in page.text.lower()


def test_the_page_of_a_whole_evaluation_stays_small() -> None:
    text = render_html(large())
    assert len(large().arms) == len(ARMS)
    assert len(text.encode()) < 4_000_000
    assert not Page(text).open


def test_text_stands_out_from_its_background_in_light_and_dark(report: EvaluationReport) -> None:
    style = render_html(report).split("</style>")[0]
    light, dark = (
        dict(re.findall(r"--([\w-]+): (#\w{6})", block))
        for block in re.findall(r":root \{(.*?)\}", style, flags=re.DOTALL)
    )
    for scheme in (light, dark):
        pairs = [
            *((text, "page") for text in ("text", "muted", "link")),
            *((text, "panel") for text in ("text", "muted", "link", "pass", "fail")),
            ("text", "code"),
            *((name, f"{name}-bg") for name in ("pass", "part", "fail", "add", "del")),
        ]
        for text, background in pairs:
            assert contrast(scheme[text], scheme[background]) >= 4.5, (text, background)
        assert contrast(scheme["ink"], scheme["panel"]) >= 3


def contrast(first: str, second: str) -> float:
    """WCAG 2.2, contrast ratio."""
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return sum(w * part for w, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_the_markdown_table_has_one_row_per_arm(report: EvaluationReport) -> None:
    lines = render_markdown(report).splitlines()
    assert lines[0].count("|") == lines[2].count("|") == 10
    assert lines[2].startswith("| base <1> | 1/6 = 17% [0%, 64%] |")
    assert lines[3].startswith("| tuned | 4/6 = 67% [22%, 96%] |")
    assert "tuned against base <1>: won 3, lost 0, tied 3" in lines[5]


def test_the_category_table_has_one_row_per_category_and_arm(report: EvaluationReport) -> None:
    rows = render_category_markdown(report).splitlines()[2:]
    assert len(rows) == 2 * len(report.arms[0].per_category)
    passes = {
        arm.name: sum(int(row.split("|")[4]) for row in rows if f"| {arm.name} |" in row)
        for arm in report.arms
    }
    assert passes == {arm.name: arm.overall.passes.count for arm in report.arms}


def test_the_files_hold_the_report_and_one_row_per_answer(tmp_path: Path) -> None:
    report = evaluation_report(
        [make_arm("base", BASE, SUITE), make_arm("tuned", TUNED, SUITE)],
        context(general_tasks=GENERAL),
        regression=[make_arm("base", {task.id: GOOD for task in GENERAL}, GENERAL)],
    )
    page = write_report(report, tmp_path / "evaluation")
    assert page.read_text(encoding="utf-8") == render_html(report)
    stored = json.loads((page.parent / "report.json").read_text(encoding="utf-8"))
    read = EvaluationReport.model_validate(stored)
    assert read.model_dump(mode="json") == report.model_dump(mode="json")
    assert render_html(read) == render_html(report)
    rows = read_jsonl(page.parent / "results.jsonl")
    assert [(row["suite"], row["arm"], row["task_id"]) for row in rows] == [
        *(("qicore", arm.name, task.id) for arm in report.arms for task in SUITE),
        *(("general", "base", task.id) for task in GENERAL),
    ]
    assert [row["passes"] for row in rows[6:12]] == [True, False, True, False, True, True]


def test_arms_that_cannot_be_compared_are_refused() -> None:
    tasks = (make_task("a"),)
    arm = make_arm("one", {"a": GOOD}, tasks)
    with pytest.raises(QiPipelineError, match="at least one arm"):
        evaluation_report([], context(tasks))
    with pytest.raises(QiPipelineError, match="different names"):
        evaluation_report([arm, arm], context(tasks))
    with pytest.raises(QiPipelineError, match="not measured on the tasks of the suite"):
        evaluation_report([arm], context())
    with pytest.raises(QiPipelineError, match="not measured on the tasks of general"):
        evaluation_report([arm], context(tasks, GENERAL), regression=[arm])
    other = arm.model_copy(update={"name": "two", "library_hash": "other"})
    with pytest.raises(QiPipelineError, match="different tasks or libraries"):
        evaluation_report([arm, other], context(tasks))
