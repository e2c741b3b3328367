"""The record of each file format; pure functions from a pattern or sample to plain JSON values.

Flows in: patterns, samples. Flows out: dictionaries with the fields that trainers expect. Reading
and writing files belongs to `build`.
"""

from collections.abc import Iterable
from typing import Any

from qi_pipeline.datasets.samples import TASK_KINDS, Sample, TaskKind, fenced
from qi_pipeline.datasets.splits import Assignment
from qi_pipeline.extraction.pattern import Pattern


def pattern_record(pattern: Pattern, kinds: Iterable[TaskKind]) -> dict[str, Any]:
    """Return the exported pattern, one line of `qi-patterns.jsonl`.

    `kinds` are the kinds of task that were made of it.
    """
    made = set(kinds)
    fields = pattern.model_dump(mode="json")
    first = {name: fields.pop(name) for name in ("id", "type")}
    return {**first, **fields, "kinds": [kind for kind in TASK_KINDS if kind in made]}


def alpaca_record(sample: Sample) -> dict[str, str]:
    """Return one entry of `qi-patterns-alpaca.json`."""
    return {
        "instruction": sample.instruction,
        "input": sample.given,
        "output": answer_text(sample),
        "kind": sample.kind,
    }


def conversation_record(sample: Sample, system_prompt: str) -> dict[str, Any]:
    """Return one entry of `qi-conversations.json`: system, user and assistant message."""
    return {
        "id": sample.id,
        "kind": sample.kind,
        "messages": [*_prompt(sample, system_prompt), *_completion(sample)],
    }


def prompt_completion_record(
    sample: Sample, assignment: Assignment, system_prompt: str
) -> dict[str, Any]:
    """Return one row of the parquet files; TRL trains on the completion only."""
    return {
        "id": sample.id,
        "kind": sample.kind,
        "group": assignment.group,
        "prompt": _prompt(sample, system_prompt),
        "completion": _completion(sample),
    }


def characters_of(sample: Sample, system_prompt: str) -> int:
    """Return the characters of all messages; a token of TypeScript is about three of them."""
    messages = [*_prompt(sample, system_prompt), *_completion(sample)]
    return sum(len(message["content"]) for message in messages)


def answer_text(sample: Sample) -> str:
    """Return the assistant's message: a module in one block, or an explanation as it is."""
    return sample.answer if sample.kind == "explain" else fenced(sample.answer)


def _prompt(sample: Sample, system_prompt: str) -> list[dict[str, str]]:
    return [
        {"role": "system", "content": system_prompt},
        {"role": "user", "content": sample.prompt},
    ]


def _completion(sample: Sample) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": answer_text(sample)}]
