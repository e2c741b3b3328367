"""When a model only repeats itself, and asking on is a waste of time.

Flows in: the tokens of an answer so far. Flows out: whether it is stuck. A small model that decodes
greedily often writes the same lines again and again until its limit. Such an answer is cut off as
soon as it is sure, and says so (`finish_reason` "repetition").
"""

from collections.abc import Sequence

# Of 126 answers of SmolLM2-135M and Qwen2.5-Coder-0.5B to bundled tasks that ran into the limit of
# tokens 116 were stuck by this measure, with 51,836 tokens still to come; of 34 that ended by
# themselves none was, nor is any reference.
_TOKENS = 128
"""The repetition covers at least so many tokens."""
_TIMES = 4
"""The same tokens follow each other at least so often."""


def is_stuck(tokens: Sequence[int]) -> bool:
    """Tell whether the last tokens are one sequence, again and again.

    At least 128 tokens in at least 4 turns; the last turn may be unfinished. Changes nothing about
    an answer that is shorter.
    """
    length = len(tokens)
    if length < _TOKENS:
        return False
    last = tokens[-1]
    for period in range(1, length // _TIMES + 1):
        if tokens[-1 - period] != last:
            continue
        start = length - max(_TOKENS, _TIMES * period)
        if tokens[start + period :] == tokens[start : length - period]:
            return True
    return False
