"""Put arms side by side: one page for people, one JSON file and one table for machines.

Flows in: arms measured on the same suite, what they were measured with, and what else was found out
about the models. Flows out: an `EvaluationReport`, its HTML page, a Markdown summary, and the files
`report.html`, `report.json` and `results.jsonl`. Nothing is measured here.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from qi_pipeline.artefacts import write_json, write_jsonl, write_text
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation import page
from qi_pipeline.evaluation.comparison import Comparison, compare_arms
from qi_pipeline.evaluation.records import (
    ArmResult,
    ContaminationReport,
    PastEvaluation,
    RepositoryArm,
    RepositoryResult,
    TaskResult,
    Totals,
)
from qi_pipeline.evaluation.scoring import BLEU_TOKENIZER, describe_failure, diagnostic_name
from qi_pipeline.evaluation.statistics import (
    Interval,
    PairedCounts,
    Proportion,
    compare_pairs,
    proportion,
)
from qi_pipeline.evaluation.tasks import Task, tasks_hash
from qi_pipeline.extraction.pattern import CATEGORIES, PATTERN_TYPES, Category, PatternType

BASE_ARM = "base"
"""Name of the arm that asks the base model as it is."""
_TEMPLATE = "report.html.jinja"
_KINDS_SHOWN = 8
_FINDINGS_SHOWN = 12
_OVERLAPS_SHOWN = 40
_EXAMPLE_LENGTH = 160
_FINDING_LENGTH = 400


class EvaluationContext(BaseModel):
    """What the arms were measured with."""

    model_config = ConfigDict(frozen=True)

    title: str
    library: str
    """Name and revision of the library, for people."""
    suite: str
    """Name of the task suite."""
    tasks: tuple[Task, ...]
    general_tasks: tuple[Task, ...] = ()
    """Tasks in general TypeScript, which show what a model forgot."""
    references_passed: int
    """How many references compile, adhere and pass their tests (see `check_references`)."""
    measured_at: str
    """ISO 8601 with offset."""


class FailureCount(BaseModel):
    """One kind of failure and in which tasks of an arm it occurs."""

    model_config = ConfigDict(frozen=True)

    name: str
    tasks: int
    example: str = ""
    task_ids: tuple[str, ...]
    """In the order of the suite."""


class Failures(BaseModel):
    """Where an arm fails, most frequent first; of several samples of a task the first counts."""

    model_config = ConfigDict(frozen=True)

    arm: str
    compiler: tuple[FailureCount, ...]
    rules: tuple[FailureCount, ...]
    missing_api: tuple[FailureCount, ...]
    forbidden: tuple[FailureCount, ...]
    hallucinated: tuple[FailureCount, ...]
    """Modules, imported names and members that do not exist."""
    tests: tuple[FailureCount, ...]
    """By how the tests ended and the first line of the first failure."""
    not_exported: int
    """Tasks whose answer does not export the entry point."""
    cut_off: int
    """Answers that ran into max_tokens, or only repeated themselves."""
    not_judged: int
    """Answers so broken that no rule could look at them."""
    imports_added: int
    """Answers without any import, whose imports were completed."""


class EvaluationReport(BaseModel):
    """Everything one evaluation measured."""

    model_config = ConfigDict(frozen=True)

    context: EvaluationContext
    n: int
    """Tasks."""
    tasks_hash: str
    library_hash: str
    bleu_tokenizer: str
    arms: tuple[ArmResult, ...]
    comparisons: tuple[Comparison, ...]
    """Each further arm against the first; the verified arm against the base model too."""
    failures: tuple[Failures, ...]
    regression: tuple[ArmResult, ...] = ()
    """The same models on general TypeScript."""
    repository: tuple[RepositoryArm, ...] = ()
    """The same models on the library's own functions."""
    contamination: ContaminationReport | None = None
    """None when training samples and tasks were not compared."""
    past: tuple[PastEvaluation, ...] = ()
    """Earlier evaluations on the same suite."""


