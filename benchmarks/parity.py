"""What an export costs in likelihood: `python -m benchmarks.parity BASE [ADAPTER …]`.

BASE: the base model's Hugging Face folder. Exports it and every adapter as f16, q8_0 and q4_k_m and
compares every model with its own files, and with the quantized ones of the others, on some
references of the bundled suite. Prints how many nats a token the references cost each file more
than the model, and how far apart single tokens are.
"""

import argparse
import datetime as dt
import os
import platform
import tempfile
from pathlib import Path
from typing import get_args

from qi_pipeline.evaluation.parity import ParitySpec, choose_probes, compare_models, make_probe
from qi_pipeline.evaluation.tasks import bundled_suite, load_tasks
from qi_pipeline.export.gguf import MODEL_FILE, Quantization, export_gguf
from qi_pipeline.settings import Settings


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("adapters", type=Path, nargs="*")
    parser.add_argument("--references", type=int, default=24)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args()
    date = dt.datetime.now(dt.UTC).date().isoformat()
    print(f"{date}, {platform.platform()}, load {os.getloadavg()[0]:.1f}")
    probes = tuple(
        make_probe(task, system_prompt="")
        for task in choose_probes(load_tasks(bundled_suite()), options.references)
    )
    models = {"base": None, **{adapter.name: adapter for adapter in options.adapters}}
    with tempfile.TemporaryDirectory() as scratch:
        files = _export_all(options.base, models, Path(scratch), options.threads)
        for model, adapter in models.items():
            for (owner, quantization), gguf in files.items():
                if owner != model and quantization == "f16":
                    continue
                found = compare_models(
                    ParitySpec(
                        base_model_dir=options.base,
                        adapter_dir=adapter,
                        gguf=gguf,
                        probes=probes,
                        max_tokens=1,
                        threads=options.threads,
                    )
                )
                lost = found.negative_log_likelihood_gguf - found.negative_log_likelihood_adapter
                print(
                    f"{model} against {'its own' if owner == model else owner} {quantization}: "
                    f"{lost:+.4f} nats a token, {found.token_difference:.4f} apart, "
                    f"{found.tokens} tokens",
                    flush=True,
                )


def _export_all(
    base: Path, models: dict[str, Path | None], folder: Path, threads: int | None
) -> dict[tuple[str, str], Path]:
    files = {}
    for name, adapter in models.items():
        for quantization in get_args(Quantization):
            target = folder / f"{name}-{quantization}"
            converter = Settings().converter_dir
            export_gguf(
                base, adapter, target, quantization, converter, system_prompt="", threads=threads
            )
            files[name, quantization] = target / MODEL_FILE
    return files


if __name__ == "__main__":
    main()
