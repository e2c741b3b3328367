"""The suite's own answers come first: every reference must compile, adhere and pass its tests.

Flows in: tasks and a judge. Flows out: one judgement per reference, or an error that names the
tasks whose reference fails; a suite that its own references fail measures nothing.
"""

from collections.abc import Sequence

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.judge import Judge, Judgement, Submission
from qi_pipeline.evaluation.scoring import describe_failure
from qi_pipeline.evaluation.tasks import Task


def check_references(tasks: Sequence[Task], judge: Judge) -> dict[str, Judgement]:
    """Return each reference's judgement by task id.

    Raises QiPipelineError, naming every failing task and what its reference does, when a reference
    does not pass.
    """
    judgements = judge.judge([Submission(task, task.reference) for task in tasks])
    found = {task.id: one for task, one in zip(tasks, judgements, strict=True)}
    problems = [
        f"{task_id} ({describe_failure(one.score, one.verdict, one.test)})"
        for task_id, one in found.items()
        if not one.score.passes
    ]
    if problems:
        raise QiPipelineError(
            f"{len(problems)} of {len(tasks)} references do not pass their own task; correct the "
            f"suite before measuring with it: {'; '.join(problems)}"
        )
    return found