def evaluation_report(
    arms: Sequence[ArmResult],
    context: EvaluationContext,
    *,
    regression: Sequence[ArmResult] = (),
    repository: Sequence[RepositoryArm] = (),
    contamination: ContaminationReport | None = None,
    past: Sequence[PastEvaluation] = (),
) -> EvaluationReport:
    """Compare arms; the first is the baseline of the others.

    Raises QiPipelineError when there is no arm, two share a name, or they were not measured on the
    same tasks with the same library.
    """
    if not arms:
        raise QiPipelineError("an evaluation report needs at least one arm")
    _require_comparable(arms, context.tasks, f"the suite {context.suite!r}")
    if regression:
        _require_comparable(regression, context.general_tasks, "general TypeScript")
    return EvaluationReport(
        context=context,
        n=arms[0].overall.n,
        tasks_hash=arms[0].tasks_hash,
        library_hash=arms[0].library_hash,
        bleu_tokenizer=BLEU_TOKENIZER,
        arms=tuple(arms),
        comparisons=tuple(compare_arms(new, old) for new, old in _compared(arms)),
        failures=tuple(_failures(arm) for arm in arms),
        regression=tuple(regression),
        repository=tuple(repository),
        contamination=contamination,
        past=tuple(past),
    )


def _require_comparable(arms: Sequence[ArmResult], tasks: Sequence[Task], suite: str) -> None:
    if tasks_hash(tasks) != arms[0].tasks_hash:
        raise QiPipelineError(
            f"arm {arms[0].name!r} was not measured on the tasks of {suite}; "
            "report an arm with the suite it ran on"
        )
    names = [arm.name for arm in arms]
    if len(set(names)) < len(names):
        raise QiPipelineError(f"arms need different names; got {', '.join(names)}")
    for arm in arms[1:]:
        if (arm.tasks_hash, arm.library_hash) != (arms[0].tasks_hash, arms[0].library_hash):
            raise QiPipelineError(
                f"arms {arms[0].name!r} and {arm.name!r} were measured on different tasks or "
                "libraries; run both on the same"
            )


def _compared(arms: Sequence[ArmResult]) -> Iterator[tuple[ArmResult, ArmResult]]:
    """Yield which arm is compared with which: candidate, incumbent."""
    for arm in arms[1:]:
        yield arm, arms[0]
    base = next((arm for arm in arms[1:] if arm.name == BASE_ARM), None)
    if base is not None:
        yield from ((arm, base) for arm in arms[1:] if arm.verification is not None)


def _failures(arm: ArmResult) -> Failures:
    results = arm.first_samples
    return Failures(
        arm=arm.name,
        compiler=_most_common(
            (diagnostic_name(diagnostic), diagnostic.message, result.task_id)
            for result in results
            for diagnostic in result.verdict.diagnostics
        ),
        rules=_most_common(
            (violation.id, violation.message, result.task_id)
            for result in results
            for violation in result.verdict.rules
            if violation.id in result.score.rules
        ),
        missing_api=_named(results, lambda result: result.score.missing_api),
        forbidden=_named(results, lambda result: result.score.forbidden),
        hallucinated=_named(results, lambda result: result.score.hallucinated),
        tests=_named(results, _failed_tests),
        not_exported=sum(not result.score.exports_entry_point for result in results),
        cut_off=sum(result.answer.finish_reason != "stop" for result in results),
        not_judged=sum(not result.score.judged for result in results),
        imports_added=sum(bool(result.imports_added) for result in results),
    )


def _failed_tests(result: TaskResult) -> tuple[str, ...]:
    if result.test.passed:
        return ()
    status = page.words(result.test.status)
    if not result.test.failures:
        return (status,)
    first = result.test.failures[0].strip().partition("\n")[0]
    return (f"{status}: {page.shortened(first, _EXAMPLE_LENGTH)}",)


def _named(
    results: Iterable[TaskResult], names: Callable[[TaskResult], Iterable[str]]
) -> tuple[FailureCount, ...]:
    return _most_common((name, "", result.task_id) for result in results for name in names(result))


def _most_common(occurrences: Iterable[tuple[str, str, str]]) -> tuple[FailureCount, ...]:
    """Count the tasks of each (name, message, task id); show each name's first message."""
    examples: dict[str, str] = {}
    tasks: dict[str, dict[str, None]] = {}
    for name, message, task_id in occurrences:
        examples.setdefault(name, page.shortened(message, _EXAMPLE_LENGTH))
        tasks.setdefault(name, {})[task_id] = None
    counts = (
        FailureCount(name=name, tasks=len(ids), example=examples[name], task_ids=tuple(ids))
        for name, ids in tasks.items()
    )
    return tuple(sorted(counts, key=lambda count: -count.tasks))


# ── the page ─────────────────────────────────────────────────────────────────────────────────────


