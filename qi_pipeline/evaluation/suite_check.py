"""Whether a task suite measures: do its references pass, and do its tests notice mistakes.

Flows in: tasks and the judge. Flows out: a `SuiteCheck`. Each reference is changed in small wrong
ways (mutation analysis: DeMillo, Lipton and Sayward, "Hints on Test Data Selection", 1978); a
change that compiles and that the task's tests pass has survived. Some survivors do what the
reference does and cannot be noticed, so a score of 1 may be out of reach. Tests are not judged by a
reference that fails them.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from qi_pipeline.evaluation.judge import Judge, Submission
from qi_pipeline.evaluation.scoring import describe_failure
from qi_pipeline.evaluation.statistics import Figure
from qi_pipeline.evaluation.tasks import Task
from qi_pipeline.sandbox.modules import ModuleTest
from qi_pipeline.sandbox.mutants import Mutant, make_mutants

_CODE_SHOWN = 70


class Survivor(BaseModel):
    """A mutant that the tests do not notice."""

    model_config = ConfigDict(frozen=True)

    operator: str
    line: int
    """1-based line of the reference."""
    original: str
    replacement: str


class TaskCheck(BaseModel):
    """How one task's reference does, and its tests on the mutants of it."""

    model_config = ConfigDict(frozen=True)

    id: str
    problem: str
    """Why the reference does not pass; empty when it does."""
    made: int
    """Mutants."""
    not_compiling: int
    """Mutants that the compiler notices, which count neither way."""
    killed: int
    """Mutants that the tests do not pass."""
    timed_out: int
    """Of the killed, those whose tests did not end in time; on an overloaded machine that may be
    the machine's doing."""
    survived: tuple[Survivor, ...]
    score: Figure
    """Killed of those that compile; NaN where none does, or the reference fails the tests."""


class SuiteCheck(BaseModel):
    """How a whole suite does."""

    model_config = ConfigDict(frozen=True)

    tasks: tuple[TaskCheck, ...]
    """In the suite's order."""
    references_passing: int
    made: int
    not_compiling: int
    killed: int
    timed_out: int
    survived: int
    score: Figure
    """Killed of all that compile; NaN where none does."""


def check_suite(
    tasks: Sequence[Task], judge: Judge, report: Callable[[str], object] = lambda _line: None
) -> SuiteCheck:
    """Judge every reference, and every task's tests by the mutants of its reference.

    report: told of the progress, in lines.

    Raises QiPipelineError when a reference does not parse, and SandboxRefusedError when this
    machine refuses to run untrusted code safely.
    """
    references = {task.id: task.reference for task in tasks}
    tester = judge.tester
    mutants = make_mutants(references, tester.toolchain, tester.sandbox, judge.checker.profile)
    compiling = _compiling(mutants, judge)
    made, sound = (sum(map(len, found.values())) for found in (mutants, compiling))
    report(f"{made} mutants of {len(tasks)} references, {sound} of them compile")
    judgements = judge.judge([Submission(task, task.reference) for task in tasks])
    checks: list[TaskCheck] = []
    for task, found in zip(tasks, judgements, strict=True):
        problem = describe_failure(found.score, found.verdict, found.test)
        tested = compiling[task.id] if found.test.passed else ()
        survived, timed_out = _survivors(task, tested, judge)
        killed = len(tested) - len(survived)
        check = TaskCheck(
            id=task.id,
            problem=problem,
            made=len(mutants[task.id]),
            not_compiling=len(mutants[task.id]) - len(compiling[task.id]),
            killed=killed,
            timed_out=timed_out,
            survived=survived,
            score=_score(killed, len(survived)),
        )
        checks.append(check)
        report(f"{len(checks)}/{len(tasks)} {_task_line(check)}")
    return _totals(checks)


def _compiling(
    mutants: Mapping[str, Sequence[Mutant]], judge: Judge
) -> dict[str, tuple[Mutant, ...]]:
    distinct = dict.fromkeys(mutant.module for found in mutants.values() for mutant in found)
    verdicts = judge.verdicts({text: text for text in distinct})
    return {
        task_id: tuple(mutant for mutant in found if verdicts[mutant.module].compiles)
        for task_id, found in mutants.items()
    }


def _survivors(
    task: Task, mutants: Sequence[Mutant], judge: Judge
) -> tuple[tuple[Survivor, ...], int]:
    """Return the mutants that the task's tests pass, and how many ran out of time."""
    tests = {mutant.module: ModuleTest(mutant.module, task.test) for mutant in mutants}
    runs = judge.tester.run_many(tests, workers=judge.workers)
    survivors = tuple(
        Survivor(
            operator=mutant.operator,
            line=mutant.line,
            original=mutant.original,
            replacement=mutant.replacement,
        )
        for mutant in mutants
        if runs[mutant.module].status == "passed"
    )
    return survivors, sum(run.status == "timed_out" for run in runs.values())


def _score(killed: int, survived: int) -> float:
    """Return the mutation score."""
    return killed / (killed + survived) if killed + survived else math.nan


def _totals(checks: Sequence[TaskCheck]) -> SuiteCheck:
    killed = sum(check.killed for check in checks)
    survived = sum(len(check.survived) for check in checks)
    return SuiteCheck(
        tasks=tuple(checks),
        references_passing=sum(not check.problem for check in checks),
        made=sum(check.made for check in checks),
        not_compiling=sum(check.not_compiling for check in checks),
        killed=killed,
        timed_out=sum(check.timed_out for check in checks),
        survived=survived,
        score=_score(killed, survived),
    )


# ── For a terminal ───────────────────────────────────────────────────────────────────────────────


def render_suite_check(check: SuiteCheck) -> str:
    """Return the check as text: every task with its survivors, then the totals."""
    lines: list[str] = []
    for task in check.tasks:
        lines.append(_task_line(task))
        if task.problem:
            lines.append(f"  the reference does not pass: {task.problem}")
        lines += [f"  survives: {_survivor(survivor)}" for survivor in task.survived]
    late = f" ({check.timed_out} by running out of time)" if check.timed_out else ""
    lines += [
        "",
        f"references: {check.references_passing} of {len(check.tasks)} pass",
        f"mutants: {check.made} made, {check.not_compiling} do not compile",
        f"tested: {check.killed} killed{late}, {check.survived} survive",
        f"mutation score: {_percent(check.score)}",
    ]
    return "\n".join(lines) + "\n"


def _task_line(check: TaskCheck) -> str:
    tested = check.killed + len(check.survived)
    if tested:
        return f"{check.id}: {check.killed}/{tested} killed, {_percent(check.score)}"
    reason = "no mutant compiles" if check.made == check.not_compiling else "no mutant was tested"
    return f"{check.id}: {reason}, so nothing is known of its tests"


def _percent(score: float) -> str:
    return "unknown" if math.isnan(score) else f"{100 * score:.1f}%"


def _survivor(survivor: Survivor) -> str:
    change = f"{_shown(survivor.original)}  ->  {_shown(survivor.replacement)}"
    return f"line {survivor.line}, {survivor.operator}: {change}"


def _shown(code: str) -> str:
    line = " ".join(code.split())
    return line if len(line) <= _CODE_SHOWN else f"{line[:_CODE_SHOWN]} …"
