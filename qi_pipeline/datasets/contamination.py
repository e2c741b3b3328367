"""Find training samples that are too much like a task that the model will be measured on.

Flows in: the texts of tasks and of samples. Flows out: an `OverlapRow` for each pair that overlaps.
Removing samples belongs to `build`; what a task is, to the evaluation.

Two measures, as the field cleans training data:
- near-duplicates: a Jaccard index of at least 0.7 of the sets of 5-token shingles, prose against
  prose, word by word, and code against code, token by token. Sketches (MinHash; Broder 1997)
  estimate this index; here it is computed exactly, as a product of sparse matrices, which misses no
  pair, has no seed and takes less than 15 s of one core for 1,000 tasks and 20,000 samples;
- a shared run of 13 words, the measure of GPT-3 (Brown et al. 2020, appendix C), of all text with
  all text. As there, words are in lower case and punctuation does not count, and a run that very
  many texts hold is a common phrase and no evidence: one that more than `MOST_HOLDERS` tasks and
  groups of samples hold.

Code is the task's reference, the sample's answer and every fenced block of both prompts, so a
sample that shows a reference in its question is found. Import lines and comments do not count. A
text of fewer than five tokens has no shingle.

Why words, although code has tokens: 13 tokens of TypeScript are `= (settings: Record<string,
unknown>): Result`, what any two functions of a signature share. Between the 148 tasks that these
numbers were chosen on and the samples of the bundled library they hit 488 of 2,848 samples (22 of
1,054 of the real library), none of which was anything but a signature; leaving out common phrases
did not help, since each was held by few. In words the longest run that a task and a sample share is
11 (a generic signature), and the openings of questions (`typescript module on top of qi base that
exports`) end at 9.

What both measures miss: a copy in which names are changed throughout. Of those 148 references,
copied as the only sample, all are found as they are or inside a larger module, 134 with one name
changed, 100 with three and 78 with five.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from pydantic import BaseModel, ConfigDict

from qi_pipeline.recognition.duplicates import (
    NEAR_DUPLICATE_THRESHOLD,
    SHINGLE_TOKENS,
    jaccard,
    tokenize,
    without_imports,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    _Numbers = NDArray[np.int64]

RUN_WORDS: Final = 13
MOST_HOLDERS: Final = 10

_BLOCK: Final = 2000
"""Texts compared at a time; bounds the memory, not the result."""
_FENCED: Final = re.compile(
    r"^ {0,3}(?P<fence>`{3,}|~{3,})[^\n]*\n(?P<code>.*?)(?:^ {0,3}(?P=fence)[`~]*[ \t]*$|\Z)",
    re.MULTILINE | re.DOTALL,
)
_WORD: Final = re.compile(r"[\w$]+")


@dataclass(frozen=True)
class TaskText:
    """What a task asks and what it is answered with."""

    id: str
    prompt: str
    code: str
    """The reference."""


@dataclass(frozen=True)
class SampleText:
    """What a training sample asks and what it answers."""

    id: str
    prompt: str
    code: str
    """The answer's module; empty where the answer is prose, which then belongs to the prompt."""
    group: str
    """What it was made of. Samples of one group repeat each other: they count as one holder."""


class OverlapRow(BaseModel):
    """A sample that is too much like a task."""

    model_config = ConfigDict(frozen=True)

    task_id: str
    sample: str
    jaccard: float
    """Of 5-token shingles, the largest of prose against prose and code against code."""
    shared: str
    """The first run of 13 words of the task that both hold; empty where only shingles agree."""


class OverlapReport(BaseModel):
    """What samples and patterns had in common with the tasks: the file `overlaps.json`."""

    model_config = ConfigDict(frozen=True)

    tasks: int
    samples: int
    """Samples compared with the tasks."""
    removed: int
    """Samples left out of every file because of it."""
    overlaps: tuple[OverlapRow, ...]
    """Of the samples."""
    patterns: tuple[OverlapRow, ...]
    """Of the patterns, by their own instruction and implementation."""