def render_html(report: EvaluationReport) -> str:
    """Return one self-contained HTML page: no script, no external asset, everything escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=page.percent,
        rate=page.rate_text,
        span=page.span,
        p_value=page.p_value,
        figure=page.figure,
        signed=page.signed,
        words=page.words,
        position=page.position,
        shortened=page.shortened,
        cut=page.cut,
        finding=partial(page.shortened, length=_FINDING_LENGTH),
    )
    tasks = _task_views(report.context.tasks, report.arms, "task")
    return environment.get_template(_TEMPLATE).render(
        report=report,
        context=report.context,
        comparisons=[_comparison_view(one) for one in report.comparisons],
        bound=_difference_bound(report.comparisons),
        groups=_groups(report.arms),
        categories=_categories(report.arms),
        pattern_types=_pattern_types(report.arms),
        anchors={view.task.id: view.anchor for view in tasks},
        tasks=tasks,
        general_tasks=_task_views(report.context.general_tasks, report.regression, "general"),
        regression=_regression_views(report.regression),
        functions=_function_views(report.repository),
        trends=page.trends(report.past, _as_evaluations(report)) if report.past else (),
        too_few=page.too_few,
        chart_y=page.chart_y,
        describe_attempt=_describe_attempt,
        diagnostic_name=diagnostic_name,
        kinds_shown=_KINDS_SHOWN,
        findings_shown=_FINDINGS_SHOWN,
        overlaps_shown=_OVERLAPS_SHOWN,
    )


@dataclass(frozen=True)
class _DifferenceView:
    """One measure of a comparison; the interval in points."""

    label: str
    interval: Interval
    pairs: PairedCounts | None
    clustered_p: float

    @property
    def word(self) -> str:
        """Which way the difference goes, if it is clear."""
        p_values = (self.pairs.p_value, self.clustered_p) if self.pairs else ()
        return page.difference_word(self.interval, p_values)


@dataclass(frozen=True)
class _ComparisonView:
    """A comparison, for the page."""

    comparison: Comparison
    rows: tuple[_DifferenceView, ...]


def _comparison_view(comparison: Comparison) -> _ComparisonView:
    rates = (
        ("passes", comparison.passes),
        ("compiles", comparison.compiles),
        ("adheres", comparison.adheres),
        ("tests pass", comparison.tests),
    )
    corpora = (("BLEU", comparison.bleu), ("chrF", comparison.chrf))
    return _ComparisonView(
        comparison,
        (
            *(
                _DifferenceView(label, page.scaled(one.difference, 100), one.pairs, one.clustered_p)
                for label, one in rates
            ),
            *(_DifferenceView(label, one, None, math.nan) for label, one in corpora),
        ),
    )


def _difference_bound(comparisons: Sequence[Comparison]) -> float:
    """Return the scale, in points, that all comparisons are drawn on."""
    views = [_comparison_view(comparison) for comparison in comparisons]
    return page.symmetric_bound(row.interval for view in views for row in view.rows)


def _groups(
    arms: Sequence[ArmResult],
) -> list[tuple[str, list[tuple[str, list[tuple[str, Totals]]]]]]:
    """Return (heading, rows of (group, arms and totals)) of the breakdowns."""
    return [
        (
            "By category",
            [
                (group, [(arm.name, arm.per_category[group]) for arm in arms])
                for group in _categories(arms)
            ],
        ),
        (
            "By pattern type",
            [
                (group, [(arm.name, arm.per_pattern_type[group]) for arm in arms])
                for group in _pattern_types(arms)
            ],
        ),
    ]


def _categories(arms: Sequence[ArmResult]) -> list[Category]:
    """Return the categories that have tasks, in their own order, which JSON does not keep."""
    return [category for category in CATEGORIES if category in arms[0].per_category]


def _pattern_types(arms: Sequence[ArmResult]) -> list[PatternType]:
    return [
        pattern_type for pattern_type in PATTERN_TYPES if pattern_type in arms[0].per_pattern_type
    ]


@dataclass(frozen=True)
class _AnswerView:
    """One arm's answer to one task, for the page."""

    arm: str
    result: TaskResult
    failure: str
    """Empty when it passes."""
    same_as: str | None
    """Arm further up whose code is the same."""
    lines: tuple[page.DiffLine, ...]
    """The code and, marked, the reference."""
    is_reference: bool
    """The code is the reference, line by line."""
    left_out: int
    """Characters of the code that are not shown."""
    around: page.AroundCode | None
    attempts: tuple[page.AttemptView, ...]
    samples: tuple[TaskResult, ...]
    """All samples, where there are several."""

    @property
    def added(self) -> int:
        """Lines that only the answer has."""
        return sum(line.kind == "answer" for line in self.lines)

    @property
    def missing(self) -> int:
        """Lines that only the reference has."""
        return sum(line.kind == "reference" for line in self.lines)


