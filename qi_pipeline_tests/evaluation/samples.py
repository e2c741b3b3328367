"""Tasks, verdicts and arms small enough to read, for the tests of this folder."""

from collections.abc import Mapping, Sequence

from qi_pipeline.evaluation.answers import extract_code
from qi_pipeline.evaluation.arms import assemble_arm
from qi_pipeline.evaluation.records import (
    Answer,
    ArmResult,
    Attempt,
    GenerationOptions,
    TaskResult,
    TestResult,
    Verification,
)
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


def test_result_of(code: str) -> TestResult:
    """Test the sample modules above the way the real sandbox would."""
    if "shelfSlot" not in code:
        return TestResult(
            status="failed", assertions=0, failures=("shelfSlot is not a function",), seconds=0.1
        )
    if "missing" in code:
        return TestResult(
            status="failed", assertions=1, failures=("missing is not defined",), seconds=0.1
        )
    return TestResult(status="passed", assertions=3, failures=(), seconds=0.1)


def make_attempt(code: str, turn: int = 0, sample: int = 0) -> Attempt:
    verdict = verdict_of(code)
    return Attempt(
        turn=turn,
        sample=sample,
        code=code,
        verdict=verdict,
        complies=verdict.complies,
        tokens=40,
    )


def make_result(
    task: Task,
    text: str,
    tokens: int = 50,
    seconds: float = 2.0,
    sample: int = 0,
    attempts: tuple[Attempt, ...] = (),
) -> TaskResult:
    found = extract_code(text)
    verdict = verdict_of(found.code)
    test = test_result_of(found.code)
    return TaskResult(
        task_id=task.id,
        sample=sample,
        category=task.category,
        pattern_type=task.pattern_type,
        prompt=task.prompt,
        retrieved=(),
        answer=Answer(
            task_id=task.id,
            sample=sample,
            answer=text,
            tokens=tokens,
            prompt_tokens=90,
            seconds=seconds,
            latency_seconds=seconds,
            first_token_seconds=0.5,
            finish_reason="stop",
            slots=1,
        ),
        code=found.code,
        how=found.how,
        imports_added=(),
        verdict=verdict,
        test=test,
        score=score_answer(task, found.code, verdict, test, ("value", "error")),
        attempts=attempts,
    )


def make_arm(
    name: str,
    answers: Mapping[str, str | Sequence[str]],
    tasks: tuple[Task, ...] = (),
    verification: Verification | None = None,
) -> ArmResult:
    """Return the arm that answered each task id with the given text, or with several samples."""
    known = tasks or tuple(make_task(task_id) for task_id in answers)
    return arm_of(
        name,
        known,
        tuple(
            make_result(task, text, sample=sample)
            for task in known
            for sample, text in enumerate(_samples(answers[task.id]))
        ),
        verification=verification,
    )


def _samples(answers: str | Sequence[str]) -> Sequence[str]:
    return (answers,) if isinstance(answers, str) else answers


def arm_of(
    name: str,
    tasks: Sequence[Task],
    results: tuple[TaskResult, ...],
    *,
    verification: Verification | None = None,
    retrieved: int = 0,
) -> ArmResult:
    """Return the arm of a model that has no file."""
    return assemble_arm(
        name=name,
        model=f"{name}.gguf",
        model_hash=name,
        engine="llama.cpp 0.3.36",
        tasks_hash=tasks_hash(tasks),
        library_hash="library",
        system_prompt="Write TypeScript.",
        options=GenerationOptions(),
        retrieved=retrieved,
        verification=verification,
        results=results,
    )
