"""The export process: `python -m qi_pipeline.export.process SPEC.json`.

Flows in: an `ExportSpec`. Flows out: the export directory. Order: merge the adapter into the base,
convert with llama.cpp's own converter, quantize, load the file and ask it one question, write the
Modelfile. Started by `gguf.export_gguf` only; it loads torch and llama.cpp.
"""

import ctypes
import importlib.metadata
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qi_pipeline.artefacts import build_directory, file_hash, write_text
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.export.gguf import (
    CONVERTER_REQUIREMENT,
    CONVERTER_SCRIPT,
    MODEL_FILE,
    REPORT_FILE,
    ExportReport,
    ExportSpec,
)
from qi_pipeline.export.modelfile import (
    CONVERSATIONS,
    ChatShape,
    derive_chat_shape,
    modelfile_text,
)
from qi_pipeline.processes import end_with_parent
from qi_pipeline.training.base_model import base_model_identity

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

QUESTION = "Write a function that adds two numbers."
_ANSWER_TOKENS = 24
_SMOKE_CONTEXT = 512

# Below this many bytes of weights the merge is done in float32: an adapter's change is of the size
# of bfloat16's rounding.
FLOAT32_LIMIT = 4_000_000_000


def export(spec: ExportSpec) -> None:
    """Make `spec.destination_dir`.

    Raises QiPipelineError when a step fails; no directory is left then.
    """
    build_directory(spec.destination_dir, lambda folder: _build(spec, folder))


def _build(spec: ExportSpec, folder: Path) -> None:
    started = time.monotonic()
    from transformers import AutoTokenizer  # noqa: PLC0415 - loads torch

    tokenizer = AutoTokenizer.from_pretrained(spec.base_model_dir)
    shape = derive_chat_shape(tokenizer)
    model = folder / MODEL_FILE
    with tempfile.TemporaryDirectory(dir=folder, prefix="work-") as work:
        merged = _merge(spec, tokenizer, Path(work) / "merged")
        _convert_and_quantize(spec, merged, model)
    answer = _ask(model, shape, tokenizer, spec)
    write_text(
        folder / "Modelfile",
        modelfile_text(
            shape,
            spec.system_prompt,
            context_length=spec.context_length,
            max_answer=spec.max_answer,
        ),
    )
    report = _report(spec, shape, model, answer, time.monotonic() - started)
    write_text(folder / REPORT_FILE, report.model_dump_json(indent=2) + "\n")


def _merge(spec: ExportSpec, tokenizer: "PreTrainedTokenizerBase", merged: Path) -> Path:
    import torch  # noqa: PLC0415 - heavy
    from peft import PeftModel  # noqa: PLC0415 - heavy
    from transformers import AutoModelForCausalLM  # noqa: PLC0415 - heavy

    torch.set_num_threads(spec.threads or len(os.sched_getaffinity(0)))
    size = sum(file.stat().st_size for file in spec.base_model_dir.glob("*.safetensors"))
    model: Any = AutoModelForCausalLM.from_pretrained(
        spec.base_model_dir,
        dtype=torch.float32 if size < FLOAT32_LIMIT else torch.bfloat16,
    )
    if spec.adapter_dir is not None:
        model = PeftModel.from_pretrained(model, spec.adapter_dir).merge_and_unload()
    model.save_pretrained(merged)
    tokenizer.save_pretrained(merged)
    return merged


def _convert_and_quantize(spec: ExportSpec, merged: Path, model: Path) -> None:
    if spec.quantization != "q4_k_m":
        _convert(spec, merged, model, spec.quantization)
        return
    half = merged.with_suffix(".f16.gguf")
    _convert(spec, merged, half, "f16")
    _quantize_q4_k_m(half, model, spec.threads)


def _convert(spec: ExportSpec, merged: Path, model: Path, outtype: str) -> None:
    finished = subprocess.run(
        [
            *(sys.executable, str(spec.converter_dir / CONVERTER_SCRIPT), str(merged)),
            *("--outfile", str(model), "--outtype", outtype, "--model-name", "qi-expert"),
        ],
        # Its own `gguf` module must win over the distribution of that name.
        env={**os.environ, "PYTHONPATH": str(spec.converter_dir), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if finished.returncode != 0 or not model.is_file():
        last_lines = "\n".join(finished.stderr.strip().splitlines()[-8:])
        raise QiPipelineError(f"{CONVERTER_REQUIREMENT} could not convert:\n{last_lines}")


def _quantize_q4_k_m(source: Path, target: Path, threads: int | None) -> None:
    import llama_cpp  # noqa: PLC0415 - native library

    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_K_M
    parameters.nthread = threads or 0
    status = llama_cpp.llama_model_quantize(
        str(source).encode(), str(target).encode(), ctypes.byref(parameters)
    )
    if status != 0 or not target.is_file():
        raise QiPipelineError(f"llama.cpp could not quantize to q4_k_m (status {status})")


def _ask(
    model: Path, shape: ChatShape, tokenizer: "PreTrainedTokenizerBase", spec: ExportSpec
) -> str:
    """Return the exported model's answer to `QUESTION`, asked through its own chat template."""
    import llama_cpp  # noqa: PLC0415 - native library

    try:
        llama = llama_cpp.Llama(
            str(model), n_ctx=_SMOKE_CONTEXT, n_threads=spec.threads, verbose=False
        )
    except ValueError as error:
        raise QiPipelineError(f"the exported model does not load: {error}") from error
    _check_tokens(llama, shape, tokenizer)
    reply: Any = llama.create_chat_completion(
        [{"role": "user", "content": QUESTION}], max_tokens=_ANSWER_TOKENS, temperature=0.0
    )
    answer = str(reply["choices"][0]["message"]["content"] or "").strip()
    if not answer:
        raise QiPipelineError(f"the exported model loads but answers nothing to {QUESTION!r}")
    return answer


def _check_tokens(llama: Any, shape: ChatShape, tokenizer: "PreTrainedTokenizerBase") -> None:
    prompts: Sequence[str] = [shape.render(conversation) for conversation in CONVERSATIONS]
    for prompt in prompts:
        served = llama.tokenize(prompt.encode(), add_bos=True, special=True)
        if served != tokenizer.encode(prompt, add_special_tokens=False):
            raise QiPipelineError(
                f"llama.cpp splits the prompt {prompt[:60]!r}… into other tokens than training "
                "did; the tokenizer of the base model is not converted faithfully"
            )


def _report(
    spec: ExportSpec, shape: ChatShape, model: Path, answer: str, seconds: float
) -> ExportReport:
    name, revision = base_model_identity(spec.base_model_dir)
    weights = spec.adapter_dir / "adapter_model.safetensors" if spec.adapter_dir else None
    return ExportReport(
        base_model=name,
        base_model_revision=revision,
        adapter=file_hash(weights) if weights else None,
        quantization=spec.quantization,
        size=model.stat().st_size,
        sha256=file_hash(model),
        question=QUESTION,
        answer=answer,
        tokenizer_parity=True,
        template=shape.go_template(),
        stop=shape.stop,
        system=spec.system_prompt,
        parameters={
            "num_ctx": spec.context_length,
            "num_predict": spec.max_answer,
            "temperature": 0,
        },
        seconds=round(seconds, 1),
        versions={
            package: importlib.metadata.version(package)
            for package in ("torch", "transformers", "peft", "llama-cpp-python")
        },
    )


def main(arguments: list[str]) -> int:
    """Export as the specification says; return the exit status."""
    end_with_parent()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    specification = Path(arguments[0]).read_text(encoding="utf-8")
    try:
        export(ExportSpec.model_validate_json(specification))
    except QiPipelineError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
