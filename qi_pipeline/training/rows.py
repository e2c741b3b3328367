"""Prompt-completion rows as token ids, with a label on the completion and its end token only.

Flows in: a parquet file and a tokenizer. Flows out: `EncodedRow`s, and the proof that the batches a
trainer really collates carry labels on nothing else. Order and budget belong to `plan`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qi_pipeline.errors import QiPipelineError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100
"""The label that PyTorch's cross entropy leaves out."""


@dataclass(frozen=True)
class EncodedRow:
    """One row, ready to be collated."""

    id: str
    group: str
    input_ids: tuple[int, ...]
    prompt_length: int
    """Tokens of the rendered prompt, the opening of the assistant's turn included."""
    expected: str
    """The text that must carry labels: the completion and its end token, cut where truncated."""
    truncated: bool

    @property
    def labels(self) -> tuple[int, ...]:
        """One label per token."""
        return (IGNORED,) * self.prompt_length + self.input_ids[self.prompt_length :]


@dataclass(frozen=True)
class EncodedRows:
    """The rows of one file and what happened to the others."""

    rows: tuple[EncodedRow, ...]
    truncated: int
    """Rows cut at the end to the maximum length; they carry no end token."""
    without_room: tuple[str, ...]
    """Ids of the rows left out because the prompt alone fills the maximum length."""

    @property
    def tokens(self) -> int:
        """Tokens of all rows, prompts included."""
        return sum(len(row.input_ids) for row in self.rows)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a prompt-completion parquet file.

    Raises QiPipelineError when a column is missing or there is no row.
    """
    from pyarrow import parquet  # noqa: PLC0415 - native library

    table = parquet.read_table(path)
    missing = {"id", "group", "prompt", "completion"} - set(table.column_names)
    if missing:
        raise QiPipelineError(f"{path} lacks the columns {', '.join(sorted(missing))}")
    rows: list[dict[str, Any]] = table.to_pylist()
    if not rows:
        raise QiPipelineError(f"{path} holds no rows; nothing can be learned from it")
    return rows


def encode_rows(
    rows: Iterable[Mapping[str, Any]], tokenizer: "PreTrainedTokenizerBase", max_length: int
) -> EncodedRows:
    """Return the rows as tokens, none longer than `max_length`.

    Raises QiPipelineError when the chat template does not render a completion as the plain
    continuation of its prompt, or does not close it with an end-of-sequence token.
    """
    encoded: list[EncodedRow] = []
    without_room: list[str] = []
    for row in rows:
        one = _encode_row(row, tokenizer, max_length)
        if one is None:
            without_room.append(str(row["id"]))
        else:
            encoded.append(one)
    return EncodedRows(
        tuple(encoded), sum(row.truncated for row in encoded), tuple(sorted(without_room))
    )


def _encode_row(
    row: Mapping[str, Any], tokenizer: "PreTrainedTokenizerBase", max_length: int
) -> EncodedRow | None:
    content = str(row["completion"][0]["content"])
    prompt = render(tokenizer, row["prompt"], add_generation_prompt=True)
    turn = render(tokenizer, [*row["prompt"], *row["completion"]], add_generation_prompt=False)
    if not turn.startswith(prompt + content):
        raise QiPipelineError(
            f"row {row['id']}: the chat template changes the completion or the prompt before it; "
            "this base model's template cannot be trained on prompt and completion"
        )
    expected = content + end_token(tokenizer, turn[len(prompt + content) :])
    # Prompt and completion are encoded apart because that is how they meet at inference: no token
    # spans the boundary.
    prompt_ids = tokenizer.encode(prompt, add_special_tokens=False)
    completion_ids = tokenizer.encode(expected, add_special_tokens=False)
    room = max_length - len(prompt_ids)
    if room <= 0:
        return None
    truncated = len(completion_ids) > room
    if truncated:
        completion_ids = completion_ids[:room]
        expected = decode(tokenizer, completion_ids)
        _require_prefix(str(row["id"]), expected, content)
    return EncodedRow(
        id=str(row["id"]),
        group=str(row["group"]),
        input_ids=(*prompt_ids, *completion_ids),
        prompt_length=len(prompt_ids),
        expected=expected,
        truncated=truncated,
    )


def _require_prefix(row_id: str, expected: str, content: str) -> None:
    # A cut through a multi-byte character decodes to replacement characters at the very end.
    if not content.startswith(expected.rstrip("\N{REPLACEMENT CHARACTER}")):
        raise QiPipelineError(f"row {row_id}: the tokenizer does not decode what it encoded")


def render(
    tokenizer: "PreTrainedTokenizerBase",
    messages: Sequence[dict[str, str]],
    *,
    add_generation_prompt: bool,
) -> str:
    """Return the messages as the tokenizer's chat template writes them."""
    return str(
        tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=add_generation_prompt
        )
    )


