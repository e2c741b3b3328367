"""Settings come from `QI_*` and are checked where they are read."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.settings import PROJECT_ROOT, Settings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run in an empty folder, without the variables and `.env` file of whoever runs the tests."""
    for field in Settings.model_fields:
        monkeypatch.delenv(f"QI_{field.upper()}", raising=False)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_defaults_need_no_environment() -> None:
    settings = Settings()
    assert (settings.source, settings.profile, settings.preset) == ("sample", "qicore", "embedded")
    assert settings.data_dir == PROJECT_ROOT / "data"
    assert settings.chroma_url is None


def test_a_variable_goes_before_the_env_file_and_that_before_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("QI_PRESET=laptop\nQI_REVISION=v1\nUNRELATED=1\n")
    monkeypatch.setenv("QI_REVISION", "v2")
    settings = Settings()
    assert (settings.preset, settings.revision, settings.source) == ("laptop", "v2", "sample")


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    # Compose passes `QI_CHROMA_URL=` when the person has not set it.
    monkeypatch.setenv("QI_CHROMA_URL", "")
    monkeypatch.setenv("QI_THREADS", "")
    assert Settings().chroma_url is None
    assert Settings().threads is None


def test_paths_are_absolute_and_know_the_home_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("QI_DATA_DIR", "~/qi")
    monkeypatch.setenv("QI_TOOLCHAIN_DIR", "tools")
    settings = Settings()
    assert settings.data_dir == tmp_path / "home" / "qi"
    assert settings.cache_dir == tmp_path / "home" / "qi" / "cache"
    assert settings.converter_dir == tmp_path / "tools" / "llama.cpp"


def test_derived_folders_follow_a_copy_with_another_data_dir(tmp_path: Path) -> None:
    settings = Settings()
    assert settings.cache_dir == PROJECT_ROOT / "data" / "cache"
    moved = settings.model_copy(update={"data_dir": tmp_path})
    assert moved.cache_dir == tmp_path / "cache"


@pytest.mark.parametrize(("variable", "value"), [("QI_THREADS", "many"), ("QI_THREADS", "0")])
def test_a_value_that_does_not_fit_names_the_variable(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(QiPipelineError, match=f"{variable} is '{value}': .*correct or unset it"):
        Settings()


def test_settings_cannot_be_changed_once_read() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().preset = "other"  # type: ignore[misc]