@dataclass(frozen=True)
class _TaskView:
    """One task with every arm's answer, for the page."""

    anchor: str
    task: Task
    answers: tuple[_AnswerView, ...]

    @property
    def outcome(self) -> str:
        """Whether all, none or some arms pass."""
        passing = [answer.result.score.passes for answer in self.answers]
        return "all" if all(passing) else "some" if any(passing) else "none"


def _task_views(
    tasks: Sequence[Task], arms: Sequence[ArmResult], prefix: str
) -> tuple[_TaskView, ...]:
    samples: dict[tuple[str, str], list[TaskResult]] = {}
    for arm in arms:
        for result in arm.results:
            samples.setdefault((arm.name, result.task_id), []).append(result)
    return tuple(
        _TaskView(
            f"{prefix}-{number}",
            task,
            _answer_views(task, [(arm.name, samples[arm.name, task.id]) for arm in arms]),
        )
        for number, task in enumerate(tasks if arms else (), start=1)
    )


def _answer_views(
    task: Task, answers: Sequence[tuple[str, Sequence[TaskResult]]]
) -> tuple[_AnswerView, ...]:
    first_with: dict[str, str] = {}
    views: list[_AnswerView] = []
    for arm, samples in answers:
        result = next(sample for sample in samples if sample.sample == 0)
        code, left_out = page.cut(result.code)
        same_as = first_with.get(result.code)
        first_with.setdefault(result.code, arm)
        views.append(
            _AnswerView(
                arm=arm,
                result=result,
                failure=describe_failure(result.score, result.verdict, result.test),
                same_as=same_as,
                lines=() if same_as else page.diff_lines(code, task.reference),
                is_reference=result.code.splitlines() == task.reference.splitlines(),
                left_out=left_out,
                around=page.around_code(result.answer.answer, result.code),
                attempts=page.attempt_views(result.attempts, result.code),
                samples=tuple(samples) if len(samples) > 1 else (),
            )
        )
    return tuple(views)


def _describe_attempt(view: page.AttemptView) -> str:
    """Say in a few words what the checker made of an attempt."""
    verdict = view.attempt.verdict
    names = sorted({diagnostic_name(diagnostic) for diagnostic in verdict.diagnostics})
    broken = sorted({rule.id for rule in verdict.rules if rule.severity == "error"})
    reasons = [
        *([f"does not compile: {', '.join(names)}"] if not verdict.compiles else []),
        *([f"breaks {', '.join(broken)}"] if broken else []),
    ]
    return "; ".join(reasons) or ("complies" if view.attempt.complies else "does not comply")


@dataclass(frozen=True)
class _RegressionView:
    """One arm on general TypeScript."""

    arm: ArmResult
    passes: Proportion
    """Compiles and passes its tests."""
    pairs: PairedCounts | None
    """Against the first arm; None for the first."""


def _regression_views(arms: Sequence[ArmResult]) -> tuple[_RegressionView, ...]:
    outcomes = [
        {
            result.task_id: result.score.compiles and result.score.tests_passed
            for result in arm.first_samples
        }
        for arm in arms
    ]
    return tuple(
        _RegressionView(
            arm,
            proportion(sum(outcome.values()), len(outcome)),
            compare_pairs(list(outcome.values()), [outcomes[0][task] for task in outcome])
            if index
            else None,
        )
        for index, (arm, outcome) in enumerate(zip(arms, outcomes, strict=True))
    )


@dataclass(frozen=True)
class _FunctionView:
    """One function of the library with every arm's attempt at it."""

    symbol: str
    file: str
    prompt: str
    answers: tuple[tuple[str, RepositoryResult], ...]


def _function_views(arms: Sequence[RepositoryArm]) -> tuple[_FunctionView, ...]:
    found: dict[str, list[tuple[str, RepositoryResult]]] = {}
    for arm in arms:
        for result in arm.results:
            found.setdefault(result.symbol, []).append((arm.name, result))
    return tuple(
        _FunctionView(symbol, answers[0][1].file, answers[0][1].prompt, tuple(answers))
        for symbol, answers in found.items()
    )


