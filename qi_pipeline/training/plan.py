"""Which row is trained on when: epochs, token budget and batches of similar length.

Flows in: row lengths, groups and a preset. Flows out: a `Plan`, the same for the same seed. It is
plain arithmetic; what a step does belongs to the backends.
"""

import math
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.training.presets import Preset
from qi_pipeline.training.rows import EncodedRow

# Micro-batches are sorted by length within a pool of this many: long enough to waste little
# padding, short enough that every stretch of training sees every length.
_POOL_BATCHES = 16


@dataclass(frozen=True)
class Plan:
    """The whole run, in order."""

    order: tuple[int, ...]
    """Row indices; consecutive `micro_batch` of them make a micro-batch."""
    tokens_after_step: tuple[int, ...]
    """Tokens seen once optimizer step 1, 2, … is done, padding not counted."""
    epoch_ends: tuple[int, ...]
    """Optimizer steps after which an epoch is complete; the last step is always one."""
    padding: int
    """Padding tokens computed on besides."""
    unused_rows: int
    """Rows that the token budget leaves untouched."""

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        return len(self.tokens_after_step)

    @property
    def tokens(self) -> int:
        """Tokens trained on."""
        return self.tokens_after_step[-1]


def plan_training(rows: Sequence[EncodedRow], preset: Preset) -> Plan:
    """Return the order in which `rows` are trained on.

    Epochs follow one another until `preset.epochs` are done or the next row would exceed
    `preset.max_tokens`. The first epoch takes one row of each group in turn, so that a budget
    smaller than the data still shows every group before any group's second row.
    """
    if not rows:
        raise QiPipelineError("no row fits the preset's max_length; raise max_length")
    lengths = [len(row.input_ids) for row in rows]
    stream = _stream(rows, preset)
    batches = _batches(stream, lengths, preset)
    order = tuple(index for batch in batches for index in batch)
    steps = [
        batches[start : start + preset.accumulation]
        for start in range(0, len(batches), preset.accumulation)
    ]
    seen, tokens_after_step = 0, []
    for step in steps:
        seen += sum(lengths[index] for batch in step for index in batch)
        tokens_after_step.append(seen)
    return Plan(
        order=order,
        tokens_after_step=tuple(tokens_after_step),
        epoch_ends=_epoch_ends(len(stream), len(rows), len(steps), preset),
        padding=sum(
            max(lengths[i] for i in batch) * len(batch) - sum(lengths[i] for i in batch)
            for batch in batches
        ),
        unused_rows=len(set(range(len(rows))) - set(stream)),
    )


def _stream(rows: Sequence[EncodedRow], preset: Preset) -> list[int]:
    generator = random.Random(preset.seed)  # noqa: S311 - reproducible order, no secret
    stream: list[int] = []
    tokens = 0
    for epoch in range(preset.epochs):
        order = _by_turns(rows, generator) if epoch == 0 else _shuffled(len(rows), generator)
        for index in order:
            tokens += len(rows[index].input_ids)
            if tokens > preset.max_tokens and stream:
                return stream
            stream.append(index)
    return stream


def _shuffled(count: int, generator: random.Random) -> list[int]:
    return generator.sample(range(count), count)


def _by_turns(rows: Sequence[EncodedRow], generator: random.Random) -> list[int]:
    groups: defaultdict[str, list[int]] = defaultdict(list)
    for index in _shuffled(len(rows), generator):
        groups[rows[index].group].append(index)
    rounds = max(len(members) for members in groups.values())
    return [
        members[turn]
        for turn in range(rounds)
        for members in groups.values()
        if turn < len(members)
    ]


def _batches(stream: Sequence[int], lengths: Sequence[int], preset: Preset) -> list[list[int]]:
    generator = random.Random(preset.seed + 1)  # noqa: S311 - reproducible order, no secret
    pool = preset.micro_batch * _POOL_BATCHES
    batches: list[list[int]] = []
    for start in range(0, len(stream), pool):
        ordered = sorted(stream[start : start + pool], key=lambda index: -lengths[index])
        cut = [
            ordered[i : i + preset.micro_batch] for i in range(0, len(ordered), preset.micro_batch)
        ]
        # Only the last batch of the run may be short: batches are cut by position later on.
        short = [cut.pop()] if len(cut[-1]) < preset.micro_batch else []
        generator.shuffle(cut)
        batches.extend(cut + short)
    return batches


def _epoch_ends(stream_length: int, row_count: int, steps: int, preset: Preset) -> tuple[int, ...]:
    per_step = preset.micro_batch * preset.accumulation
    whole = [
        min(steps, math.ceil(row_count * epoch / per_step))
        for epoch in range(1, stream_length // row_count + 1)
    ]
    return tuple(sorted({*whole, steps}))


def choose_validation(rows: Sequence[EncodedRow], preset: Preset) -> list[EncodedRow]:
    """Return rows of at most `preset.max_validation_tokens` tokens (one row at least), by length.

    One row of each group in turn, the same rows for the same seed.
    """
    chosen: list[EncodedRow] = []
    tokens = 0
    for index in _by_turns(rows, random.Random(preset.seed)):  # noqa: S311 - no secret
        tokens += len(rows[index].input_ids)
        if tokens > preset.max_validation_tokens and chosen:
            break
        chosen.append(rows[index])
    return sorted(chosen, key=lambda row: (len(row.input_ids), row.id))
