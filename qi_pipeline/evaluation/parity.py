"""Whether an exported GGUF may stand for the adapter that it was made from.

Flows in: both, some tasks, the arm that the GGUF was measured in. Flows out: a `ParityReport`. The
adapter runs in `parity_process`, a process of its own with torch. Four things can come apart: the
chat template, the tokens that end an answer, the weights (by conversion and quantization), and with
them the scores.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.arms import totals
from qi_pipeline.evaluation.judge import Judge, Submission
from qi_pipeline.evaluation.records import (
    Answer,
    ArmResult,
    Message,
    ParityReport,
    TaskResult,
    TaskScore,
)
from qi_pipeline.evaluation.statistics import compare_pairs
from qi_pipeline.evaluation.tasks import Task
from qi_pipeline.settings import PROJECT_ROOT

PROBES: Final = 16
"""Tasks that adapter and file are compared on."""
SIGNIFICANCE: Final = 0.05
LIKELIHOOD_ALLOWED: Final[Mapping[str, float]] = {"f16": 0.01, "q8_0": 0.03, "q4_k_m": 0.15}
"""Nats per token of the references that a quantization may cost; see docs/measurements.md."""


class Probe(BaseModel):
    """One conversation and the answer whose likelihood is measured."""

    model_config = ConfigDict(frozen=True)

    id: str
    messages: tuple[Message, ...]
    reference: str


class ParitySpec(BaseModel):
    """What the process is told."""

    model_config = ConfigDict(frozen=True)

    base_model_dir: Path
    adapter_dir: Path | None
    gguf: Path
    probes: tuple[Probe, ...]
    max_tokens: int = Field(gt=0)
    """Of one answer."""
    threads: int | None


class AdapterAnswer(BaseModel):
    """What the adapter wrote, greedily."""

    model_config = ConfigDict(frozen=True)

    id: str
    answer: str
    tokens: int
    stopped: bool
    """False when it was cut off."""


class ParityFindings(BaseModel):
    """What the process found."""

    model_config = ConfigDict(frozen=True)

    template_differs: tuple[str, ...]
    """Probes that the two render to different tokens."""
    stops_missing: tuple[str, ...]
    """Tokens that end the adapter's answers and not the file's."""
    negative_log_likelihood_adapter: float
    """Mean nats per token of the references."""
    negative_log_likelihood_gguf: float
    tokens: int
    """Of all references."""
    answers: tuple[AdapterAnswer, ...]


def choose_probes(tasks: Sequence[Task], count: int = PROBES) -> tuple[Task, ...]:
    """Return up to `count` tasks, spread evenly over the suite, the same ones every time."""
    if len(tasks) <= count:
        return tuple(tasks)
    return tuple(tasks[place * len(tasks) // count] for place in range(count))


def check_parity(
    *,
    base_model_dir: Path,
    adapter_dir: Path | None,
    gguf: Path,
    quantization: str,
    arm: ArmResult,
    tasks: Sequence[Task],
    judge: Judge,
    threads: int | None,
) -> ParityReport:
    """Compare a GGUF with its adapter on some of the tasks that `arm` answered.

    arm: the GGUF asked plainly: no retrieval, no verification, greedy.

    Raises QiPipelineError when the process fails, and SandboxRefusedError when this machine refuses
    to run untrusted code safely.
    """
    chosen = choose_probes(tasks)
    system = [Message(role="system", content=arm.system_prompt)] if arm.system_prompt else []
    probes = tuple(
        Probe(
            id=task.id,
            messages=(*system, Message(role="user", content=task.prompt)),
            reference=f"```typescript\n{task.reference.strip()}\n```",
        )
        for task in chosen
    )
    findings = _run_process(
        ParitySpec(
            base_model_dir=base_model_dir.resolve(),
            adapter_dir=adapter_dir.resolve() if adapter_dir is not None else None,
            gguf=gguf.resolve(),
            probes=probes,
            max_tokens=arm.options.max_tokens,
            threads=threads,
        )
    )
    of_file = {result.task_id: result for result in arm.first_samples}
    of_adapter = _score(chosen, findings.answers, judge)
    return judge_parity(
        findings,
        of_adapter,
        [of_file[task.id] for task in chosen],
        LIKELIHOOD_ALLOWED[quantization],
    )


def _run_process(spec: ParitySpec) -> ParityFindings:
    with tempfile.TemporaryDirectory(prefix="qi-parity-") as folder:
        specification, result = Path(folder) / "spec.json", Path(folder) / "findings.json"
        specification.write_text(spec.model_dump_json(), encoding="utf-8")
        command = (sys.executable, "-m", "qi_pipeline.evaluation.parity_process")
        finished = subprocess.run(
            [*command, str(specification), str(result)],
            cwd=PROJECT_ROOT,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if finished.returncode != 0:
            tail = "\n".join(finished.stderr.strip().splitlines()[-12:])
            raise QiPipelineError(
                f"comparing {spec.gguf} with its adapter ended with status "
                f"{finished.returncode}: {tail}"
            )
        return ParityFindings.model_validate_json(result.read_bytes())


def _score(
    tasks: Sequence[Task], answers: Sequence[AdapterAnswer], judge: Judge
) -> list[TaskResult]:
    by_id = {answer.id: answer for answer in answers}
    found = [judge.code_of(by_id[task.id].answer) for task in tasks]
    submissions = [Submission(task, code.code) for task, code in zip(tasks, found, strict=True)]
    return [
        TaskResult(
            task_id=task.id,
            sample=0,
            category=task.category,
            pattern_type=task.pattern_type,
            prompt=task.prompt,
            retrieved=(),
            answer=_answer_record(by_id[task.id]),
            code=code.code,
            how=code.how,
            imports_added=code.imports_added,
            verdict=judgement.verdict,
            test=judgement.test,
            score=judgement.score,
        )
        for task, code, judgement in zip(tasks, found, judge.judge(submissions), strict=True)
    ]


def _answer_record(answer: AdapterAnswer) -> Answer:
    return Answer(
        task_id=answer.id,
        sample=0,
        answer=answer.answer,
        tokens=answer.tokens,
        prompt_tokens=0,
        seconds=0.0,
        latency_seconds=0.0,
        first_token_seconds=0.0,
        finish_reason="stop" if answer.stopped else "length",
        slots=1,
    )


def judge_parity(
    findings: ParityFindings,
    of_adapter: Sequence[TaskResult],
    of_file: Sequence[TaskResult],
    allowed: float,
) -> ParityReport:
    """Say whether the file may stand for its adapter.

    It may when both render the same prompts, end at the same tokens, find the references equally
    likely up to `allowed` nats per token, and the file's answers do not pass, compile or adhere
    significantly less often (one-sided exact McNemar).
    """
    lost = findings.negative_log_likelihood_gguf - findings.negative_log_likelihood_adapter
    problems = []
    if findings.template_differs:
        problems.append(f"{len(findings.template_differs)} prompts are rendered differently")
    if findings.stops_missing:
        problems.append(f"the file does not stop at {', '.join(findings.stops_missing)}")
    if not abs(lost) <= allowed:
        problems.append(f"the file finds the references {lost:+.4f} nats a token less likely")
    problems += _score_problems(of_adapter, of_file)
    reason = "; ".join(problems) or (
        f"same prompts and stop tokens on {len(of_file)} tasks, {lost:+.4f} nats a token, "
        "scores not significantly lower"
    )
    return ParityReport(
        template_equal=not findings.template_differs,
        stop_tokens_equal=not findings.stops_missing,
        negative_log_likelihood_adapter=findings.negative_log_likelihood_adapter,
        negative_log_likelihood_gguf=findings.negative_log_likelihood_gguf,
        tokens=findings.tokens,
        difference_allowed=allowed,
        adapter=totals(of_adapter),
        gguf=totals(of_file),
        tasks=len(of_file),
        holds=not problems,
        reason=reason,
    )


_OUTCOMES: Mapping[str, Callable[[TaskScore], bool]] = {
    "pass": lambda score: score.passes,
    "compile": lambda score: score.compiles,
    "adhere": lambda score: score.adheres,
}


def _score_problems(of_adapter: Sequence[TaskResult], of_file: Sequence[TaskResult]) -> list[str]:
    problems = []
    for what, outcome in _OUTCOMES.items():
        counts = compare_pairs(
            [outcome(result.score) for result in of_file],
            [outcome(result.score) for result in of_adapter],
        )
        if counts.p_fewer < SIGNIFICANCE:
            problems.append(
                f"the file's answers {what} less often (won {counts.won}, lost {counts.lost})"
            )
    return problems
