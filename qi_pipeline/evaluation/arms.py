"""Arms: one model, asked the whole suite in one way, scored.

Flows in: tasks, an `ArmPlan` and the `Setup` that all arms of an evaluation share. Flows out: an
`ArmResult` with every answer, its verdict, its tests and its score, and totals with intervals.
Answers are scored while the next ones are generated. Comparing arms belongs to `comparison`.
"""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.answers import ExtractedCode
from qi_pipeline.evaluation.generation import (
    LocalModel,
    Model,
    engine_of,
    generate_answers,
    model_digest,
)
from qi_pipeline.evaluation.judge import Judge, Judgement, Submission
from qi_pipeline.evaluation.records import (
    Answer,
    ArmResult,
    GenerationOptions,
    Message,
    Request,
    TaskResult,
    Totals,
    Verification,
)
from qi_pipeline.evaluation.scoring import bleu_of_statistics, corpus_bleu
from qi_pipeline.evaluation.statistics import (
    Interval,
    bootstrap,
    bootstrap_mean,
    pass_at_each_k,
    proportion,
)
from qi_pipeline.evaluation.tasks import Task, tasks_hash
from qi_pipeline.evaluation.verified import Delivered, answer_verified
from qi_pipeline.extraction.pattern import CATEGORIES, PATTERN_TYPES
from qi_pipeline.retrieval.context import Context

logger = logging.getLogger(__name__)

Retrieve = Callable[[str], Context]
_Group = TypeVar("_Group", bound=str)
_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


@dataclass(frozen=True)
class ArmPlan:
    """One way of asking one model."""

    name: str
    model: Model
    retrieval: bool = False
    """Whether patterns of the index are shown with every prompt."""
    verification: Verification | None = None


@dataclass(frozen=True)
class Setup:
    """What all arms of one evaluation share."""

    judge: Judge
    library_hash: str
    system_prompt: str
    options: GenerationOptions
    cache_dir: Path
    samples: int = 1
    """Answers per task; more than one need a temperature above 0."""
    retrieve: Retrieve | None = None
    show: Callable[[str], None] = logger.info


def run_arm(plan: ArmPlan, tasks: Sequence[Task], setup: Setup) -> ArmResult:
    """Ask the model every task, check, run and score its answers.

    Answers come from the cache while the model, the messages and the decoding options stay the
    same; verdicts, tests and scores are always made anew.

    Raises QiPipelineError when the model cannot be used, when retrieval is asked for without an
    index, or when several samples are asked of greedy decoding; SandboxRefusedError when this
    machine refuses to run untrusted code safely.
    """
    _require_sensible(plan, setup)
    contexts = {task.id: _context(task, plan, setup) for task in tasks}
    conversations = {task.id: _conversation(task, contexts[task.id], setup) for task in tasks}
    if plan.verification is None:
        results = _answer_plainly(plan, tasks, conversations, contexts, setup)
    else:
        results = _answer_verified(plan, tasks, conversations, contexts, setup)
    return assemble_arm(
        name=plan.name,
        model=plan.model.path.name if isinstance(plan.model, LocalModel) else plan.model.model,
        model_hash=model_digest(plan.model),
        engine=engine_of(plan.model),
        tasks_hash=tasks_hash(tasks),
        library_hash=setup.library_hash,
        system_prompt=setup.system_prompt,
        options=setup.options,
        retrieved=max((len(context.pattern_ids) for context in contexts.values()), default=0),
        verification=plan.verification,
        results=results,
    )


def _require_sensible(plan: ArmPlan, setup: Setup) -> None:
    if plan.retrieval and setup.retrieve is None:
        raise QiPipelineError(
            f"arm {plan.name!r} shows patterns with every prompt, and there is no index; build one "
            "(qi index), or leave the arm out"
        )
    if setup.samples > 1 and setup.options.temperature == 0 and plan.verification is None:
        raise QiPipelineError(
            f"{setup.samples} samples of greedy decoding are one and the same answer; choose a "
            "temperature above 0"
        )


