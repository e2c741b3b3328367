"""Tasks, verdicts and arms small enough to read, for the tests of this folder."""

from collections.abc import Mapping

from qi_pipeline.evaluation.answers import extract_code
from qi_pipeline.evaluation.arms import ArmResult, TaskResult, assemble_arm
from qi_pipeline.evaluation.generation import Answer, GenerationOptions
from qi_pipeline.evaluation.scoring import score_answer
from qi_pipeline.evaluation.tasks import RequiredApi, Task, tasks_hash
from qi_pipeline.validation.verdict import Diagnostic, RuleViolation, Verdict

GOOD = """import { failure, success, validationError } from "@qi/base";
import type { Result } from "@qi/base";

export const shelfSlot = (slot: number): Result<number> =>
  slot > 0 ? success(slot) : failure(validationError("Slot must be positive"));
"""
NOT_COMPILING = GOOD.replace("success(slot)", "success(missing)")
NOT_ADHERING = GOOD.replace("success(slot)", "success(slot as any)")
USELESS = "I cannot do that."

ALL_FORBIDDEN = (
    "no_throw",
    "no_try_catch",
    "no_tag_access",
    "no_result_property_access",
    "no_null_return",
    "no_any",
)


def make_task(
    task_id: str = "slot", *, changes: Mapping[str, object] | None = None, **more: object
) -> Task:
    fields: dict[str, object] = {
        "id": task_id,
        "category": "basic",
        "pattern_type": "result_creation",
        "prompt": f"Export shelfSlot ({task_id}).",
        "entry_point": "shelfSlot",
        "test": "",
        "required_api": RequiredApi(all=("success",), any=("failure", "Err")),
        "forbidden": ALL_FORBIDDEN,
        "reference": GOOD,
    }
    return Task.model_validate({**fields, **(changes or {}), **more})


def verdict_of(code: str) -> Verdict:
    """Judge the sample modules above the way the real checker would."""
    missing = "missing" in code or not code.startswith("import")
    names = ("failure", "success", "validationError")
    return Verdict(
        compiles=not missing,
        diagnostics=(
            (Diagnostic(code=2304, line=1, column=1, message="Cannot find name 'missing'."),)
            if missing
            else ()
        ),
        rules=(RuleViolation(id="R12", line=5, message="uses any"),) if "as any" in code else (),
        symbols=tuple(f"@qi/base:{name}" for name in names if f"{name}(" in code),
    )


def check(modules: Mapping[str, str]) -> dict[str, Verdict]:
    return {name: verdict_of(text) for name, text in modules.items()}


def make_result(task: Task, text: str, tokens: int = 50, seconds: float = 2.0) -> TaskResult:
    found = extract_code(text)
    verdict = verdict_of(found.code)
    return TaskResult(
        task_id=task.id,
        category=task.category,
        pattern_type=task.pattern_type,
        prompt=task.prompt,
        answer=Answer(
            id=task.id,
            answer=text,
            tokens=tokens,
            seconds=seconds,
            first_token_seconds=0.5,
            finish_reason="stop",
            threads=1,
        ),
        code=found.code,
        how=found.how,
        verdict=verdict,
        score=score_answer(task, found.code, verdict),
    )


def make_arm(name: str, answers: Mapping[str, str], tasks: tuple[Task, ...] = ()) -> ArmResult:
    """Return the arm that answered each task id with the given text."""
    known = tasks or tuple(make_task(task_id) for task_id in answers)
    return assemble_arm(
        name=name,
        model_file=f"{name}.gguf",
        model_digest=name,
        suite_hash=tasks_hash(known),
        library_hash="library",
        system_prompt="Write TypeScript.",
        options=GenerationOptions(),
        results=tuple(make_result(task, answers[task.id]) for task in known),
    )