def _as_evaluations(report: EvaluationReport) -> tuple[PastEvaluation, ...]:
    """Return this evaluation as it will stand among the past ones; it names no commit."""
    return tuple(
        PastEvaluation(
            measured_at=report.context.measured_at,
            commit="",
            arm=arm.name,
            model_hash=arm.model_hash,
            passes=arm.overall.passes,
            compiles=arm.overall.compiles,
            adheres=arm.overall.adheres,
            tests=arm.overall.tests,
            bleu=arm.overall.bleu,
        )
        for arm in report.arms
    )


# ── tables for machines ──────────────────────────────────────────────────────────────────────────


def render_markdown(report: EvaluationReport) -> str:
    """Return a short table, one line per arm, and one sentence per comparison."""
    rows = [
        "| arm | passes | compiles | adheres | tests pass | BLEU | chrF | tokens/s | first token |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for arm in report.arms:
        overall = arm.overall
        cells = [
            _markdown_text(arm.name),
            *map(_rate, (overall.passes, overall.compiles, overall.adheres, overall.tests)),
            *map(_with_interval, (arm.bleu, arm.chrf, arm.tokens_per_second)),
            f"{page.figure(arm.first_token_seconds.value, 2)} s",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    sentences = [_markdown_comparison(comparison) for comparison in report.comparisons]
    footer = (
        f"{report.n} tasks; 95% intervals in brackets. An answer passes when it compiles, adheres "
        "to the conventions and passes its tests."
    )
    return "\n\n".join(["\n".join(rows), *sentences, footer]) + "\n"


def _markdown_comparison(comparison: Comparison) -> str:
    pairs = comparison.passes.pairs
    points = page.scaled(comparison.passes.difference, 100)
    return (
        f"{_markdown_text(comparison.candidate)} against {_markdown_text(comparison.incumbent)}: "
        f"won {pairs.won}, lost {pairs.lost}, tied {pairs.tied} (p {page.p_value(pairs.p_value)}); "
        f"passes {page.signed(points.value)} points [{page.signed(points.low)}, "
        f"{page.signed(points.high)}]."
    )


def render_category_markdown(report: EvaluationReport) -> str:
    """Return a table with one line per category and arm."""
    rows = [
        "| category | arm | tasks | passes | compiles | adheres | tests pass | BLEU | chrF |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for category in _categories(report.arms):
        for arm in report.arms:
            part = arm.per_category[category]
            rates = (part.passes, part.compiles, part.adheres, part.tests)
            cells = [
                category,
                _markdown_text(arm.name),
                part.n,
                *(rate.count for rate in rates),
                page.figure(part.bleu),
                page.figure(part.chrf),
            ]
            rows.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(rows) + "\n"


def _markdown_text(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _rate(rate: Proportion) -> str:
    if math.isnan(rate.rate):
        return f"{rate.count}/{rate.n}, {page.rate_text(rate)}"
    return (
        f"{rate.count}/{rate.n} = {page.percent(rate.rate)} "
        f"[{page.percent(rate.low)}, {page.percent(rate.high)}]"
    )


def _with_interval(interval: Interval) -> str:
    value = page.figure(interval.value)
    if math.isnan(interval.low):
        return value
    return f"{value} [{page.figure(interval.low)}, {page.figure(interval.high)}]"


def write_report(report: EvaluationReport, destination: Path) -> Path:
    """Write `report.html`, `report.json` and `results.jsonl` into the folder `destination`.

    Each file appears whole; the page is written last. Returns the path of the page.
    """
    write_jsonl(destination / "results.jsonl", _result_rows(report))
    write_json(destination / "report.json", report.model_dump(mode="json"))
    return write_text(destination / "report.html", render_html(report))


def _result_rows(report: EvaluationReport) -> Iterator[dict[str, Any]]:
    """Yield one row per answer: the suite's arms first, then general TypeScript."""
    for suite, arms in (
        (report.context.suite, report.arms),
        ("general", report.regression),
    ):
        for arm in arms:
            for result in arm.results:
                yield {
                    "suite": suite,
                    "arm": arm.name,
                    **result.model_dump(mode="json"),
                    "passes": result.score.passes,
                    "tokens_per_second": result.answer.tokens / max(result.answer.seconds, 1e-9),
                }