def _context(task: Task, plan: ArmPlan, setup: Setup) -> Context:
    if not plan.retrieval or setup.retrieve is None:
        return Context((), "")
    return setup.retrieve(task.prompt)


def _conversation(task: Task, context: Context, setup: Setup) -> tuple[Message, ...]:
    parts = [part for part in (setup.system_prompt, context.text) if part]
    system = [Message(role="system", content="\n\n".join(parts))] if parts else []
    return (*system, Message(role="user", content=task.prompt))


# ── One answer, as it comes ──────────────────────────────────────────────────────────────────────


def _answer_plainly(
    plan: ArmPlan,
    tasks: Sequence[Task],
    conversations: Mapping[str, tuple[Message, ...]],
    contexts: Mapping[str, Context],
    setup: Setup,
) -> tuple[TaskResult, ...]:
    requests = [
        Request(task_id=task.id, messages=conversations[task.id], sample=sample)
        for task in tasks
        for sample in range(setup.samples)
    ]
    by_id = {task.id: task for task in tasks}

    def score(answers: Sequence[Answer]) -> list[TaskResult]:
        found = [setup.judge.code_of(answer.answer) for answer in answers]
        judged = setup.judge.judge(
            [
                Submission(by_id[answer.task_id], code.code)
                for answer, code in zip(answers, found, strict=True)
            ]
        )
        return [
            _result(by_id[answer.task_id], contexts[answer.task_id], answer, code, judgement)
            for answer, code, judgement in zip(answers, found, judged, strict=True)
        ]

    answers = generate_answers(plan.model, requests, setup.options, setup.cache_dir, setup.show)
    results = {(one.task_id, one.sample): one for one in overlapped(answers, score)}
    return tuple(results[request.task_id, request.sample] for request in requests)


def overlapped(
    items: Iterable[_Item], make: Callable[[Sequence[_Item]], Iterable[_Made]]
) -> Iterator[_Made]:
    """Yield what `make` makes of the items, made while the next ones are awaited.

    One call of `make` at a time; each gets all items that have come since the last began.
    """
    waiting: list[_Item] = []
    running: Future[Iterable[_Made]] | None = None
    with ThreadPoolExecutor(max_workers=1) as pool:
        for item in items:
            waiting.append(item)
            if running is None or running.done():
                if running is not None:
                    yield from running.result()
                running = pool.submit(make, tuple(waiting))
                waiting.clear()
        if running is not None:
            yield from running.result()
        if waiting:
            yield from make(tuple(waiting))


# ── The best of several, repaired ────────────────────────────────────────────────────────────────


def _answer_verified(
    plan: ArmPlan,
    tasks: Sequence[Task],
    conversations: Mapping[str, tuple[Message, ...]],
    contexts: Mapping[str, Context],
    setup: Setup,
) -> tuple[TaskResult, ...]:
    def generate(requests: Sequence[Request], temperature: float) -> Iterator[Answer]:
        options = setup.options.model_copy(update={"temperature": temperature})
        return generate_answers(plan.model, requests, options, setup.cache_dir, setup.show)

    how = plan.verification or Verification()
    delivered = answer_verified(conversations, how, generate, setup.judge)
    judged = setup.judge.judge(
        [Submission(task, delivered[task.id].best.found.code) for task in tasks]
    )
    return tuple(
        _delivered_result(task, contexts[task.id], delivered[task.id], judgement)
        for task, judgement in zip(tasks, judged, strict=True)
    )


def _delivered_result(
    task: Task, context: Context, delivered: Delivered, judgement: Judgement
) -> TaskResult:
    """Return the result of the delivered answer, which cost what all its candidates cost."""
    best, all_of_them = delivered.best, delivered.candidates
    answer = best.answer.model_copy(
        update={
            "sample": 0,
            "tokens": sum(one.answer.tokens for one in all_of_them),
            "seconds": sum(one.answer.seconds for one in all_of_them),
            "latency_seconds": sum(
                max(one.answer.latency_seconds for one in all_of_them if one.turn == turn)
                for turn in {one.turn for one in all_of_them}
            ),
        }
    )
    result = _result(task, context, answer, best.found, judgement)
    attempts = tuple(one.attempt() for one in all_of_them)
    return result.model_copy(update={"attempts": attempts})


