"""Score given answers, without a model: `{id, code}` lines against a task suite.

Flows in: tasks, a JSON Lines file of solutions, a judge. Flows out: a `SolutionReport`, the JSON
that `qi score` writes. `code` is taken as it is; a line may hold `answer` instead, a model's whole
reply, from which the code is taken as it is for arms.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.judge import Judge, Judgement, Submission
from qi_pipeline.evaluation.lines import read_records
from qi_pipeline.evaluation.scoring import describe_failure
from qi_pipeline.evaluation.statistics import (
    FEWEST_TASKS,
    Interval,
    Proportion,
    pass_at_each_k,
    proportion,
)
from qi_pipeline.evaluation.tasks import Task

_UNKNOWN_SHOWN = 5


class Solution(BaseModel):
    """One line of a solutions file."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: Annotated[str, Field(min_length=1)]
    """Id of the task; several lines with one id are several samples."""
    code: str | None = None
    """A TypeScript module, judged as it is."""
    answer: str | None = None
    """A model's reply, from which the module is taken."""

    @model_validator(mode="after")
    def _holds_one(self) -> "Solution":
        if (self.code is None) == (self.answer is None):
            raise ValueError("expected either `code` or `answer`")
        return self


class Summary(BaseModel):
    """The headline; of several samples of a task the first counts."""

    model_config = ConfigDict(frozen=True)

    compile: Proportion
    adherence: Proportion
    test: Proportion
    all: Proportion
    """Compiles, adheres and passes its tests."""


class TaskOutcome(BaseModel):
    """What became of the answers to one task, by its first sample."""

    model_config = ConfigDict(frozen=True)

    id: str
    compiles: bool
    adheres: bool
    tests_passed: bool
    passes: bool
    rules: tuple[str, ...]
    missing_api: tuple[str, ...]
    hallucinated: tuple[str, ...]
    samples: int
    """Answers that were given."""
    passing_samples: int
    reason: str
    """Why it does not pass; empty when it does."""


class SolutionReport(BaseModel):
    """What `qi score` says."""

    model_config = ConfigDict(frozen=True)

    summary: Summary
    pass_at: dict[int, Interval]
    """k to pass@k, up to the fewest samples that a task has; empty without a sample for each."""
    unanswered: int
    """Tasks without a solution; they count as failed."""
    tasks: tuple[TaskOutcome, ...]
    """In the suite's order."""


def load_solutions(path: Path, tasks: Sequence[Task]) -> dict[str, list[Solution]]:
    """Return the solutions of a JSON Lines file by task id, in the file's order.

    Raises QiPipelineError, naming file and line, when the file cannot be read, a line is no
    solution, or a task is not in the suite.
    """
    found: dict[str, list[Solution]] = defaultdict(list)
    known = {task.id for task in tasks}
    unknown: list[str] = []
    for where, solution in read_records(path, Solution, "the solutions"):
        if solution.id not in known:
            unknown.append(f"{where} {solution.id!r}")
        found[solution.id].append(solution)
    if unknown:
        shown = ", ".join(unknown[:_UNKNOWN_SHOWN])
        raise QiPipelineError(
            f"{len(unknown)} solutions are for tasks that the suite does not hold: {shown}; give "
            "the suite they were made for, or correct the ids"
        )
    if not found:
        raise QiPipelineError(
            f'{path} holds no solution; expected one {{"id", "code"}} object a line'
        )
    return dict(found)


def score_solutions(
    tasks: Sequence[Task], solutions: Mapping[str, Sequence[Solution]], judge: Judge
) -> SolutionReport:
    """Judge every solution; a task without one counts as failed.

    Raises SandboxRefusedError when this machine refuses to run untrusted code safely.
    """
    pairs = [(task, one) for task in tasks for one in solutions.get(task.id, ())]
    judgements = judge.judge([Submission(task, _code(one, judge)) for task, one in pairs])
    by_task: dict[str, list[Judgement]] = defaultdict(list)
    for (task, _), judgement in zip(pairs, judgements, strict=True):
        by_task[task.id].append(judgement)
    outcomes = tuple(_outcome(task.id, by_task[task.id]) for task in tasks)
    return SolutionReport(
        summary=Summary(
            compile=_rate([one.compiles for one in outcomes]),
            adherence=_rate([one.adheres for one in outcomes]),
            test=_rate([one.tests_passed for one in outcomes]),
            all=_rate([one.passes for one in outcomes]),
        ),
        pass_at=pass_at_each_k(
            [(one.samples, one.passing_samples) for one in outcomes],
            [task.pattern_type or task.id for task in tasks],
        ),
        unanswered=sum(one.samples == 0 for one in outcomes),
        tasks=outcomes,
    )


def _code(solution: Solution, judge: Judge) -> str:
    if solution.code is not None:
        return solution.code
    return judge.code_of(solution.answer or "").code


def _rate(passed: Sequence[bool]) -> Proportion:
    return proportion(sum(passed), len(passed))


def _outcome(task_id: str, judgements: Sequence[Judgement]) -> TaskOutcome:
    if not judgements:
        return TaskOutcome(
            id=task_id,
            compiles=False,
            adheres=False,
            tests_passed=False,
            passes=False,
            rules=(),
            missing_api=(),
            hallucinated=(),
            samples=0,
            passing_samples=0,
            reason="no solution was given",
        )
    first = judgements[0]
    return TaskOutcome(
        id=task_id,
        compiles=first.score.compiles,
        adheres=first.score.adheres,
        tests_passed=first.score.tests_passed,
        passes=first.score.passes,
        rules=first.score.rules,
        missing_api=first.score.missing_api,
        hallucinated=first.score.hallucinated,
        samples=len(judgements),
        passing_samples=sum(one.score.passes for one in judgements),
        reason=describe_failure(first.score, first.verdict, first.test),
    )


def render_solutions(report: SolutionReport) -> str:
    """Return the headline and every task that does not pass, for a terminal."""
    lines = []
    for name, rate in report.summary:
        lines.append(f"{name:<10} {rate.count:>4} of {rate.n}{_interval(rate)}")
    lines += [f"pass@{k:<5} {found.value:.3f}" for k, found in report.pass_at.items() if k > 1]
    if report.unanswered:
        lines.append(f"{report.unanswered} tasks have no solution and count as failed")
    failing = [f"  {one.id}: {one.reason}" for one in report.tasks if not one.passes]
    return "\n".join([*lines, *failing])


def _interval(rate: Proportion) -> str:
    if math.isnan(rate.rate):
        return f"  (fewer than {FEWEST_TASKS} tasks give no rate)"
    return f"  {rate.rate:.1%} [{rate.low:.1%}, {rate.high:.1%}]"
