"""Paths and choices a person makes outside the code; the only reader of environment variables.

Flows in: `QI_*` variables (or a `.env` file beside the working directory). Flows out: one frozen
`Settings`. Hyperparameters live in `training/presets.toml`, library facts in a library profile.
"""

from functools import cached_property
from pathlib import Path

from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """Every setting of the pipeline; field `x` is read from `QI_X`."""

    model_config = SettingsConfigDict(
        env_prefix="QI_", env_file=".env", extra="ignore", frozen=True
    )

    source: str = "sample"
    """Path or URL of the git repository to learn from; `sample` is the bundled library."""
    revision: str = "HEAD"
    """Branch, tag or commit of `source`."""
    profile: str = "qicore"
    """Name of a bundled library profile, or the path of a profile.toml."""
    preset: str = "embedded"
    """Training preset (`qi presets` lists them)."""
    base_model: str | None = None
    """GGUF file, Hugging Face folder or hub id; overrides the preset's own."""
    quantization: str = "q8_0"
    """GGUF type of the exported model: q8_0, q4_k_m or f16."""
    data_dir: Path = PROJECT_ROOT / "data"
    """Where every artefact lies."""
    toolchain_dir: Path = PROJECT_ROOT / "toolchain"
    """Folder whose node_modules hold the pinned TypeScript compiler and test runner."""
    real_repo: Path | None = None
    """A clone of the real library, for the tests that need it."""
    chroma_url: str | None = None
    """http(s)://host:port of a Chroma server; unset means a folder below `data_dir`."""
    threads: int | None = None
    """CPU threads for training and generation; unset means all cores."""

    @cached_property
    def cache_dir(self) -> Path:
        """Content-addressed intermediate results that may be deleted at any time."""
        return self.data_dir / "cache"

    @cached_property
    def converter_dir(self) -> Path:
        """Target folder of llama.cpp's converter (kept apart: it ships its own `gguf` module)."""
        return self.toolchain_dir / "llama.cpp"