def find_overlaps(
    tasks: Sequence[TaskText], samples: Sequence[SampleText]
) -> tuple[OverlapRow, ...]:
    """Return the overlapping pairs, sorted by task and sample; the order of both does not matter.

    Exact, see above. Ids of tasks are taken to be different, as are ids of samples.
    """
    tasks = sorted(tasks, key=lambda task: task.id)
    samples = sorted(samples, key=lambda sample: sample.id)
    indices = _largest(
        _near_duplicates(_Corpus.of(tasks, samples, texts_of), tokens_of)
        for texts_of, tokens_of in _KINDS
    )
    code_words = cache(lambda text: " ".join(_words(" ".join(_code_tokens(text)))))
    runs = _shared_runs(
        _Corpus.of(tasks, samples, lambda owner: [*_prose(owner), *map(code_words, _code(owner))]),
        [sample.group for sample in samples],
    )
    return tuple(
        OverlapRow(
            task_id=tasks[task].id,
            sample=samples[sample].id,
            jaccard=indices.get((task, sample)) or _index(tasks[task], samples[sample]),
            shared=runs.get((task, sample), ""),
        )
        for task, sample in sorted(indices.keys() | runs.keys())
    )


_Owner = TaskText | SampleText


def _prose(owner: _Owner) -> list[str]:
    return [_FENCED.sub("\n", owner.prompt)]


def _code(owner: _Owner) -> list[str]:
    return [owner.code, *(match["code"] for match in _FENCED.finditer(owner.prompt))]


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _code_tokens(text: str) -> list[str]:
    return without_imports(tokenize(text))


_KINDS: Final[Sequence[tuple[Callable[[_Owner], list[str]], Callable[[str], list[str]]]]] = (
    (_prose, _words),
    (_code, _code_tokens),
)
"""Which texts of a task or sample there are of each kind, and how they are cut into tokens."""


def _largest(
    found: Iterable[Iterable[tuple[tuple[int, int], float]]],
) -> dict[tuple[int, int], float]:
    largest: dict[tuple[int, int], float] = {}
    for pairs in found:
        for pair, index in pairs:
            largest[pair] = max(index, largest.get(pair, 0.0))
    return largest


def _index(task: TaskText, sample: SampleText) -> float:
    """Return the largest Jaccard index of one pair."""

    def shingles(text: str, tokens_of: Callable[[str], list[str]]) -> frozenset[Hashable]:
        tokens = tokens_of(text)
        return frozenset(zip(*(tokens[n:] for n in range(SHINGLE_TOKENS)), strict=False))

    pairs = (
        (shingles(left, tokens_of), shingles(right, tokens_of))
        for texts_of, tokens_of in _KINDS
        for left in texts_of(task)
        for right in texts_of(sample)
    )
    return max((jaccard(left, right) for left, right in pairs if left and right), default=0.0)


@dataclass(frozen=True)
class _Corpus:
    """The different texts of tasks and samples, numbered, those of the tasks first."""

    texts: list[str]
    owners: list[list[int]]
    """Numbers of the tasks, or of the samples, that hold each text."""
    asked: int
    """How many of the texts are of tasks."""

    @classmethod
    def of(
        cls,
        tasks: Sequence[TaskText],
        samples: Sequence[SampleText],
        texts_of: Callable[[_Owner], list[str]],
    ) -> "_Corpus":
        asked, taught = _owners(map(texts_of, tasks)), _owners(map(texts_of, samples))
        return cls([*asked, *taught], [*asked.values(), *taught.values()], len(asked))

    def pairs(self, asked: int, taught: int) -> Iterator[tuple[int, int]]:
        """Yield every task that holds one text with every sample that holds the other."""
        return ((task, sample) for task in self.owners[asked] for sample in self.owners[taught])


def _owners(texts: Iterable[Iterable[str]]) -> dict[str, list[int]]:
    """Return each text to the numbers of those who hold it."""
    owners: dict[str, list[int]] = {}
    for owner, held in enumerate(texts):
        for text in dict.fromkeys(held):
            owners.setdefault(text, []).append(owner)
    return owners


@dataclass(frozen=True)
class _Tokens:
    """The tokens of all texts one after the other, as numbers."""

    names: list[str]
    ids: "_Numbers"
    text: "_Numbers"
    """Number of the text at each position."""
    left: "_Numbers"
    """How many tokens of the text are left from each position on, its own included."""


@dataclass(frozen=True)
class _Runs:
    """All runs of some length; equal runs have equal numbers."""

    length: int
    ids: "_Numbers"
    """Number of the run that begins at each position; -1 where the text ends before it."""


def _number_tokens(texts: Iterable[Sequence[str]]) -> _Tokens:
    import numpy as np  # noqa: PLC0415

    number: dict[str, int] = {}
    ids: list[int] = []
    lengths: list[int] = []
    for tokens in texts:
        ids.extend(number.setdefault(token, len(number)) for token in tokens)
        lengths.append(len(tokens))
    sizes = np.array(lengths, dtype=np.int64)
    return _Tokens(
        names=list(number),
        ids=np.array(ids, dtype=np.int64),
        text=np.repeat(np.arange(len(sizes)), sizes),
        left=np.repeat(np.cumsum(sizes), sizes) - np.arange(len(ids)),
    )


