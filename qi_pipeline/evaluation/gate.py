"""Whether a candidate model may replace the one in production.

Flows in: the evidence, all of it measured: the candidate's and the incumbent's arms on the task
suite and on general TypeScript, the parity of the exported file with its adapter, and what the
instrument made of answers whose outcome is known. Flows out: a `Decision`, line by line, each with
its figures. Moving the release pointer does not belong here.
"""

import math
from collections.abc import Mapping
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.comparison import Comparison, compare_arms, paired_results
from qi_pipeline.evaluation.records import ArmResult, ParityReport
from qi_pipeline.evaluation.selftest import SelfTest
from qi_pipeline.evaluation.statistics import (
    FEWEST_TASKS,
    Interval,
    PairedCounts,
    Proportion,
    compare_pairs,
    holm,
)

SIGNIFICANCE: Final = 0.05
"""One-sided: a gate asks only whether the candidate is worse."""

LineName = Literal["headline", "categories", "regression", "parity", "references"]


class GateEvidence(BaseModel):
    """What a decision rests on; what is None was not measured and fails its line."""

    model_config = ConfigDict(frozen=True)

    candidate: ArmResult
    incumbent: ArmResult
    candidate_general: ArmResult | None = None
    """The candidate on general TypeScript, asked in the same way."""
    incumbent_general: ArmResult | None = None
    parity: ParityReport | None = None
    """Of the candidate's exported file with its adapter."""
    self_test: SelfTest | None = None
    """Of the instrument that measured the arms."""


class GateLine(BaseModel):
    """One condition of a release, and what was measured of it."""

    model_config = ConfigDict(frozen=True)

    name: LineName
    passed: bool
    figures: str
    """What the line rests on, for people."""


class Decision(BaseModel):
    """What the gate decides, and why."""

    model_config = ConfigDict(frozen=True)

    release: bool
    reason: str
    """One sentence; of a refusal it names every line that failed."""
    lines: tuple[GateLine, ...]


def decide_release(evidence: GateEvidence) -> Decision:
    """Let the candidate replace the incumbent only when every line holds.

    - headline: the lower end of the 95% interval of the rate of answers that compile, adhere and
      pass their tests is not below the incumbent's. Where both are equal, as when neither passes
      anything, neither compiling nor adhering nor passing tests falls significantly, and, unless
      the three together speak for the candidate, its BLEU is not clearly lower: the whole interval
      of the difference lies below 0 (Koehn, EMNLP 2004).
    - categories: in none it passes significantly fewer tasks. With the 32 tasks of a category of
      the bundled suite and four categories that takes 7 tasks lost and none won.
    - regression: on general TypeScript it does not compile and pass tests significantly less often.
    - parity: the exported file renders prompts, stops and predicts like its adapter.
    - references: every reference passes, and the instrument caught what is wrong on purpose
      (`SelfTest.holds`).

    Significantly fewer means a one-sided p-value below 0.05 in McNemar's exact test, adjusted by
    Holm where several are asked at once. What was not measured, or on too few tasks, fails.
    The incumbent's own file is never released over itself.

    Raises QiPipelineError when the arms were not measured alike.
    """
    candidate, incumbent = evidence.candidate, evidence.incumbent
    _require_same_measure(candidate, incumbent)
    comparison = compare_arms(candidate, incumbent)
    lines = (
        _headline(candidate, incumbent, comparison),
        _categories(comparison),
        _regression(evidence),
        _parity(evidence.parity),
        _references(evidence.self_test),
    )
    if candidate.model_hash == incumbent.model_hash:
        return Decision(
            release=False, reason="The candidate is the model already in place.", lines=lines
        )
    failed = [line for line in lines if not line.passed]
    if failed:
        told = "; ".join(f"{line.name}: {line.figures}" for line in failed)
        return Decision(release=False, reason=f"Refused by {told}.", lines=lines)
    return Decision(
        release=True,
        reason=f"All {len(lines)} lines hold; {lines[0].name}: {lines[0].figures}.",
        lines=lines,
    )


def _require_same_measure(candidate: ArmResult, incumbent: ArmResult) -> None:
    pairs = {
        "task suites": (candidate.tasks_hash, incumbent.tasks_hash),
        "checker libraries": (candidate.library_hash, incumbent.library_hash),
        "system prompts": (candidate.system_prompt, incumbent.system_prompt),
        "generation options": (candidate.options.decoding(), incumbent.options.decoding()),
        "retrieval": (candidate.retrieved, incumbent.retrieved),
        "verification": (candidate.verification, incumbent.verification),
    }
    different = [name for name, (new, old) in pairs.items() if new != old]
    if different:
        raise QiPipelineError(
            f"{candidate.name!r} and {incumbent.name!r} were measured with different "
            f"{' and '.join(different)}; evaluate both again, together"
        )


def _headline(candidate: ArmResult, incumbent: ArmResult, comparison: Comparison) -> GateLine:
    new, old = candidate.overall.passes, incumbent.overall.passes
    figures = (
        f"{_counted(new)} against {_counted(old)} pass, {_won_and_lost(comparison.passes.pairs)}"
    )
    if math.isnan(new.low) or math.isnan(old.low):
        return _line("headline", passed=False, figures=f"{figures}; {_too_few(comparison.n)}")
    if new.low < old.low:
        return _line("headline", passed=False, figures=f"{figures}; the lower bound fell")
    if new.low > old.low:
        return _line("headline", passed=True, figures=figures)
    return _tie(figures, comparison)


