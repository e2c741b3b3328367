import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.export.gguf import ExportReport, export_gguf, read_export
from qi_pipeline.settings import Settings
from qi_pipeline_tests.training import material

CONVERTER = Settings().converter_dir


def export(
    base: Path, adapter: Path | None, destination: Path, quantization: Any = "q8_0"
) -> ExportReport:
    return export_gguf(
        base,
        adapter,
        destination,
        quantization,
        CONVERTER,
        system_prompt=material.SYSTEM_PROMPT,
        threads=material.THREADS,
    )


@pytest.fixture(scope="module")
def tuned(
    tmp_path_factory: pytest.TempPathFactory,
    trained: material.TrainedAdapter,
    base_model_dir: Path,
) -> Path:
    destination = tmp_path_factory.mktemp("tuned") / "export"
    export(base_model_dir, trained.directory, destination)
    return destination


@pytest.mark.slow
def test_the_tuned_model_is_exported_whole_and_answers(tuned: Path) -> None:
    report = read_export(tuned)
    model = (tuned / "qi-expert.gguf").read_bytes()

    assert sorted(path.name for path in tuned.iterdir()) == [
        *("Modelfile", "export.json", "qi-expert.gguf")
    ]
    assert report.sha256 == hashlib.sha256(model).hexdigest()
    assert report.size == len(model)
    assert report.answer
    assert report.adapter is not None
    assert report.tokenizer_parity


@pytest.mark.slow
def test_the_base_takes_the_same_route_and_is_another_model(
    tuned: Path, base_model_dir: Path, tmp_path: Path
) -> None:
    report = export(base_model_dir, None, tmp_path / "base")
    of_tuned = read_export(tuned)

    assert report.adapter is None
    assert report.sha256 != of_tuned.sha256
    assert (report.size, report.template, report.stop) == (
        *(of_tuned.size, of_tuned.template, of_tuned.stop),
    )


@pytest.mark.slow
def test_q4_k_m_is_smaller_than_q8_0_and_answers(
    tuned: Path, base_model_dir: Path, tmp_path: Path
) -> None:
    report = export(base_model_dir, None, tmp_path / "base", "q4_k_m")

    assert report.size < 0.8 * read_export(tuned).size
    assert report.answer


@pytest.mark.slow
def test_the_exported_model_holds_the_chat_template_and_tokens_of_training(
    tuned: Path, tokenizer: Any
) -> None:
    from llama_cpp import Llama  # noqa: PLC0415 - native library

    served = Llama(str(tuned / "qi-expert.gguf"), vocab_only=True, verbose=False)
    code = material.module_text(7) + "\n    0,\n\t1024"

    assert served.metadata["tokenizer.chat_template"] == tokenizer.chat_template
    assert served.metadata["tokenizer.ggml.pre"] == "smollm"
    assert served.tokenize(code.encode(), add_bos=False) == tokenizer.encode(code)


@pytest.mark.slow
def test_an_export_that_is_there_is_not_made_again(tuned: Path, base_model_dir: Path) -> None:
    before = (tuned / "qi-expert.gguf").stat().st_mtime_ns

    export(base_model_dir, None, tuned)

    assert (tuned / "qi-expert.gguf").stat().st_mtime_ns == before


@pytest.mark.slow
def test_an_adapter_of_another_base_is_refused(
    trained: material.TrainedAdapter, base_model_dir: Path, tmp_path: Path
) -> None:
    foreign = tmp_path / "adapter"
    shutil.copytree(trained.directory, foreign)
    record = json.loads((foreign / "training.json").read_text())
    (foreign / "training.json").write_text(
        json.dumps({**record, "base_model": "other", "base_model_revision": "f" * 64})
    )

    with pytest.raises(QiPipelineError, match=r"was trained on other \(ffffffffffff\), not on"):
        export(base_model_dir, foreign, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_model_that_cannot_be_converted_keeps_nothing(
    base_model_dir: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "base"
    shutil.copytree(base_model_dir, broken)
    (broken / "model.safetensors").write_bytes(b"\x08" + bytes(7) + b"not json")

    with pytest.raises(QiPipelineError, match="nothing was kept"):
        export(broken, None, tmp_path / "models" / "out")
    assert list((tmp_path / "models").iterdir()) == []


def test_an_unknown_quantization_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(QiPipelineError, match="unknown quantization 'q5'; known: q8_0, q4_k_m"):
        export(tmp_path, None, tmp_path / "out", "q5")


def test_a_missing_converter_says_how_to_install_it(tmp_path: Path) -> None:
    with pytest.raises(QiPipelineError, match=r"pip install --no-deps --target .*converter"):
        export_gguf(
            tmp_path, None, tmp_path / "out", "q8_0", tmp_path / "converter", system_prompt=""
        )


def test_a_folder_without_a_model_or_adapter_is_named(tmp_path: Path) -> None:
    with pytest.raises(QiPipelineError, match="not a Hugging Face model folder"):
        export(tmp_path, None, tmp_path / "out")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(QiPipelineError, match="not an adapter directory"):
        export(tmp_path, tmp_path, tmp_path / "out")


def test_a_directory_without_a_report_is_no_export(tmp_path: Path) -> None:
    with pytest.raises(QiPipelineError, match="holds no exported model"):
        read_export(tmp_path)
