"""Paths and choices a person makes outside the code; the only reader of environment variables.

Flows in: `QI_*` variables (or a `.env` file beside the working directory). Flows out: one frozen
`Settings`. Hyperparameters live in `training/presets.toml`, library facts in a library profile.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, AliasChoices, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from qi_pipeline.errors import QiPipelineError

PROJECT_ROOT = Path(__file__).resolve().parent.parent

# A `.env` file has no shell to expand `~`, and child processes run in other working directories.
_AbsolutePath = Annotated[Path, AfterValidator(lambda path: path.expanduser().absolute())]


ArmName = Literal[
    "base", "base+retrieval", "tuned", "tuned+retrieval", "tuned+retrieval+verification"
]
ARMS: tuple[ArmName, ...] = get_args(ArmName)


class Settings(BaseSettings):
    """Every setting of the pipeline; field `x` is read from `QI_X`, and an empty one is unset."""

    model_config = SettingsConfigDict(
        env_prefix="QI_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    def __init__(self, **values: Any) -> None:
        """Read the environment; `values` go before it.

        Raises QiPipelineError naming each variable whose value does not fit.
        """
        try:
            super().__init__(**values)
        except ValidationError as error:
            problems = "; ".join(
                f"{_variable(str(item['loc'][0]))} is {item['input']!r}: {item['msg']}"
                for item in error.errors()
            )
            raise QiPipelineError(f"{problems}; correct or unset it") from error
        except SettingsError as error:
            raise QiPipelineError(
                f"{error}; lists are written as JSON, such as "
                'QI_EVALUATION_ARMS=\'["base", "tuned"]\''
            ) from error

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
    data_dir: _AbsolutePath = PROJECT_ROOT / "data"
    """Where every artefact lies."""
    tasks: _AbsolutePath | None = None
    """Task suite of the evaluation (JSON Lines); unset means the bundled one."""
    evaluation_max_tokens: int = Field(default=800, ge=1)
    """Most tokens of one generated answer; the longest reference of the bundled suite has 760."""
    evaluation_arms: tuple[ArmName, ...] | None = None
    """Arms to measure, as a JSON list; `base` and `tuned` always are. Unset means the preset's."""
    evaluation_best_of: int = Field(default=4, ge=1)
    """Candidates per task in the verified arm."""
    evaluation_functions: int | None = Field(default=None, ge=0)
    """Most functions of the library that a model has to write anew; unset means all that can be."""
    evaluation_slots: int = Field(default=16, ge=1)
    """Answers generated side by side."""
    endpoint_api_key: str | None = None
    """Key for the OpenAI API that `qi evaluate --endpoint` asks."""
    canary_share: float = Field(default=0.1, ge=0.0, le=1.0)
    """Share of the traffic that a model gets when it has passed the gate, until somebody promotes
    it; 0 makes it live at once."""
    dagster_home: _AbsolutePath = Field(
        default=PROJECT_ROOT / ".dagster", validation_alias=AliasChoices("DAGSTER_HOME")
    )
    """Folder of the Dagster instance (`DAGSTER_HOME`)."""
    toolchain_dir: _AbsolutePath = PROJECT_ROOT / "toolchain"
    """Folder whose node_modules hold the pinned TypeScript compiler and test runner."""
    real_repo: _AbsolutePath | None = None
    """A clone of the real library, for the tests that need it."""
    sandbox: Literal["required", "off"] = "required"
    """Walls around TypeScript that nobody trusts; `off` runs it with resource limits alone, on your
    own responsibility, where the machine refuses namespaces."""
    chroma_url: str | None = None
    """http(s)://host:port of a Chroma server; unset means a folder below `data_dir`."""
    training_python: _AbsolutePath | None = None
    """Python of another environment to train in: Unsloth's (see requirements/unsloth.txt)."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads for training and generation; unset means all cores."""

    @property
    def cache_dir(self) -> Path:
        """Content-addressed intermediate results that may be deleted at any time."""
        return self.data_dir / "cache"

    @property
    def review_file(self) -> Path:
        """What people decided about patterns in review; theirs, and never made anew."""
        return self.data_dir / "review" / "decisions.jsonl"

    @property
    def converter_dir(self) -> Path:
        """Target folder of llama.cpp's converter (kept apart: it ships its own `gguf` module)."""
        return self.toolchain_dir / "llama.cpp"


def _variable(field: str) -> str:
    """Return the environment variable that a field is read from."""
    return field if field.isupper() else f"QI_{field.upper()}"
