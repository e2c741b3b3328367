"""The suite's own answers come first: every reference must compile and adhere.

Flows in: tasks and a checker. Flows out: one score per reference, or an error that names the tasks
whose reference fails; a suite that its own references fail measures nothing.
"""

from collections.abc import Callable, Mapping, Sequence

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.scoring import TaskScore, diagnostic_name, score_answer
from qi_pipeline.evaluation.tasks import Task
from qi_pipeline.validation.verdict import Verdict

Check = Callable[[Mapping[str, str]], Mapping[str, Verdict]]
"""Module texts by name to verdicts by name; `Checker.check_modules` is one."""


def check_references(tasks: Sequence[Task], check: Check) -> dict[str, TaskScore]:
    """Return each reference's score by task id.

    Raises QiPipelineError, naming every failing task and what its reference does, when a reference
    does not both compile and adhere.
    """
    verdicts = check({task.id: task.reference for task in tasks})
    scores = {task.id: score_answer(task, task.reference, verdicts[task.id]) for task in tasks}
    problems = [
        f"{task.id} ({describe_failure(scores[task.id], verdicts[task.id])})"
        for task in tasks
        if not scores[task.id].both
    ]
    if problems:
        raise QiPipelineError(
            f"{len(problems)} of {len(tasks)} references do not pass their own task; correct the "
            f"suite before measuring with it: {'; '.join(problems)}"
        )
    return scores


def describe_failure(score: TaskScore, verdict: Verdict) -> str:
    """Say in a few words why an answer does not pass; empty when it does."""
    reasons: list[str] = []
    if not score.parses:
        reasons.append("does not parse")
    if not score.exports_entry_point:
        reasons.append("does not export the entry point")
    if not verdict.compiles:
        names = sorted({diagnostic_name(diagnostic) for diagnostic in verdict.diagnostics})
        reasons.append(f"does not compile: {', '.join(names)}")
    if not score.judged:
        reasons.append("cannot be read by the rules")
    if score.rules:
        reasons.append(f"breaks {', '.join(score.rules)}")
    if score.forbidden:
        reasons.append(f"violates {', '.join(score.forbidden)}")
    if score.missing_api:
        reasons.append(f"does not use {', '.join(score.missing_api)}")
    return "; ".join(reasons)