def _join(tokens: _Tokens, first: _Runs, second: _Runs) -> _Runs:
    """Give numbers to runs made of one and the next (Karp, Miller and Rosenberg 1972)."""
    import numpy as np  # noqa: PLC0415

    length = first.length + second.length
    ids = np.full(len(tokens.ids), -1, dtype=np.int64)
    at = np.flatnonzero(tokens.left >= length)
    if at.size:
        following = second.ids[at + first.length]
        pairs = first.ids[at] * (int(following.max()) + 1) + following
        ids[at] = np.unique(pairs, return_inverse=True)[1]
    return _Runs(length, ids)


def _near_duplicates(
    corpus: _Corpus, tokens_of: Callable[[str], list[str]]
) -> Iterator[tuple[tuple[int, int], float]]:
    """Yield the pairs of a task and a sample with near-duplicate texts, and the Jaccard index."""
    import numpy as np  # noqa: PLC0415 - heavy, as is the next
    from scipy.sparse import csr_array  # noqa: PLC0415

    tokens = _number_tokens(map(tokens_of, corpus.texts))
    single = _Runs(1, tokens.ids)
    double = _join(tokens, single, single)
    shingles = _join(tokens, _join(tokens, double, double), single)
    at = np.flatnonzero(shingles.ids >= 0)
    if not at.size:
        return
    number = int(shingles.ids.max()) + 1
    # Every shingle of a text once, by text and then by shingle.
    text, shingle = np.divmod(np.unique(tokens.text[at] * number + shingles.ids[at]), number)
    sizes = np.bincount(text, minlength=len(corpus.texts))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    ones = np.ones(len(text), dtype=np.int32)
    holds = csr_array((ones, shingle, starts), shape=(len(sizes), number))
    for start in range(corpus.asked, len(sizes), _BLOCK):
        # An entry of the product of the 0/1 matrices is the size of an intersection.
        shared = (holds[: corpus.asked] @ holds[start : start + _BLOCK].T).tocoo()
        rows, columns = shared.coords[0], shared.coords[1] + start
        index = shared.data / (sizes[rows] + sizes[columns] - shared.data)
        for place in np.flatnonzero(index >= NEAR_DUPLICATE_THRESHOLD).tolist():
            for pair in corpus.pairs(int(rows[place]), int(columns[place])):
                yield pair, float(index[place])


def _shared_runs(corpus: _Corpus, groups: Sequence[str]) -> dict[tuple[int, int], str]:
    """Return, for each task and sample with an uncommon run in common, the task's first."""
    import numpy as np  # noqa: PLC0415

    tokens = _number_tokens(map(_words, corpus.texts))
    double = _join(tokens, _Runs(1, tokens.ids), _Runs(1, tokens.ids))
    quadruple = _join(tokens, double, double)
    eight = _join(tokens, quadruple, quadruple)
    runs = _join(tokens, _join(tokens, eight, quadruple), _Runs(1, tokens.ids))
    of_tasks = np.flatnonzero((runs.ids >= 0) & (tokens.text < corpus.asked))
    of_samples = np.flatnonzero((runs.ids >= 0) & (tokens.text >= corpus.asked))
    of_samples = of_samples[np.isin(runs.ids[of_samples], runs.ids[of_tasks])]
    texts: defaultdict[int, set[int]] = defaultdict(set)
    for position in (*of_tasks.tolist(), *of_samples.tolist()):
        texts[int(runs.ids[position])].add(int(tokens.text[position]))
    found: dict[tuple[int, int], str] = {}
    for position in of_tasks.tolist():
        holding = texts[int(runs.ids[position])]
        taught = [text for text in holding if text >= corpus.asked]
        if not taught or _holders(corpus, holding, groups) > MOST_HOLDERS:
            continue
        run = tokens.ids[position : position + runs.length].tolist()
        shown = " ".join(tokens.names[number] for number in run)
        for text in taught:
            for pair in corpus.pairs(int(tokens.text[position]), text):
                found.setdefault(pair, shown)
    return found


def _holders(corpus: _Corpus, texts: Iterable[int], groups: Sequence[str]) -> int:
    """Return how many tasks and groups of samples hold one of the texts."""
    tasks = {owner for text in texts if text < corpus.asked for owner in corpus.owners[text]}
    samples = {
        groups[owner] for text in texts if text >= corpus.asked for owner in corpus.owners[text]
    }
    return len(tasks) + len(samples)
