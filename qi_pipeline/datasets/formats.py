"""The record of each file format; pure functions from a pattern or sample to plain JSON values.

Flows in: patterns, samples. Flows out: dictionaries with the fields that trainers expect. Reading
and writing files belongs to `build`.
"""

import re
from typing import Any, Final

from qi_pipeline.datasets.splits import Assignment
from qi_pipeline.datasets.synthesis import Sample
from qi_pipeline.extraction.pattern import Pattern

_CLOSING_FENCE: Final = re.compile(r"^ {0,3}(`{3,})[ \t]*$", re.MULTILINE)


def fenced(code: str) -> str:
    """Return `code` in one ```typescript block.

    Blank lines around the code are dropped. The fence grows where a line of the code would close
    it (CommonMark 0.31, section 4.5), so that a reader gets back the code and nothing else.
    """
    longest = max((len(ticks) for ticks in _CLOSING_FENCE.findall(code)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}typescript\n{code.strip(chr(10))}\n{fence}"


def pattern_record(pattern: Pattern) -> dict[str, Any]:
    """Return the exported pattern: one line of `qi-patterns.jsonl`."""
    return pattern.model_dump(mode="json")


def alpaca_record(sample: Sample) -> dict[str, str]:
    """Return one entry of `qi-patterns-alpaca.json`."""
    return {
        "instruction": sample.instruction,
        "input": "",
        "output": fenced(sample.implementation),
    }


def conversation_record(sample: Sample, system_prompt: str) -> dict[str, Any]:
    """Return one entry of `qi-conversations.json`: system, user and assistant message."""
    return {
        "id": sample.id,
        "messages": [*_prompt(sample, system_prompt), *_completion(sample)],
    }


def prompt_completion_record(
    sample: Sample, assignment: Assignment, system_prompt: str
) -> dict[str, Any]:
    """Return one row of the parquet files; TRL trains on the completion only."""
    return {
        "id": sample.id,
        "group": assignment.group,
        "prompt": _prompt(sample, system_prompt),
        "completion": _completion(sample),
    }


def characters_of(sample: Sample, system_prompt: str) -> int:
    """Return the characters of all messages; a token of TypeScript is about three of them."""
    messages = [*_prompt(sample, system_prompt), *_completion(sample)]
    return sum(len(message["content"]) for message in messages)


def _prompt(sample: Sample, system_prompt: str) -> list[dict[str, str]]:
    return [
        {"role": "system", "content": system_prompt},
        {"role": "user", "content": sample.instruction},
    ]


def _completion(sample: Sample) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": fenced(sample.implementation)}]
