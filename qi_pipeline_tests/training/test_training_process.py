import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from qi_pipeline.artefacts import file_hash
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.training.backend import choose_precision
from qi_pipeline.training.presets import load_preset
from qi_pipeline.training.process import load_backend
from qi_pipeline.training.run import train_adapter, training_command, write_spec
from qi_pipeline_tests.training.material import THREADS, TrainedAdapter, row, write_datasets

WEIGHTS = "adapter_model.safetensors"


def spec_of(tmp_path: Path, **parts: Any) -> Path:
    parts = {"preset": load_preset("tiny"), "threads": THREADS, **parts}
    return write_spec(tmp_path / "spec.json", output_dir=tmp_path / "adapter", **parts)


@pytest.mark.slow
def test_a_killed_training_leaves_no_adapter_and_the_next_one_finishes(
    trained: TrainedAdapter,
) -> None:
    assert [name for name in trained.left_by_the_killed_run if not name.startswith(".")] == []
    assert trained.left_by_the_killed_run, "the killed run was expected to leave a partial folder"
    assert [path.name for path in trained.directory.parent.iterdir()] == ["first"]
    assert (trained.directory / WEIGHTS).is_file()


@pytest.mark.slow
def test_the_adapter_directory_is_complete_and_names_no_machine_path(
    trained: TrainedAdapter,
) -> None:
    names = {path.name for path in trained.directory.iterdir()}

    assert names >= {
        *(WEIGHTS, "adapter_config.json", "tokenizer.json", "training_log.jsonl"),
        *("label_preview.json", "training.json", "loss.png"),
    }
    for file in ("adapter_config.json", "training.json", "label_preview.json"):
        assert str(trained.directory.parents[2]) not in (trained.directory / file).read_text()


@pytest.mark.slow
def test_the_record_tells_what_was_trained_on(trained: TrainedAdapter) -> None:
    record = json.loads((trained.directory / "training.json").read_text())
    log = [json.loads(line) for line in (trained.directory / "training_log.jsonl").open()]

    assert record["truncated_rows"] == 1
    assert record["train_rows"] == 10
    assert record["steps"] == sum("loss" in entry for entry in log) >= 2
    assert [entry["step"] for entry in log if "validation_loss" in entry] == [0, record["steps"]]
    assert 0 < record["tokens"] <= load_preset("tiny").max_tokens
    assert record["final_validation_loss"] < record["first_validation_loss"]
    assert any("1 rows cut to the maximum length" in line for line in trained.lines)


@pytest.mark.slow
def test_the_adapter_changes_the_logits_of_its_base(
    trained: TrainedAdapter, base_model_dir: Path
) -> None:
    import torch  # noqa: PLC0415 - heavy
    from peft import PeftModel  # noqa: PLC0415 - heavy
    from transformers import AutoModelForCausalLM  # noqa: PLC0415 - heavy

    ids = torch.arange(20, 40)[None]
    base = AutoModelForCausalLM.from_pretrained(base_model_dir, dtype=torch.float32)
    with torch.no_grad():
        before = base(ids).logits
        tuned = PeftModel.from_pretrained(base, trained.directory)
        after = tuned(ids).logits
        with tuned.disable_adapter():
            disabled = tuned(ids).logits

    assert not torch.allclose(before, after, atol=1e-2)
    assert torch.equal(before, disabled)


@pytest.mark.slow
def test_pipes_carry_the_record_and_the_same_seed_gives_the_same_weights(
    trained: TrainedAdapter, base_model_dir: Path, tmp_path: Path
) -> None:
    spec = spec_of(tmp_path, datasets_dir=trained.datasets_dir, base_model_dir=base_model_dir)

    @dg.asset
    def adapter(
        context: dg.AssetExecutionContext, pipes: dg.PipesSubprocessClient
    ) -> dg.MaterializeResult[Any]:
        return pipes.run(context=context, command=training_command(spec)).get_materialize_result()

    result = dg.materialize([adapter], resources={"pipes": dg.PipesSubprocessClient()})
    metadata = result.asset_materializations_for_node("adapter")[0].metadata

    assert metadata["truncated_rows"].value == 1
    assert file_hash(tmp_path / "adapter" / WEIGHTS) == file_hash(trained.directory / WEIGHTS)


@pytest.mark.slow
def test_an_adapter_that_is_there_is_not_trained_again(
    trained: TrainedAdapter, base_model_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "adapter").mkdir()
    spec = spec_of(tmp_path, datasets_dir=trained.datasets_dir, base_model_dir=base_model_dir)
    lines: list[str] = []

    assert train_adapter(spec, lines.append) == tmp_path / "adapter"
    assert lines == []


@pytest.mark.slow
def test_rows_that_do_not_fit_fail_with_their_mend_and_leave_nothing(
    base_model_dir: Path, tmp_path: Path
) -> None:
    preset = load_preset("tiny").model_copy(update={"max_length": 10})
    spec = spec_of(
        tmp_path,
        datasets_dir=write_datasets(tmp_path / "data", [row(1)]),
        base_model_dir=base_model_dir,
        preset=preset,
    )

    with pytest.raises(QiPipelineError, match="raise max_length"):
        train_adapter(spec, lambda _: None)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "spec.json"]


def test_missing_inputs_are_named_before_a_process_starts(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, datasets_dir=tmp_path, base_model_dir=tmp_path)
    with pytest.raises(QiPipelineError, match=r"no train\.parquet"):
        train_adapter(spec)

    write_datasets(tmp_path, [row(1)])
    with pytest.raises(QiPipelineError, match="not a Hugging Face model folder"):
        train_adapter(spec)


def test_unsloth_that_is_not_installed_names_the_way_out() -> None:
    with pytest.raises(QiPipelineError, match="needs Unsloth, which is not in this environment"):
        load_backend(load_preset("workstation"))


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fpu avx512f", "float32"), ("fpu avx512_bf16", "bfloat16"), ("amx_bf16", "bfloat16")],
)
def test_auto_is_bfloat16_only_where_the_processor_multiplies_in_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: str, expected: str
) -> None:
    information = tmp_path / "cpuinfo"
    information.write_text(f"flags\t\t: {flags}\n")
    monkeypatch.setattr("qi_pipeline.training.backend._CPU_INFORMATION", information)

    assert choose_precision(load_preset("tiny"), "cpu") == expected
