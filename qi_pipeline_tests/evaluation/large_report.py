"""A report as large and as varied as a real one: 128 tasks, five arms, everything else filled in.

What models would write is made from the bundled references by a seeded draw; the verdicts are as
the checker would word them.
"""

import random
from collections.abc import Sequence
from functools import cache

from qi_pipeline.evaluation.records import (
    Answer,
    ArmResult,
    Attempt,
    ContaminationReport,
    Overlap,
    PastEvaluation,
    RepositoryArm,
    RepositoryResult,
    TaskResult,
    TaskScore,
    TestResult,
    Verification,
)
from qi_pipeline.evaluation.report import (
    EvaluationContext,
    EvaluationReport,
    evaluation_report,
)
from qi_pipeline.evaluation.scoring import score_answer
from qi_pipeline.evaluation.statistics import proportion
from qi_pipeline.evaluation.tasks import RequiredApi, Task, bundled_suite, load_tasks
from qi_pipeline.extraction.pattern import CATEGORIES, PATTERN_TYPES
from qi_pipeline.validation.verdict import Diagnostic, RuleViolation, Verdict
from qi_pipeline_tests.evaluation.samples import arm_of

TASKS = 128
GENERAL_TASKS = 20
ARMS = {
    "base": 0.03,
    "base + retrieval": 0.2,
    "tuned": 0.42,
    "tuned + retrieval": 0.55,
    "tuned + retrieval + verification": 0.7,
}
"""Arm to the share of its answers that are right."""
_BUNDLED = 24
"""Tasks to draw on: more take longer to score and show nothing new."""
_WAYS = ("any", "missing", "throws", "member", "prose", "loop")
_PROSE = "Here is a module that does what you asked for. It uses the Result type throughout.\n\n"
_REMARK = "\n\nThe function validates its input first and returns a failure when it is not valid.\n"


