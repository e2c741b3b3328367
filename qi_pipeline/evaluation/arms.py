"""One arm: one model, asked the whole suite, scored.

Flows in: a GGUF file, the tasks and a checker. Flows out: an `ArmResult` with every answer, its
verdict and score, and totals with intervals. Comparing arms belongs to `report` and `gate`.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

from qi_pipeline.evaluation.answers import How, extract_code
from qi_pipeline.evaluation.generation import (
    Answer,
    GenerationOptions,
    generate_answers,
    llama_version,
    model_hash,
)
from qi_pipeline.evaluation.references import Check
from qi_pipeline.evaluation.scoring import TaskScore, bleu_of_statistics, corpus_bleu, score_answer
from qi_pipeline.evaluation.statistics import Figure, Interval, Proportion, bootstrap, proportion
from qi_pipeline.evaluation.tasks import Task, tasks_hash
from qi_pipeline.extraction.pattern import CATEGORIES, PATTERN_TYPES, Category, PatternType
from qi_pipeline.validation.verdict import Verdict

logger = logging.getLogger(__name__)

_Group = TypeVar("_Group", bound=str)


class TaskResult(BaseModel):
    """One model's answer to one task, with everything that was made of it."""

    model_config = ConfigDict(frozen=True)

    task_id: str
    category: Category
    pattern_type: PatternType
    prompt: str
    answer: Answer
    code: str
    how: How
    """How the code was found in the answer."""
    verdict: Verdict
    score: TaskScore


class Totals(BaseModel):
    """A group of results in figures."""

    model_config = ConfigDict(frozen=True)

    n: int
    adheres: Proportion
    compiles: Proportion
    both: Proportion
    bleu: Figure
    """Corpus BLEU, 0 to 100."""


class ArmResult(BaseModel):
    """One arm of an evaluation."""

    model_config = ConfigDict(frozen=True)

    name: str
    model_file: str
    """File name, without its folder."""
    model_hash: str
    tasks_hash: str
    library_hash: str
    """What the checker compiled against and which rules it knew."""
    system_prompt: str
    options: GenerationOptions
    llama_cpp: str
    """Version of the binding that generated."""
    results: tuple[TaskResult, ...]
    overall: Totals
    per_category: dict[Category, Totals]
    per_pattern_type: dict[PatternType, Totals]
    bleu: Interval
    """Corpus BLEU with its bootstrap interval over tasks."""
    tokens_per_second: Interval
    """Generated tokens by wall time, reading the prompts included; bootstrap over tasks."""
    tokens: int
    generation_seconds: float


def run_arm(  # noqa: PLR0913, PLR0917 - everything that decides an arm, and where it says so
    name: str,
    model: Path,
    tasks: Sequence[Task],
    check: Check,
    cache_dir: Path,
    system_prompt: str,
    options: GenerationOptions,
    library_hash: str,
    show: Callable[[str], None] = logger.info,
) -> ArmResult:
    """Ask the model every task, check and score its answers.

    Answers are cached below `cache_dir` and reused while the model file, the prompts, the decoding
    options and the llama.cpp binding stay the same; verdicts and scores are always made anew.
    Raises QiPipelineError when the model cannot be used.
    """
    prompts = {task.id: task.prompt for task in tasks}
    answers = generate_answers(model, prompts, system_prompt, options, cache_dir, show)
    return assemble_arm(
        name=name,
        model_file=model.name,
        model_digest=model_hash(model),
        suite_hash=tasks_hash(tasks),
        library_hash=library_hash,
        system_prompt=system_prompt,
        options=options,
        results=_score_all(tasks, answers, check),
    )


def assemble_arm(
    *,
    name: str,
    model_file: str,
    model_digest: str,
    suite_hash: str,
    library_hash: str,
    system_prompt: str,
    options: GenerationOptions,
    results: tuple[TaskResult, ...],
) -> ArmResult:
    """Total up scored results."""
    return ArmResult(
        name=name,
        model_file=model_file,
        model_hash=model_digest,
        tasks_hash=suite_hash,
        library_hash=library_hash,
        system_prompt=system_prompt,
        options=options,
        llama_cpp=llama_version(),
        results=results,
        overall=totals(results),
        per_category=_grouped(results, CATEGORIES, lambda result: result.category),
        per_pattern_type=_grouped(results, PATTERN_TYPES, lambda result: result.pattern_type),
        bleu=_bleu_interval(results),
        tokens_per_second=_speed(results),
        tokens=sum(result.answer.tokens for result in results),
        generation_seconds=sum(result.answer.seconds for result in results),
    )


def _score_all(
    tasks: Sequence[Task], answers: dict[str, Answer], check: Check
) -> tuple[TaskResult, ...]:
    extracted = {task.id: extract_code(answers[task.id].answer) for task in tasks}
    verdicts = check({task_id: found.code for task_id, found in extracted.items()})
    return tuple(
        TaskResult(
            task_id=task.id,
            category=task.category,
            pattern_type=task.pattern_type,
            prompt=task.prompt,
            answer=answers[task.id],
            code=extracted[task.id].code,
            how=extracted[task.id].how,
            verdict=verdicts[task.id],
            score=score_answer(task, extracted[task.id].code, verdicts[task.id]),
        )
        for task in tasks
    )


def totals(results: Sequence[TaskResult]) -> Totals:
    """Return the figures of a group of results; NaN rates for an empty one."""
    n = len(results)
    return Totals(
        n=n,
        adheres=proportion(sum(result.score.adheres for result in results), n),
        compiles=proportion(sum(result.score.compiles for result in results), n),
        both=proportion(sum(result.score.both for result in results), n),
        bleu=corpus_bleu(result.score for result in results),
    )


def _grouped(
    results: Sequence[TaskResult],
    groups: Iterable[_Group],
    group_of: Callable[[TaskResult], _Group],
) -> dict[_Group, Totals]:
    """Return totals per group, in the groups' own order, groups without tasks left out."""
    members = {group: [r for r in results if group_of(r) == group] for group in groups}
    return {group: totals(members[group]) for group in members if members[group]}


def _bleu_interval(results: Sequence[TaskResult]) -> Interval:
    statistics = [result.score.bleu_statistics for result in results]
    return bootstrap(
        len(statistics), lambda draw: bleu_of_statistics([statistics[index] for index in draw])
    )


def _speed(results: Sequence[TaskResult]) -> Interval:
    tokens = [result.answer.tokens for result in results]
    seconds = [result.answer.seconds for result in results]
    return bootstrap(
        len(results),
        lambda draw: sum(tokens[i] for i in draw) / max(sum(seconds[i] for i in draw), 1e-9),
    )