def decode(tokenizer: "PreTrainedTokenizerBase", ids: Sequence[int]) -> str:
    """Return the text of the tokens, special tokens included, spaces untouched."""
    return str(tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))


def end_token(tokenizer: "PreTrainedTokenizerBase", tail: str) -> str:
    """Return the token that closes a turn, given what the template writes after the content.

    What follows it (a line break, as a rule) is never generated and so never learned.
    """
    ids = tokenizer.encode(tail, add_special_tokens=False)
    token = decode(tokenizer, ids[:1])
    if not ids or ids[0] not in tokenizer.all_special_ids or not tail.startswith(token):
        raise QiPipelineError(
            f"the chat template closes an answer with {tail[:40]!r}, which is no special token; "
            "a model trained on it would not know when to stop"
        )
    return token


def prove_labels(
    batches: Iterable[Mapping[str, Any]],
    rows: Sequence[EncodedRow],
    tokenizer: "PreTrainedTokenizerBase",
) -> list[dict[str, Any]]:
    """Return a preview of the labelled text of the batches, once it is shown to be right.

    `batches` are what the trainer collates: `input_ids` and `labels` of shape (rows, tokens).
    Raises QiPipelineError when the labelled text of any row is not exactly its completion and end
    token: prompt text carries a label, or part of a completion carries none.
    """
    by_tokens = {row.input_ids: row for row in rows}
    preview: list[dict[str, Any]] = []
    for batch in batches:
        pairs = zip(batch["input_ids"].tolist(), batch["labels"].tolist(), strict=True)
        preview.extend(_prove_row(ids, labels, by_tokens, tokenizer) for ids, labels in pairs)
    if not preview:
        raise QiPipelineError("no batch was collated, so nothing shows what would be trained on")
    return preview


def _prove_row(
    ids: list[int],
    labels: list[int],
    by_tokens: Mapping[tuple[int, ...], EncodedRow],
    tokenizer: "PreTrainedTokenizerBase",
) -> dict[str, Any]:
    row = _row_of(ids, by_tokens)
    labelled = [position for position, label in enumerate(labels) if label != IGNORED]
    text = decode(tokenizer, [labels[position] for position in labelled])
    whole_completion = list(range(row.prompt_length, len(row.input_ids)))
    if text != row.expected or labelled != whole_completion:
        raise QiPipelineError(
            f"row {row.id}: the labels cover {text[:80]!r}… ({len(labelled)} tokens), expected "
            f"only the completion {row.expected[:80]!r}… ({len(whole_completion)} tokens); "
            "training was not started"
        )
    return {
        "id": row.id,
        "masked": decode(tokenizer, row.input_ids[: row.prompt_length]),
        "labelled": text,
        "truncated": row.truncated,
    }


def _row_of(ids: list[int], by_tokens: Mapping[tuple[int, ...], EncodedRow]) -> EncodedRow:
    # Padding may be the end token itself, so the row is found by its length, longest first.
    for length in range(len(ids), 0, -1):
        row = by_tokens.get(tuple(ids[:length]))
        if row is not None:
            return row
    raise QiPipelineError("a collated batch holds tokens of no known row; training was not started")