def large_suite(count: int = TASKS) -> tuple[Task, ...]:
    """Return the bundled tasks, again and again under other ids, over all groups."""
    bundled = load_tasks(bundled_suite())[:_BUNDLED]
    return tuple(
        bundled[index % len(bundled)].model_copy(
            update={
                "id": f"task-{index:03}-{bundled[index % len(bundled)].entry_point}",
                "category": CATEGORIES[index // len(PATTERN_TYPES) % len(CATEGORIES)],
                "pattern_type": PATTERN_TYPES[index % len(PATTERN_TYPES)],
            }
        )
        for index in range(count)
    )


def general_suite(count: int = GENERAL_TASKS) -> tuple[Task, ...]:
    """Return tasks in general TypeScript."""
    return tuple(
        Task(
            id=f"general-{index:02}",
            category=CATEGORIES[index % len(CATEGORIES)],
            pattern_type=None,
            prompt=f"Export a function `step{index}(value: number): number` that adds {index}.",
            entry_point=f"step{index}",
            test=f'import {{ step{index} }} from "./solution";\n',
            required_api=RequiredApi(),
            forbidden=(),
            reference=f"export const step{index} = (value: number): number => value + {index};\n",
        )
        for index in range(count)
    )


def large_report(tasks: Sequence[Task] | None = None) -> EvaluationReport:
    """Return the whole report."""
    suite = tuple(tasks or large_suite())
    general = general_suite()
    context = EvaluationContext(
        title="How well the model writes QiCore",
        library="QiCore at 0123456789ab (feat: add a retry policy to the cache)",
        suite="qicore",
        tasks=suite,
        general_tasks=general,
        references_passed=len(suite),
        measured_at="2026-11-22T19:30:00+00:00",
    )
    return evaluation_report(
        [_arm(name, share, suite) for name, share in ARMS.items()],
        context,
        regression=[_arm(name, 0.9 - share / 3, general) for name, share in ARMS.items()],
        repository=_repository(),
        contamination=ContaminationReport(
            tasks=len(suite),
            samples=1843,
            removed=61,
            remaining=0,
            overlaps=tuple(
                Overlap(
                    task_id=suite[index % len(suite)].id,
                    sample=f"packages/core/src/cache/memory.ts#create/{index}",
                    jaccard=0.7 + index / 250,
                    shared="const store = new Map < string , number > ( ) ;",
                )
                for index in range(61)
            ),
        ),
        past=_past(),
    )


def _arm(name: str, share: float, tasks: Sequence[Task]) -> ArmResult:
    draw = random.Random(name)  # noqa: S311 - made-up answers, not secrets
    verified = name.endswith("verification")
    return arm_of(
        name,
        tasks,
        tuple(_result(task, share, draw, retrieved="retrieval" in name) for task in tasks)
        if not verified
        else tuple(_verified(task, share, draw) for task in tasks),
        verification=Verification() if verified else None,
        retrieved=3 if "retrieval" in name else 0,
    )


def _verified(task: Task, share: float, draw: random.Random) -> TaskResult:
    result = _result(task, share, draw, retrieved=True)
    tried = [_result(task, 0.3, draw, retrieved=True) for _ in range(3)]
    attempts = tuple(
        Attempt(
            turn=0,
            sample=sample,
            code=one.code,
            verdict=one.verdict,
            complies=one.verdict.complies,
            tokens=one.answer.tokens,
        )
        for sample, one in enumerate((*tried, result))
    )
    repaired = () if result.verdict.complies else (attempts[0].model_copy(update={"turn": 1}),)
    return result.model_copy(update={"attempts": (*attempts, *repaired)})


def _result(task: Task, share: float, draw: random.Random, *, retrieved: bool) -> TaskResult:
    way = "right" if draw.random() < share else draw.choice(_WAYS)
    # Neither its id nor its category changes what is written for a task, and its score.
    code, verdict, test, score = _scored(
        task.model_copy(update={"id": "any", "category": "basic"}), way
    )
    around = way != "prose" and draw.random() < 0.5
    text = f"```typescript\n{code}```" if way != "prose" else code
    text = f"{_PROSE}{text}{_REMARK}" if around else text
    tokens = len(text) // 4
    return TaskResult(
        task_id=task.id,
        sample=0,
        category=task.category,
        pattern_type=task.pattern_type,
        prompt=task.prompt,
        retrieved=tuple(f"pattern-{draw.randrange(900):03}" for _ in range(3)) if retrieved else (),
        answer=Answer(
            task_id=task.id,
            sample=0,
            answer=text,
            tokens=tokens,
            prompt_tokens=len(task.prompt) // 4,
            seconds=tokens / draw.uniform(150, 220),
            latency_seconds=tokens / 12,
            first_token_seconds=draw.uniform(0.8, 3.2),
            finish_reason="length" if way == "loop" else "stop",
            slots=16,
        ),
        code=code,
        how="none" if way == "prose" else "fence",
        imports_added=(),
        verdict=verdict,
        test=test,
        score=score,
    )


@cache
def _scored(task: Task, way: str) -> tuple[str, Verdict, TestResult, TaskScore]:
    code, verdict, test = _written(task, way)
    return code, verdict, test, score_answer(task, code, verdict, test, ("value", "error"))


def _written(task: Task, way: str) -> tuple[str, Verdict, TestResult]:
    """Return what a model wrote, and what the checker and the sandbox say of it."""
    lines = task.reference.splitlines()
    last = len(lines)
    symbols = tuple(f"@qi/base:{name}" for name in (*task.required_api.all, *task.required_api.any))
    diagnostics: tuple[Diagnostic, ...] = ()
    rules: tuple[RuleViolation, ...] = ()
    failure = ""
    if way == "right":
        lines.insert(2, "// validates, then answers with a Result")
    elif way == "any":
        lines = [line.replace("unknown", "any") for line in lines]
        lines.append("export const anything = (value: any): any => value;")
        rules = (
            RuleViolation(
                id="R12",
                line=last + 1,
                message="`any` switches the compiler off; name the type, or take `unknown`",
            ),
        )
    elif way == "missing":
        lines = [line for line in lines if not line.startswith("import")]
        diagnostics = tuple(
            Diagnostic(code=2304, line=line, column=3, message=f"Cannot find name '{name}'.")
            for line, name in enumerate(("success", "failure", "validationError"), start=4)
        )
        failure = "ReferenceError: failure is not defined"
    elif way == "throws":
        lines.insert(last - 1, '  if (!Number.isFinite(1)) throw new Error("not finite");')
        rules = (
            RuleViolation(
                id="R7", line=last, message="`throw` leaves the Result world; return `failure(…)`"
            ),
        )
        failure = "Expected values to be strictly deep-equal:\n+ actual - expected"
    elif way == "member":
        lines.append(f"export const value = {task.entry_point}.unwrap();")
        diagnostics = (
            Diagnostic(
                code=2339,
                line=last + 1,
                column=40,
                message="Property 'unwrap' does not exist on type 'Result<number>'.",
            ),
        )
        failure = f"TypeError: {task.entry_point}.unwrap is not a function"
    elif way == "loop":
        lines = [*lines[:3], *(f"  const value{index} = value{index};" for index in range(45))]
        diagnostics = (Diagnostic(code=1005, line=48, column=1, message="'}' expected."),)
        failure = "the module is no TypeScript"
    else:
        lines = ["I am sorry, but I do not know this library. You could look at its documentation."]
        diagnostics = (Diagnostic(code=1434, line=1, column=1, message="Unexpected keyword."),)
        failure = "the module is no TypeScript"
    status = "refused" if way in {"loop", "prose"} else "failed" if failure else "passed"
    return (
        "\n".join(lines) + "\n",
        Verdict(
            compiles=not diagnostics, diagnostics=diagnostics, rules=rules, symbols=tuple(symbols)
        ),
        TestResult.model_validate(
            {
                "status": status,
                "assertions": 0 if failure else 7,
                "failures": (failure,) if failure else (),
                "seconds": 0.2,
            }
        ),
    )


def _repository() -> list[RepositoryArm]:
    draw = random.Random("repository")  # noqa: S311 - made-up answers
    arms = []
    for name in ("base", "tuned"):
        results = tuple(
            RepositoryResult(
                symbol=f"@qi/base:function{index}",
                file="packages/base/src/result.ts",
                prompt=f"Write the body of function{index}.",
                answer=Answer(
                    task_id=f"@qi/base:function{index}",
                    sample=0,
                    answer="return result;",
                    tokens=40,
                    prompt_tokens=300,
                    seconds=0.3,
                    latency_seconds=2,
                    first_token_seconds=1,
                    finish_reason="stop",
                    slots=16,
                ),
                code=f"export const function{index} = <T>(result: T): T => result;\n",
                how="fence",
                passed=(passed := draw.random() < (0.1 if name == "base" else 0.4)),
                reason=None if passed else "result.test.ts: 3 of 14 tests fail",
            )
            for index in range(30)
        )
        passing = sum(result.passed for result in results)
        arms.append(RepositoryArm(name=name, passed=proportion(passing, 30), results=results))
    return arms


def _past() -> tuple[PastEvaluation, ...]:
    draw = random.Random("past")  # noqa: S311 - made-up evaluations
    return tuple(
        PastEvaluation(
            measured_at=f"2026-11-{day:02}T03:00:00+00:00",
            commit=f"{day:02}" * 20,
            arm=name,
            model_hash=f"{day:02}" * 32,
            passes=proportion(min(int(TASKS * share * day / 22) + draw.randrange(6), TASKS), TASKS),
            compiles=proportion(70 + day, TASKS),
            adheres=proportion(60 + day, TASKS),
            tests=proportion(50 + day, TASKS),
            bleu=20 + day,
        )
        for day in range(8, 22)
        for name, share in ARMS.items()
    )