def _result(
    task: Task, context: Context, answer: Answer, found: ExtractedCode, judgement: Judgement
) -> TaskResult:
    return TaskResult(
        task_id=task.id,
        sample=answer.sample,
        category=task.category,
        pattern_type=task.pattern_type,
        prompt=task.prompt,
        retrieved=context.pattern_ids,
        answer=answer,
        code=found.code,
        how=found.how,
        imports_added=found.imports_added,
        verdict=judgement.verdict,
        test=judgement.test,
        score=judgement.score,
    )


# ── Totals ───────────────────────────────────────────────────────────────────────────────────────


def assemble_arm(  # noqa: PLR0913 - everything that an arm was measured with
    *,
    name: str,
    model: str,
    model_hash: str,
    engine: str,
    tasks_hash: str,
    library_hash: str,
    system_prompt: str,
    options: GenerationOptions,
    retrieved: int,
    verification: Verification | None,
    results: tuple[TaskResult, ...],
) -> ArmResult:
    """Total up scored results."""
    firsts = [result for result in results if result.sample == 0]
    clusters = [result.cluster for result in firsts]
    statistics = [result.score.bleu_statistics for result in firsts]
    tokens = [result.answer.tokens for result in results]
    seconds = [result.answer.seconds for result in results]
    return ArmResult(
        name=name,
        model=model,
        model_hash=model_hash,
        engine=engine,
        tasks_hash=tasks_hash,
        library_hash=library_hash,
        system_prompt=system_prompt,
        options=options,
        retrieved=retrieved,
        verification=verification,
        results=results,
        overall=totals(firsts),
        per_category=_grouped(firsts, CATEGORIES, lambda result: result.category),
        per_pattern_type=_grouped(firsts, PATTERN_TYPES, lambda result: result.pattern_type),
        bleu=bootstrap(
            len(firsts),
            lambda draw: bleu_of_statistics([statistics[index] for index in draw]),
            clusters=clusters,
        ),
        chrf=bootstrap_mean([result.score.chrf for result in firsts], clusters),
        pass_at=_pass_at(results),
        tokens=sum(tokens),
        generation_seconds=sum(seconds),
        tokens_per_second=bootstrap(
            len(results),
            lambda draw: sum(tokens[i] for i in draw) / max(sum(seconds[i] for i in draw), 1e-9),
        ),
        first_token_seconds=bootstrap_mean(
            [result.answer.first_token_seconds for result in results],
            [result.cluster for result in results],
        ),
    )


def totals(results: Sequence[TaskResult]) -> Totals:
    """Return the figures of a group of results, one for each task."""
    n = len(results)
    scores = [result.score for result in results]
    return Totals(
        n=n,
        compiles=proportion(sum(score.compiles for score in scores), n),
        adheres=proportion(sum(score.adheres for score in scores), n),
        tests=proportion(sum(score.tests_passed for score in scores), n),
        passes=proportion(sum(score.passes for score in scores), n),
        bleu=corpus_bleu(scores),
        chrf=_mean([score.chrf for score in scores]),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _grouped(
    results: Sequence[TaskResult],
    groups: Iterable[_Group],
    group_of: Callable[[TaskResult], _Group | None],
) -> dict[_Group, Totals]:
    """Return totals per group, in the groups' own order, groups without tasks left out."""
    members = {group: [r for r in results if group_of(r) == group] for group in groups}
    return {group: totals(members[group]) for group in members if members[group]}


def _pass_at(results: Sequence[TaskResult]) -> dict[int, Interval]:
    passing: dict[str, list[bool]] = {}
    clusters: dict[str, str] = {}
    for result in results:
        passing.setdefault(result.task_id, []).append(result.score.passes)
        clusters[result.task_id] = result.cluster
    counts = [(len(found), sum(found)) for found in passing.values()]
    return pass_at_each_k(counts, list(clusters.values()))
