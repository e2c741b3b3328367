"""Put arms side by side: one page for people, one JSON file and one table for machines.

Flows in: arms measured on the same suite, and what they were measured with. Flows out: an
`EvaluationReport`, its HTML page, a Markdown summary, and the files `report.html`, `report.json`
and `results.jsonl`. Nothing is measured here.
"""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from qi_pipeline.artefacts import write_json, write_jsonl, write_text
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.arms import ArmResult, TaskResult, Totals
from qi_pipeline.evaluation.gate import bleu_difference
from qi_pipeline.evaluation.references import describe_failure
from qi_pipeline.evaluation.scoring import BLEU_TOKENIZER, diagnostic_name
from qi_pipeline.evaluation.statistics import Interval, PairedCounts, Proportion, compare_pairs
from qi_pipeline.evaluation.tasks import Task, tasks_hash

_TEMPLATE = "report.html.jinja"
_FAILURES_SHOWN = 8
_MESSAGE_LENGTH = 160
_SMALLEST_P_SHOWN = 0.001


class EvaluationContext(BaseModel):
    """What the arms were measured with."""

    model_config = ConfigDict(frozen=True)

    title: str
    library: str
    """Name and revision of the library, for people."""
    suite: str
    """Name of the task suite."""
    tasks: tuple[Task, ...]
    references_passed: int
    """How many references compile and adhere (see `check_references`)."""
    measured_at: str
    """ISO 8601 with offset."""


class Delta(BaseModel):
    """How an arm compares with the first one, task by task."""

    model_config = ConfigDict(frozen=True)

    arm: str
    baseline: str
    both: PairedCounts
    adheres: PairedCounts
    compiles: PairedCounts
    bleu: Interval
    """Difference in corpus BLEU with its paired-bootstrap interval."""


class FailureCount(BaseModel):
    """One kind of failure and in how many tasks of an arm it occurs."""

    model_config = ConfigDict(frozen=True)

    name: str
    tasks: int
    example: str = ""


class Failures(BaseModel):
    """Where an arm fails, most frequent first."""

    model_config = ConfigDict(frozen=True)

    arm: str
    compiler: tuple[FailureCount, ...]
    rules: tuple[FailureCount, ...]
    missing_api: tuple[FailureCount, ...]
    forbidden: tuple[FailureCount, ...]
    not_exported: int
    """Tasks whose answer does not export the entry point."""
    cut_off: int
    """Answers that ran into max_tokens."""
    hallucinated_imports: int
    """Imports of modules or names that do not exist, over all answers."""
    not_judged: int
    """Answers so broken that no rule could look at them."""


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
    deltas: tuple[Delta, ...]
    """Each further arm against the first."""
    failures: tuple[Failures, ...]


def evaluation_report(arms: Sequence[ArmResult], context: EvaluationContext) -> EvaluationReport:
    """Compare arms; the first is the baseline of the others.

    Raises QiPipelineError when there is no arm, two share a name, or they were not measured on the
    same tasks with the same library.
    """
    _require_comparable(arms, context)
    return EvaluationReport(
        context=context,
        n=arms[0].overall.n,
        tasks_hash=arms[0].tasks_hash,
        library_hash=arms[0].library_hash,
        bleu_tokenizer=BLEU_TOKENIZER,
        arms=tuple(arms),
        deltas=tuple(_delta(arm, arms[0]) for arm in arms[1:]),
        failures=tuple(_failures(arm) for arm in arms),
    )


def _require_comparable(arms: Sequence[ArmResult], context: EvaluationContext) -> None:
    if not arms:
        raise QiPipelineError("an evaluation report needs at least one arm")
    if tasks_hash(context.tasks) != arms[0].tasks_hash:
        raise QiPipelineError(
            f"arm {arms[0].name!r} was not measured on the tasks of the suite {context.suite!r}; "
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


def _delta(arm: ArmResult, baseline: ArmResult) -> Delta:
    old = {result.task_id: result.score for result in baseline.results}
    pairs = [(result.score, old[result.task_id]) for result in arm.results]
    return Delta(
        arm=arm.name,
        baseline=baseline.name,
        both=compare_pairs([a.both for a, _ in pairs], [b.both for _, b in pairs]),
        adheres=compare_pairs([a.adheres for a, _ in pairs], [b.adheres for _, b in pairs]),
        compiles=compare_pairs([a.compiles for a, _ in pairs], [b.compiles for _, b in pairs]),
        bleu=bleu_difference(arm, baseline),
    )


def _failures(arm: ArmResult) -> Failures:
    results = arm.results
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
        ),
        missing_api=_most_common(
            (name, "", result.task_id) for result in results for name in result.score.missing_api
        ),
        forbidden=_most_common(
            (name, "", result.task_id) for result in results for name in result.score.forbidden
        ),
        not_exported=sum(not result.score.exports_entry_point for result in results),
        cut_off=sum(result.answer.finish_reason == "length" for result in results),
        hallucinated_imports=sum(result.score.hallucinated_imports for result in results),
        not_judged=sum(not result.score.judged for result in results),
    )


def _most_common(occurrences: Iterable[tuple[str, str, str]]) -> tuple[FailureCount, ...]:
    """Count the tasks of each (name, message, task id); show each name's first message."""
    examples: dict[str, str] = {}
    counted: set[tuple[str, str]] = set()
    for name, message, task_id in occurrences:
        examples.setdefault(name, _shortened(message))
        counted.add((name, task_id))
    tasks = Counter(name for name, _ in sorted(counted))
    return tuple(
        FailureCount(name=name, tasks=count, example=examples[name])
        for name, count in tasks.most_common(_FAILURES_SHOWN)
    )


