"""What Dagster loads: complete, described, versioned, and light."""

import subprocess
import sys

import dagster as dg
import pytest

from qi_pipeline.definitions import defs

ASSETS = {
    "repo_snapshot",
    "patterns",
    "validated_patterns",
    "training_datasets",
    "pattern_index",
    "pattern_evolution",
    "lora_adapter",
    "gguf_model",
    "evaluation_report",
    "model_release",
}
HEAVY = (
    *("torch", "transformers", "trl", "peft", "datasets", "bitsandbytes"),
    *("chromadb", "sentence_transformers", "llama_cpp", "matplotlib", "sklearn"),
)


@pytest.fixture(scope="module")
def loaded() -> dg.Definitions:
    return defs()


def test_every_designed_asset_is_there(loaded: dg.Definitions) -> None:
    keys = {key.path[-1] for key in loaded.resolve_asset_graph().get_all_asset_keys()}
    assert keys == ASSETS


def test_every_asset_says_what_it_is_and_who_owns_it(loaded: dg.Definitions) -> None:
    for spec in loaded.resolve_all_asset_specs():
        assert spec.description, spec.key
        assert spec.code_version, spec.key
        assert spec.owners, spec.key
        assert spec.kinds, spec.key
        assert spec.group_name != "default", spec.key


def test_blocking_checks_stand_before_training_and_before_release(loaded: dg.Definitions) -> None:
    checks = {
        spec.name: spec
        for definition in loaded.asset_checks or []
        for spec in definition.check_specs
    }
    assert checks["datasets_are_trainable"].blocking
    assert checks["kept_patterns_comply"].blocking
    assert checks["candidate_is_not_worse"].blocking
    assert checks["candidate_is_not_worse"].asset_key == dg.AssetKey("evaluation_report")


def test_jobs_cover_the_graph(loaded: dg.Definitions) -> None:
    def assets_of(job: str) -> set[str]:
        keys = loaded.resolve_job_def(job).asset_layer.executable_asset_keys
        return {key.path[-1] for key in keys}

    assert assets_of("full_refresh") == ASSETS
    assert assets_of("refresh_data") | assets_of("train_and_evaluate") == ASSETS
    assert not assets_of("refresh_data") & assets_of("train_and_evaluate")
    assert "lora_adapter" not in assets_of("refresh_data")


def test_the_nightly_schedule_and_the_commit_sensor_run_the_whole_graph(
    loaded: dg.Definitions,
) -> None:
    repository = loaded.get_repository_def()
    assert repository.get_schedule_def("nightly_full_refresh").job_name == "full_refresh"
    assert repository.get_sensor_def("qicore_commits").job_name == "full_refresh"


def test_loading_the_definitions_imports_nothing_heavy() -> None:
    program = (
        "import sys; from qi_pipeline.definitions import defs; "
        "defs().get_repository_def(); "
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
