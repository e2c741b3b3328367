"""Whether an exported GGUF may stand for the adapter that it was made from.

Flows in: both, some tasks, the arm that the GGUF was measured in. Flows out: a `ParityReport`. The
adapter runs in `parity_process`, a process of its own with torch. Four things can come apart: the
chat template, the tokens that end an answer, the weights (by conversion and quantization), and with
them the scores.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.arms import totals
from qi_pipeline.evaluation.judge import Judge, Submission
from qi_pipeline.evaluation.records import (
    Answer,
    ArmResult,
    FinishReason,
    Message,
    ParityReport,
    TaskResult,
    TaskScore,
)
from qi_pipeline.evaluation.statistics import compare_pairs
from qi_pipeline.evaluation.tasks import Task
from qi_pipeline.processes import OPENMP_WAITING
from qi_pipeline.settings import PROJECT_ROOT

PROBES: Final = 16
"""Tasks that adapter and file are compared on."""
SIGNIFICANCE: Final = 0.05
_GOLDEN_RATIO: Final = 0.618034


@dataclass(frozen=True)
class Allowed:
    """What a quantization may cost, in nats per token of the references."""

    likelihood: float
    """Difference of the means."""
    token: float
    """Mean of the tokens' absolute differences."""


LIKELIHOOD_ALLOWED: Final[Mapping[str, Allowed]] = {
    "f16": Allowed(0.005, 0.06),
    "q8_0": Allowed(0.03, 0.12),
    "q4_k_m": Allowed(0.15, 0.32),
}
"""Measured on 24 references (5578 tokens) with SmolLM2-135M, its base and four adapters:

    python -m benchmarks.parity BASE [ADAPTER …]

|                                     | mean             | mean of absolute differences    |
|-------------------------------------|------------------|---------------------------------|
| own f16                             | at most 0.0001   | at most 0.0020                  |
| own q8_0                            | 0.0007 to 0.0092 | 0.045 to 0.062                  |
| own q4_k_m                          | 0.036 to 0.071   | 0.20 to 0.26                    |
| the base's q8_0 after 4 steps       | 0.106            | 0.19 (its q4_k_m 0.31)          |
| the base's q8_0 after 62 to 85      | 0.18 to 0.47     | 0.73 to 0.86                    |
| another adapter's q8_0              | -0.36 to 0.38    | at least 0.31 (q4_k_m 0.38)     |

The means alone tell whether something was lost, not whose file it is: of two adapters trained on
different samples one's file was 0.003 better than the other itself. The absolute differences do
tell. Allowed is of the means two to three times what q8_0 and q4_k_m cost, of the differences twice
what q8_0 costs and a quarter more than q4_k_m. Large models are merged in bfloat16, which alone
moves a token's likelihood by 0.033: hence what f16 is allowed.
"""


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
    finish_reason: FinishReason


class ParityFindings(BaseModel):
    """What the process found."""

    model_config = ConfigDict(frozen=True)

    template_differs: tuple[str, ...]
    """Probes that the two render to different tokens."""
    stops_missing: tuple[str, ...]
    """Tokens that end the adapter's answers and not the file's."""
    stops_added: tuple[str, ...]
    """Tokens that the file declares to end its answers and that do not end the adapter's."""
    negative_log_likelihood_adapter: float
    """Mean nats per token of the references."""
    negative_log_likelihood_gguf: float
    token_difference: float
    """Mean absolute difference of a token's log likelihood, in nats."""
    tokens: int
    """Of all references."""
    answers: tuple[AdapterAnswer, ...]