def _shortened(message: str) -> str:
    line = " ".join(message.split())
    return line if len(line) <= _MESSAGE_LENGTH else line[: _MESSAGE_LENGTH - 1] + "…"


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
        percent=_percent,
        span=_span,
        p_value=_p_value,
        figure=_figure,
        signed=_signed,
        words=_words,
        position=_position,
    )
    return environment.get_template(_TEMPLATE).render(
        report=report,
        context=report.context,
        results=_results_by_task(report),
        describe=_describe,
        diagnostic_name=diagnostic_name,
        groups=_groups(report),
    )


def _results_by_task(report: EvaluationReport) -> dict[str, dict[str, TaskResult]]:
    """Return task id to arm name to result."""
    found: dict[str, dict[str, TaskResult]] = {task.id: {} for task in report.context.tasks}
    for arm in report.arms:
        for result in arm.results:
            found[result.task_id][arm.name] = result
    return found


def _describe(result: TaskResult) -> str:
    return describe_failure(result.score, result.verdict)


def _groups(report: EvaluationReport) -> list[tuple[str, list[tuple[str, list[Totals]]]]]:
    """Return (heading, rows of (group, totals per arm)) of the breakdown tables."""
    categories = [
        (str(group), [arm.per_category[group] for arm in report.arms])
        for group in report.arms[0].per_category
    ]
    types = [
        (str(group), [arm.per_pattern_type[group] for arm in report.arms])
        for group in report.arms[0].per_pattern_type
    ]
    return [("By category", categories), ("By pattern type", types)]


def _percent(rate: float) -> str:
    return "unknown" if math.isnan(rate) else f"{100 * rate:.0f}%"


def _span(low: float, high: float) -> str:
    return "unknown" if math.isnan(low) else f"{100 * low:.0f}\N{EN DASH}{100 * high:.0f}%"


def _p_value(value: float) -> str:
    return "< 0.001" if value < _SMALLEST_P_SHOWN else f"{value:.3f}"


def _figure(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.1f}"


def _signed(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:+.1f}"


def _words(identifier: str) -> str:
    return identifier.replace("_", " ")


def _position(value: float, maximum: float) -> str:
    """Return where a value lies on a track from 0 to `maximum`, as a CSS percentage."""
    return "0%" if math.isnan(value) or maximum <= 0 else f"{100 * value / maximum:.2f}%"


def render_markdown(report: EvaluationReport) -> str:
    """Return a short table, one line per arm, and one comparison per further arm."""
    rows = [
        "| arm | compile and adhere | adhere | compile | BLEU | tokens/s |",
        "|---|---|---|---|---|---|",
    ]
    for arm in report.arms:
        overall = arm.overall
        cells = [
            _markdown_text(arm.name),
            *(_rate(rate) for rate in (overall.both, overall.adheres, overall.compiles)),
            _with_interval(arm.bleu),
            _with_interval(arm.tokens_per_second),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    sentences = [
        f"{_markdown_text(delta.arm)} against {_markdown_text(delta.baseline)}: won "
        f"{delta.both.won}, lost {delta.both.lost}, tied {delta.both.tied} "
        f"(p {_p_value(delta.both.p_value)})."
        for delta in report.deltas
    ]
    footer = f"{report.n} tasks; 95% intervals in brackets."
    return "\n".join([*rows, "", *sentences, footer]) + "\n"


def render_category_markdown(report: EvaluationReport) -> str:
    """Return a table with one line per category and arm."""
    rows = [
        "| category | arm | tasks | compile and adhere | adhere | compile | BLEU |",
        "|---|---|---|---|---|---|---|",
    ]
    for category in report.arms[0].per_category:
        for arm in report.arms:
            part = arm.per_category[category]
            counts = (part.both.count, part.adheres.count, part.compiles.count)
            cells = [category, _markdown_text(arm.name), part.n, *counts, _figure(part.bleu)]
            rows.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(rows) + "\n"


def _markdown_text(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _rate(rate: Proportion) -> str:
    return (
        f"{rate.count}/{rate.n} = {_percent(rate.rate)} "
        f"[{_percent(rate.low)}, {_percent(rate.high)}]"
    )


def _with_interval(interval: Interval) -> str:
    return f"{_figure(interval.value)} [{_figure(interval.low)}, {_figure(interval.high)}]"


def write_report(report: EvaluationReport, destination: Path) -> Path:
    """Write `report.html`, `report.json` and `results.jsonl` into the folder `destination`.

    Each file appears whole; the page is written last. Returns the path of the page.
    """
    write_jsonl(destination / "results.jsonl", _result_rows(report))
    write_json(destination / "report.json", report.model_dump(mode="json"))
    return write_text(destination / "report.html", render_html(report))


def _result_rows(report: EvaluationReport) -> Iterator[dict[str, Any]]:
    """Yield one row per task and arm."""
    for arm in report.arms:
        for result in arm.results:
            row = result.model_dump(mode="json")
            yield {
                "arm": arm.name,
                **row,
                "both": result.score.both,
                "tokens_per_second": result.answer.tokens / max(result.answer.seconds, 1e-9),
            }
