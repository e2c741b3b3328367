"""Whether a candidate model may replace the one in production.

Flows in: the candidate's and the incumbent's `ArmResult` on the same suite. Flows out: a `Decision`
with its reasons in figures. Moving the release pointer does not belong here.
"""

from pydantic import BaseModel, ConfigDict

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.arms import ArmResult
from qi_pipeline.evaluation.scoring import bleu_of_statistics
from qi_pipeline.evaluation.statistics import Interval, bootstrap, compare_pairs


class Decision(BaseModel):
    """What the gate decides, and why."""

    model_config = ConfigDict(frozen=True)

    release: bool
    reason: str
    """One sentence."""
    lines: tuple[str, ...]
    """The figures the decision rests on, one comparison each."""


def decide_release(candidate: ArmResult, incumbent: ArmResult) -> Decision:
    """Let the candidate replace the incumbent only when it measured no worse.

    In order, the first difference decides: how many answers both compile and adhere; how many
    compile plus how many adhere; BLEU, where only a clear loss counts, meaning that the whole 95%
    paired-bootstrap interval of the difference lies below zero (Koehn, EMNLP 2004). Without any
    difference the candidate, which has seen the newer library, is released. The incumbent's own
    file is never released over itself.

    Raises QiPipelineError when the arms were not measured alike.
    """
    _require_same_measure(candidate, incumbent)
    difference = bleu_difference(candidate, incumbent)
    lines = _comparisons(candidate, incumbent, difference)
    if candidate.model_hash == incumbent.model_hash:
        return Decision(
            release=False, reason="The candidate is the model already in place.", lines=lines
        )
    release, reason = _decide(candidate, incumbent, difference)
    return Decision(release=release, reason=reason, lines=lines)


def _decide(candidate: ArmResult, incumbent: ArmResult, bleu: Interval) -> tuple[bool, str]:
    n = candidate.overall.n
    new, old = candidate.overall.both.count, incumbent.overall.both.count
    if new != old:
        verb = "more" if new > old else "fewer"
        return new > old, (
            f"The candidate's answers compile and adhere in {new} of {n} tasks, {verb} than the "
            f"incumbent's {old}."
        )
    new_sum, old_sum = _compile_plus_adhere(candidate), _compile_plus_adhere(incumbent)
    if new_sum != old_sum:
        verb = "more" if new_sum > old_sum else "less"
        return new_sum > old_sum, (
            f"Both pass {new} of {n} tasks; compiled and adhering answers together the candidate "
            f"has {new_sum}, {verb} than the incumbent's {old_sum}."
        )
    if bleu.high < 0:
        return False, (
            f"Both pass {new} of {n} tasks and tie in compiled and adhering answers, but the "
            f"candidate's BLEU is clearly lower ({_signed(bleu)})."
        )
    return True, (
        f"Both pass {new} of {n} tasks and tie in compiled and adhering answers, and the "
        f"candidate's BLEU is not clearly lower ({_signed(bleu)})."
    )


def _compile_plus_adhere(arm: ArmResult) -> int:
    return arm.overall.compiles.count + arm.overall.adheres.count


def bleu_difference(candidate: ArmResult, incumbent: ArmResult) -> Interval:
    """Return candidate minus incumbent corpus BLEU with its paired-bootstrap 95% interval."""
    new = [result.score.bleu_statistics for result in candidate.results]
    by_id = {result.task_id: result.score.bleu_statistics for result in incumbent.results}
    old = [by_id[result.task_id] for result in candidate.results]
    return bootstrap(
        len(new),
        lambda draw: (
            bleu_of_statistics([new[index] for index in draw])
            - bleu_of_statistics([old[index] for index in draw])
        ),
    )


def _require_same_measure(candidate: ArmResult, incumbent: ArmResult) -> None:
    pairs = {
        "task suites": (candidate.tasks_hash, incumbent.tasks_hash),
        "checker libraries": (candidate.library_hash, incumbent.library_hash),
        "generation options": (candidate.options.decoding(), incumbent.options.decoding()),
    }
    different = [name for name, (new, old) in pairs.items() if new != old]
    if different:
        raise QiPipelineError(
            f"{candidate.name!r} and {incumbent.name!r} were measured with different "
            f"{' and '.join(different)}; evaluate both again, together"
        )


def _comparisons(
    candidate: ArmResult, incumbent: ArmResult, difference: Interval
) -> tuple[str, ...]:
    by_id = {result.task_id: result.score.both for result in incumbent.results}
    pairs = compare_pairs(
        [result.score.both for result in candidate.results],
        [by_id[result.task_id] for result in candidate.results],
    )
    new, old = candidate.overall, incumbent.overall
    won_and_lost = f"won {pairs.won}, lost {pairs.lost}, tied {pairs.tied}"
    return (
        f"compile and adhere: {new.both.count} against {old.both.count} of {new.n}, {won_and_lost}",
        f"compile: {new.compiles.count} against {old.compiles.count} of {new.n}",
        f"adhere: {new.adheres.count} against {old.adheres.count} of {new.n}",
        f"BLEU: {new.bleu:.1f} against {old.bleu:.1f}, difference {_signed(difference)}",
    )


def _signed(interval: Interval) -> str:
    return f"{interval.value:+.1f}, 95% interval {interval.low:+.1f} to {interval.high:+.1f}"