def choose_probes(tasks: Sequence[Task], count: int = PROBES) -> tuple[Task, ...]:
    """Return up to `count` tasks, spread evenly over the suite, the same ones every time.

    A suite is sorted by pattern type and category; steps of one length would fall on the same
    categories again and again. So each of `count` equal stretches gives the task at another place
    of it: multiples of the golden ratio fill the range without a rhythm.
    """
    if len(tasks) <= count:
        return tuple(tasks)
    ends = [stretch * len(tasks) // count for stretch in range(count + 1)]
    return tuple(
        tasks[start + int((end - start) * (stretch * _GOLDEN_RATIO % 1))]
        for stretch, (start, end) in enumerate(pairwise(ends))
    )


def make_probe(task: Task, system_prompt: str) -> Probe:
    """Return the conversation that a plain arm has about the task, and how it should go on."""
    system = [Message(role="system", content=system_prompt)] if system_prompt else []
    return Probe(
        id=task.id,
        messages=(*system, Message(role="user", content=task.prompt)),
        reference=f"```typescript\n{task.reference.strip()}\n```",
    )


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

    Raises QiPipelineError for an unknown quantization, a missing or broken model, and when the
    process fails; SandboxRefusedError when this machine refuses to run untrusted code safely.
    """
    if quantization not in LIKELIHOOD_ALLOWED:
        raise QiPipelineError(
            f"what {quantization!r} may cost was never measured; export as one of "
            f"{', '.join(LIKELIHOOD_ALLOWED)}"
        )
    chosen = choose_probes(tasks)
    findings = compare_models(
        ParitySpec(
            base_model_dir=base_model_dir,
            adapter_dir=adapter_dir,
            gguf=gguf,
            probes=tuple(make_probe(task, arm.system_prompt) for task in chosen),
            max_tokens=arm.options.max_tokens,
            threads=threads,
        )
    )
    of_file = {result.task_id: result for result in arm.first_samples}
    return judge_parity(
        findings,
        _score(chosen, findings.answers, judge),
        [of_file[task.id] for task in chosen],
        LIKELIHOOD_ALLOWED[quantization],
    )


def compare_models(spec: ParitySpec) -> ParityFindings:
    """Return what a process of its own finds out about adapter and file.

    Raises QiPipelineError, naming the file, when a model is missing or broken or the process dies.
    """
    _require_models(spec)
    with tempfile.TemporaryDirectory(prefix="qi-parity-") as folder:
        specification, result = Path(folder) / "spec.json", Path(folder) / "findings.json"
        specification.write_text(_absolute(spec).model_dump_json(), encoding="utf-8")
        command = (sys.executable, "-m", "qi_pipeline.evaluation.parity_process")
        finished = subprocess.run(
            [*command, str(specification), str(result)],
            cwd=PROJECT_ROOT,
            env={**OPENMP_WAITING, **os.environ},
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if finished.returncode != 0:
            tail = "\n".join(finished.stderr.strip().splitlines()[-12:])
            raise QiPipelineError(
                f"comparing {spec.gguf} with its adapter ended with status "
                f"{finished.returncode}: {tail or 'it was killed; is there enough memory?'}"
            )
        return ParityFindings.model_validate_json(result.read_bytes())


def _require_models(spec: ParitySpec) -> None:
    if not (spec.base_model_dir / "config.json").is_file():
        raise QiPipelineError(
            f"{spec.base_model_dir} is not a Hugging Face model folder; materialize the base model "
            "again"
        )
    if spec.adapter_dir is not None and not (spec.adapter_dir / "adapter_config.json").is_file():
        raise QiPipelineError(f"{spec.adapter_dir} is not an adapter directory; train it again")
    if not spec.gguf.is_file():
        raise QiPipelineError(f"{spec.gguf} is not there; export it again")


def _absolute(spec: ParitySpec) -> ParitySpec:
    adapter = spec.adapter_dir.resolve() if spec.adapter_dir is not None else None
    return spec.model_copy(
        update={
            "base_model_dir": spec.base_model_dir.resolve(),
            "adapter_dir": adapter,
            "gguf": spec.gguf.resolve(),
        }
    )


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
        finish_reason=answer.finish_reason,
        slots=1,
    )


def judge_parity(
    findings: ParityFindings,
    of_adapter: Sequence[TaskResult],
    of_file: Sequence[TaskResult],
    allowed: Allowed,
) -> ParityReport:
    """Say whether the file may stand for its adapter.

    It may when both render the same prompts, end at the same tokens, find the references equally
    likely up to what is allowed, on average and token by token, and the file's answers do not pass,
    compile or adhere significantly less often (one-sided exact McNemar).
    """
    lost = findings.negative_log_likelihood_gguf - findings.negative_log_likelihood_adapter
    problems = []
    if findings.template_differs:
        problems.append(f"{len(findings.template_differs)} prompts are rendered differently")
    if findings.stops_missing:
        problems.append(f"the file does not stop at {_listed(findings.stops_missing)}")
    if findings.stops_added:
        problems.append(f"the file stops at {_listed(findings.stops_added)}")
    if not abs(lost) <= allowed.likelihood:
        problems.append(
            f"the references cost the file {lost:+.4f} nats a token, which is not within "
            f"{allowed.likelihood}"
        )
    if not findings.token_difference <= allowed.token:
        problems.append(
            f"the likelihoods of single tokens are {findings.token_difference:.4f} nats apart, "
            f"which is more than {allowed.token}"
        )
    problems += _score_problems(of_adapter, of_file)
    reason = "; ".join(problems) or (
        f"same prompts and stop tokens on {len(of_file)} tasks, {lost:+.4f} nats a token "
        f"({findings.token_difference:.4f} apart), scores not significantly lower"
    )
    return ParityReport(
        template_equal=not findings.template_differs,
        stop_tokens_equal=not (findings.stops_missing or findings.stops_added),
        negative_log_likelihood_adapter=findings.negative_log_likelihood_adapter,
        negative_log_likelihood_gguf=findings.negative_log_likelihood_gguf,
        tokens=findings.tokens,
        difference_allowed=allowed.likelihood,
        token_difference=findings.token_difference,
        token_difference_allowed=allowed.token,
        adapter=totals(of_adapter),
        gguf=totals(of_file),
        tasks=len(of_file),
        holds=not problems,
        reason=reason,
    )


def _listed(texts: Sequence[str]) -> str:
    return ", ".join(map(repr, texts))


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
