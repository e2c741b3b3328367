"""Turn kept patterns and fix pairs into samples of every kind of task.

Flows in: patterns, fix pairs and the library's reference. Flows out: `Sample`s, none of which shows
its answer and no two of which ask the same for different answers. Every answer is a verified
module or, where it is prose, made of verified facts. Splits and file formats belong elsewhere.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from qi_pipeline.datasets.completions import completion_sample
from qi_pipeline.datasets.explanations import explanation_sample
from qi_pipeline.datasets.fix_pairs import FixPair
from qi_pipeline.datasets.fixes import imports_sample, pair_sample
from qi_pipeline.datasets.interface import ModuleInterface, read_interface
from qi_pipeline.datasets.leaks import leaked_run
from qi_pipeline.datasets.phrasings import PHRASINGS, write_samples
from qi_pipeline.datasets.reference import Reference
from qi_pipeline.datasets.samples import TASK_KINDS, Sample
from qi_pipeline.datasets.unit_tests import is_test_case, unit_test_samples
from qi_pipeline.extraction.instructions import on_one_line
from qi_pipeline.extraction.pattern import Pattern
from qi_pipeline.extraction.wording import series
from qi_pipeline.library.profile import Profile

_MAX_EXPORTS = 4


@dataclass(frozen=True)
class Synthesis:
    """The samples, and what was left out."""

    samples: tuple[Sample, ...]
    """Sorted by origin, then by kind and phrasing."""
    ambiguous: int
    """Samples dropped because a better one answers the same question differently."""
    repeated: int
    """Samples dropped because the same question has the same answer already."""
    leaking: int
    """Samples dropped because their question shows their answer."""


def synthesize_samples(
    patterns: Iterable[Pattern],
    profile: Profile,
    reference: Reference,
    *,
    fix_pairs: Iterable[FixPair] = (),
    max_phrasings: int = len(PHRASINGS),
) -> Synthesis:
    """Return the samples of every kind; `max_phrasings` caps those of kind `write` per pattern.

    Patterns with one instruction and different answers first get their signatures appended; where
    that does not tell them apart, the weaker sample is dropped and counted. The result does not
    depend on the order of `patterns` and `fix_pairs`.
    """
    ordered = sorted(patterns, key=lambda pattern: pattern.id)
    interfaces = {pattern.id: read_interface(pattern.implementation) for pattern in ordered}
    samples = write_samples(_tell_apart(ordered, interfaces), interfaces, profile, max_phrasings)
    for pattern in ordered:
        if not is_test_case(pattern):
            made = (
                completion_sample(pattern, profile),
                imports_sample(pattern, profile),
                explanation_sample(pattern, reference, profile),
            )
            samples += [sample for sample in made if sample is not None]
    samples += unit_test_samples(ordered, reference)
    samples += [pair_sample(pair, profile) for pair in fix_pairs]
    sound = [sample for sample in samples if leaked_run(sample) is None]
    weakness = {pattern.id: _weakness(pattern) for pattern in ordered}
    return _drop_ambiguous(sorted(sound, key=_order), weakness, len(samples) - len(sound))


def _order(sample: Sample) -> tuple[str, int, int, str]:
    phrasing = PHRASINGS.index(sample.phrasing) if sample.phrasing in PHRASINGS else len(PHRASINGS)
    return sample.origin, TASK_KINDS.index(sample.kind), phrasing, sample.id


def _tell_apart(
    patterns: Sequence[Pattern], interfaces: Mapping[str, ModuleInterface]
) -> list[Pattern]:
    """Append its exports to every instruction that several different modules share."""
    answers = defaultdict(set)
    for pattern in patterns:
        answers[_normalized(pattern.instruction)].add(pattern.implementation.strip("\n"))
    return [
        pattern.model_copy(
            update={"instruction": _with_exports(pattern.instruction, interfaces[pattern.id])}
        )
        if len(answers[_normalized(pattern.instruction)]) > 1
        else pattern
        for pattern in patterns
    ]


def _with_exports(instruction: str, interface: ModuleInterface) -> str:
    if not interface.exports:
        return instruction
    return f"{instruction.strip()} Export {series(interface.exports[:_MAX_EXPORTS])}."


def _normalized(text: str) -> str:
    return on_one_line(text).casefold()


_Weakness = tuple[bool, int, str]


def _weakness(pattern: Pattern) -> _Weakness:
    """Order patterns: covered by a test first, then the simpler, then by id."""
    return (not pattern.metadata.test_coverage, pattern.complexity, pattern.id)


def _drop_ambiguous(
    samples: Sequence[Sample], weakness: Mapping[str, _Weakness], leaking: int
) -> Synthesis:
    """Keep, of all samples that ask the same, the one of the strongest pattern.

    A fix pair has no test coverage and comes after every pattern.
    """

    def rank(sample: Sample) -> tuple[_Weakness, tuple[str, int, int, str]]:
        return weakness.get(sample.origin, (True, len(sample.answer), sample.origin)), _order(
            sample
        )

    best: dict[str, Sample] = {}
    for sample in sorted(samples, key=rank):
        best.setdefault(_normalized(sample.prompt), sample)
    kept = {sample.id for sample in best.values()}
    dropped = [sample for sample in samples if sample.id not in kept]
    repeated = sum(best[_normalized(sample.prompt)].answer == sample.answer for sample in dropped)
    return Synthesis(
        samples=tuple(sample for sample in samples if sample.id in kept),
        ambiguous=len(dropped) - repeated,
        repeated=repeated,
        leaking=leaking,
    )
