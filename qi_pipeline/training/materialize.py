"""The process that writes a base model as a Hugging Face folder.

Flows in: kind, name, location, revision and destination on the command line. Flows out: the folder,
whole or not at all. Started by `base_model.materialize_base_model` only; loads torch.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qi_pipeline.artefacts import build_directory, write_json
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.processes import end_with_parent
from qi_pipeline.training.base_model import IDENTITY_FILE

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Digits beside white space, runs of spaces and tabs, contractions and non-ASCII text: the places
# where pre-tokenizers differ.
TOKENIZER_PROBES = (
    "export const limits: number[] = [\n    0,\n    1024,\n\t17 ];\n\n\n",
    "import { failure, success, type Result } from '@qi/base';\r\n  // it's 3rd\n",
    "const price = `${(1234.5).toFixed(2)} €`; /* naïve, 你好 */\n        }\n\n    }",
    "<|user|> x => x?.y ?? 0xFF_00n !== -1e9",
)


def load_gguf_tokenizer(file: Path) -> "PreTrainedTokenizerBase":
    """Return the tokenizer held by a GGUF file, encoding text as llama.cpp does.

    Raises QiPipelineError when the two disagree: a model would be trained on other tokens than it
    is served with.
    """
    from transformers import AutoTokenizer  # noqa: PLC0415 - loads torch

    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    vocabulary = _load_vocabulary(file)
    _restore_pre_tokenizer(tokenizer, vocabulary.metadata.get("tokenizer.ggml.pre", ""))
    if tokenizer.chat_template is None:
        raise QiPipelineError(f"{file.name} holds no chat template; give an instruct model")
    for probe in TOKENIZER_PROBES:
        ours = tokenizer.encode(probe, add_special_tokens=False)
        theirs = vocabulary.tokenize(probe.encode(), add_bos=False, special=True)
        if ours != theirs:
            raise QiPipelineError(
                f"the tokenizer read from {file.name} differs from llama.cpp's on {probe!r}; "
                "give the Hugging Face folder of this model instead of its GGUF"
            )
    return tokenizer


def _load_vocabulary(file: Path) -> Any:
    from llama_cpp import Llama  # noqa: PLC0415 - loads the native library

    return Llama(str(file), vocab_only=True, verbose=False)


def _restore_pre_tokenizer(tokenizer: "PreTrainedTokenizerBase", name: str) -> None:
    """Split digits one by one where the GGUF says so; transformers drops that while reading it.

    Source: llama.cpp `llama-vocab.cpp`, LLAMA_VOCAB_PRE_TYPE_SMOLLM and its siblings.
    """
    if name not in {"smollm", "starcoder", "refact", "command-r", "codeshell"}:
        return
    from tokenizers import pre_tokenizers  # noqa: PLC0415 - native library

    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )


def _write_from_gguf(file: Path, folder: Path) -> None:
    import torch  # noqa: PLC0415 - heavy
    from transformers import AutoModelForCausalLM, GgufConfig  # noqa: PLC0415 - heavy

    load_gguf_tokenizer(file).save_pretrained(folder)
    # Without dequantize=True the model looks trainable and then refuses to be saved.
    model = AutoModelForCausalLM.from_pretrained(
        file.parent,
        gguf_file=file.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    # The GGUF's own name lands here and would be taken for a path.
    model.config.name_or_path = ""
    model.save_pretrained(folder)


def _write_from_hub(hub_id: str, revision: str, folder: Path) -> None:
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - slow to import

    snapshot_download(
        hub_id,
        revision=revision,
        local_dir=folder,
        allow_patterns=["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model"],
    )


def main(arguments: list[str]) -> int:
    """Write the folder; return the exit status."""
    end_with_parent()
    kind, name, location, revision, destination = arguments

    def build(folder: Path) -> None:
        if kind == "gguf":
            _write_from_gguf(Path(location), folder)
        else:
            _write_from_hub(location, revision, folder)
        write_json(folder / IDENTITY_FILE, {"kind": kind, "name": name, "revision": revision})

    try:
        build_directory(Path(destination), build)
    except QiPipelineError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
