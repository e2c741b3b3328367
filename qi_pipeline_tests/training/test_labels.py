from typing import Any

import pytest

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.training.rows import IGNORED, EncodedRows, encode_rows, prove_labels
from qi_pipeline_tests.training.material import module_text, row

pytestmark = pytest.mark.slow


def collate(rows: EncodedRows, tokenizer: Any, *, masked: bool = True) -> dict[str, Any]:
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling  # noqa: PLC0415 - heavy

    collator = DataCollatorForLanguageModeling(pad_token_id=tokenizer.pad_token_id)
    batch: dict[str, Any] = collator(
        [
            {
                "input_ids": list(one.input_ids),
                "labels": list(one.labels if masked else one.input_ids),
            }
            for one in rows.rows
        ]
    )
    return batch


def test_the_labels_are_the_completions_and_their_end_token(tokenizer: Any) -> None:
    rows = encode_rows([row(1, 1), row(2, 3)], tokenizer, max_length=1000)

    preview = prove_labels([collate(rows, tokenizer)], rows.rows, tokenizer)

    assert [item["labelled"] for item in preview] == [
        module_text(1, 1) + "<|im_end|>",
        module_text(2, 3) + "<|im_end|>",
    ]
    assert all(item["masked"].endswith("<|im_start|>assistant\n") for item in preview)


def test_the_end_token_keeps_its_label_though_it_is_the_padding_token_too(tokenizer: Any) -> None:
    rows = encode_rows([row(1, 1), row(2, 3)], tokenizer, max_length=1000)
    batch = collate(rows, tokenizer)
    short = len(rows.rows[0].input_ids)

    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    assert batch["labels"][0, short - 1] == tokenizer.eos_token_id
    assert set(batch["labels"][0, short:].tolist()) == {IGNORED}


def test_labels_on_the_prompt_stop_the_training(tokenizer: Any) -> None:
    rows = encode_rows([row(1, 1), row(2, 3)], tokenizer, max_length=1000)

    with pytest.raises(QiPipelineError, match="training was not started"):
        prove_labels([collate(rows, tokenizer, masked=False)], rows.rows, tokenizer)


def test_a_missing_label_on_the_end_token_stops_the_training(tokenizer: Any) -> None:
    rows = encode_rows([row(1, 1)], tokenizer, max_length=1000)
    batch = collate(rows, tokenizer)
    batch["labels"][0, -1] = IGNORED

    with pytest.raises(QiPipelineError, match="expected only the completion"):
        prove_labels([batch], rows.rows, tokenizer)


def test_a_batch_of_foreign_tokens_stops_the_training(tokenizer: Any) -> None:
    rows = encode_rows([row(1, 1)], tokenizer, max_length=1000)
    batch = collate(rows, tokenizer)
    batch["input_ids"][0, 3] += 1

    with pytest.raises(QiPipelineError, match="tokens of no known row"):
        prove_labels([batch], rows.rows, tokenizer)


def test_no_batch_proves_nothing(tokenizer: Any) -> None:
    with pytest.raises(QiPipelineError, match="no batch"):
        prove_labels([], (), tokenizer)


def test_long_rows_are_cut_and_counted_and_rows_without_room_are_named(tokenizer: Any) -> None:
    endless = row(3)
    endless["prompt"][1]["content"] = "why " * 200
    rows = encode_rows([row(1, 1), row(2, 9), endless], tokenizer, max_length=150)

    assert rows.truncated == 1
    assert rows.without_room == ("row-3",)
    assert [len(one.input_ids) for one in rows.rows][1] == 150
    assert module_text(2, 9).startswith(rows.rows[1].expected)


def test_a_template_that_rewrites_the_answer_is_refused(tokenizer: Any) -> None:
    original = tokenizer.chat_template
    tokenizer.chat_template = original.replace("message['content']", "(message['content'] | upper)")
    try:
        with pytest.raises(QiPipelineError, match="changes the completion"):
            encode_rows([row(1)], tokenizer, max_length=1000)
    finally:
        tokenizer.chat_template = original


def test_a_template_without_an_end_token_is_refused(tokenizer: Any) -> None:
    original = tokenizer.chat_template
    tokenizer.chat_template = original.replace("<|im_end|>", "")
    try:
        with pytest.raises(QiPipelineError, match="would not know when to stop"):
            encode_rows([row(1)], tokenizer, max_length=1000)
    finally:
        tokenizer.chat_template = original
