"""Tell whether a question gives its answer away.

Flows in: a `Sample`. Flows out: the run of tokens by which it leaks, or nothing. The measure: text
is cut into identifiers, numbers and single punctuation marks, strings and comments included. An
instruction leaks when it holds `n` consecutive tokens of a withheld part of the answer (bodies,
lost imports, sentences of an explanation); n is 13, the overlap by which GPT-3's training data was
cleaned (Brown et al. 2020, appendix C), and for a part of fewer than 26 tokens half of its tokens,
but at least 5. Names, signatures and types that the question may state are cut out of it first.
The code that a question gives leaks when it holds a withheld part of 5 tokens or more as a whole;
any smaller overlap is what makes the code belong to the answer.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from qi_pipeline.datasets.samples import Sample

LONG_RUN: Final = 13
SHORT_RUN: Final = 5

_TOKEN: Final = re.compile(r"[^\W\d][\w$]*|\$[\w$]*|\d+(?:\.\d+)?|[^\w\s]")
_CODE_SPAN: Final = re.compile(r"`([^`]+)`")
_CUT: Final = "\0"
"""Stands where something was cut out, so that no run goes across."""


def leaked_run(sample: Sample) -> str | None:
    """Return the tokens by which a sample's question shows its answer, or None."""
    asked = _tokens(_without_stated(sample.instruction, sample.stated))
    given = _tokens(sample.given)
    for part in sample.withheld:
        tokens = _tokens(part)
        found = _common_run(asked, tokens, run_length(len(tokens)))
        if found is None and len(tokens) >= SHORT_RUN:
            found = _common_run(given, tokens, len(tokens))
        if found is not None:
            return " ".join(found)
    return None


def run_length(tokens: int) -> int:
    """Return how many consecutive tokens of a part of so many tokens are a leak."""
    return min(LONG_RUN, max(SHORT_RUN, tokens // 2))


def _tokens(text: str) -> list[str]:
    return [text[m.start() : m.end()] for m in _TOKEN.finditer(text)]


def _without_stated(instruction: str, stated: Iterable[str]) -> str:
    allowed = {_squeezed(text) for text in stated}

    def cut(span: re.Match[str]) -> str:
        text = _squeezed(span[1])
        name = re.fullmatch(r"[\w$.]+", text) is not None
        return _CUT if name or text in allowed else span[0]

    return _CODE_SPAN.sub(cut, instruction)


def _squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text).strip("`;")


def _common_run(text: Sequence[str], part: Sequence[str], length: int) -> tuple[str, ...] | None:
    """Return the first run of `length` tokens that both have."""
    if len(part) < length or len(text) < length:
        return None
    runs = {tuple(part[i : i + length]) for i in range(len(part) - length + 1)}
    candidates = (tuple(text[i : i + length]) for i in range(len(text) - length + 1))
    return next((run for run in candidates if run in runs), None)