def _tie(figures: str, comparison: Comparison) -> GateLine:
    """Decide between arms that pass equally many tasks."""
    parts = {
        "compiles": comparison.compiles.pairs,
        "adheres": comparison.adheres.pairs,
        "tests": comparison.tests.pairs,
    }
    fallen = _fallen(parts)
    balance = sum(pairs.won - pairs.lost for pairs in parts.values())
    told = ", ".join(f"{name} {_won_and_lost(pairs)}" for name, pairs in parts.items())
    figures = f"{figures}; in parts: {told}; BLEU {_signed(comparison.bleu)}"
    if fallen:
        return _line(
            "headline", passed=False, figures=f"{figures}; {', '.join(fallen)} fell significantly"
        )
    if balance <= 0 and comparison.bleu.high < 0:
        return _line("headline", passed=False, figures=f"{figures}; BLEU is clearly lower")
    return _line("headline", passed=True, figures=figures)


def _categories(comparison: Comparison) -> GateLine:
    counts: dict[str, PairedCounts] = dict(comparison.per_category.items())
    adjusted = _adjusted(counts)
    figures = ", ".join(
        f"{name} {_won_and_lost(counts[name])} ({_p_value(p, counts[name].n)})"
        for name, p in adjusted.items()
    )
    tested = any(not math.isnan(p) for p in adjusted.values())
    fallen = _fallen(counts)
    if fallen:
        figures += f"; {', '.join(fallen)} fell significantly"
    if not tested:
        figures += "; no category has tasks enough to tell"
    return _line("categories", passed=tested and not fallen, figures=figures)


def _regression(evidence: GateEvidence) -> GateLine:
    new, old = evidence.candidate_general, evidence.incumbent_general
    if new is None or old is None:
        return _line("regression", passed=False, figures="general TypeScript was not measured")
    _require_same_measure(new, old)
    for general, arm in ((new, evidence.candidate), (old, evidence.incumbent)):
        if general.model_hash != arm.model_hash:
            raise QiPipelineError(
                f"{general.name!r} answered the general tasks with another model than {arm.name!r} "
                "the suite; evaluate both again, together"
            )
    outcomes = [
        (
            ours.score.compiles and ours.score.tests_passed,
            theirs.score.compiles and theirs.score.tests_passed,
        )
        for ours, theirs in paired_results(new, old)
    ]
    pairs = compare_pairs([ours for ours, _ in outcomes], [theirs for _, theirs in outcomes])
    counts = f"{sum(ours for ours, _ in outcomes)} against {sum(other for _, other in outcomes)}"
    return _line(
        "regression",
        passed=pairs.p_fewer >= SIGNIFICANCE,  # not a number is not enough
        figures=(
            f"{counts} of {pairs.n} general tasks compile and pass their tests, "
            f"{_won_and_lost(pairs)} ({_p_value(pairs.p_fewer, pairs.n)})"
        ),
    )


def _parity(parity: ParityReport | None) -> GateLine:
    if parity is None:
        return _line(
            "parity", passed=False, figures="the file was not compared with the adapter it is from"
        )
    lost = parity.negative_log_likelihood_gguf - parity.negative_log_likelihood_adapter
    conditions = {
        "chat templates differ": parity.template_equal,
        "stop tokens differ": parity.stop_tokens_equal,
        "too much is lost": parity.tokens > 0 and lost <= parity.difference_allowed,
        f"the comparison says no: {parity.reason}": parity.holds,
    }
    problems = [problem for problem, holds in conditions.items() if not holds]
    figures = (
        f"{lost:+.4f} nats a token over {parity.tokens} tokens (at most "
        f"{parity.difference_allowed:+.4f}), {parity.gguf.passes.count} against the adapter's "
        f"{parity.adapter.passes.count} of {parity.tasks} tasks pass"
    )
    return _line("parity", passed=not problems, figures="; ".join([figures, *problems]))


def _references(self_test: SelfTest | None) -> GateLine:
    if self_test is None:
        return _line("references", passed=False, figures="the instrument was not tested")
    return _line(
        "references",
        passed=self_test.references > 0 and self_test.holds,
        figures=self_test.describe(),
    )


def _line(name: LineName, *, passed: bool, figures: str) -> GateLine:
    return GateLine(name=name, passed=passed, figures=figures)


def _adjusted(counts: Mapping[str, PairedCounts]) -> dict[str, float]:
    return holm({name: pairs.p_fewer for name, pairs in counts.items()})


def _fallen(counts: Mapping[str, PairedCounts]) -> list[str]:
    return [name for name, p in _adjusted(counts).items() if p < SIGNIFICANCE]


def _counted(rate: Proportion) -> str:
    if math.isnan(rate.low):
        return f"{rate.count} of {rate.n}"
    return f"{rate.count} of {rate.n} (at least {100 * rate.low:.1f}%)"


def _won_and_lost(pairs: PairedCounts) -> str:
    return f"won {pairs.won}, lost {pairs.lost}"


def _p_value(p: float, n: int) -> str:
    return _too_few(n) if math.isnan(p) else f"p {p:.3f}"


def _too_few(n: int) -> str:
    return f"{n} tasks are too few, {FEWEST_TASKS} are needed"


def _signed(interval: Interval) -> str:
    if math.isnan(interval.low):
        return f"{interval.value:+.1f} without an interval"
    return f"{interval.value:+.1f}, 95% interval {interval.low:+.1f} to {interval.high:+.1f}"
