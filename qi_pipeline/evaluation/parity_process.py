"""The process that asks an adapter what its exported file was asked: `python -m … SPEC RESULT`.

Flows in: a `ParitySpec` as JSON. Flows out: `ParityFindings` as JSON: whether both render the same
prompts and stop at the same tokens, how likely both find the references, and the adapter's own
answers. It loads torch and llama.cpp; judging what was found belongs to `parity`.
"""

import math
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qi_pipeline.artefacts import write_text
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.parity import AdapterAnswer, ParityFindings, ParitySpec, Probe
from qi_pipeline.evaluation.records import FinishReason, Message
from qi_pipeline.evaluation.repetition import is_stuck
from qi_pipeline.export.process import FLOAT32_LIMIT
from qi_pipeline.processes import end_with_parent, silence_library_notices

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from qi_pipeline.evaluation.batched_model import BatchedModel

_BATCH = 16
"""Conversations that the adapter answers side by side."""
_FOLLOWING_UP = "Write it again, shorter."
_DECLARED_STOPS = tuple(f"tokenizer.ggml.{end}_token_id" for end in ("eos", "eot", "eom"))


def compare(spec: ParitySpec) -> ParityFindings:
    """Return what adapter and file say to the same conversations.

    Raises QiPipelineError when one of them does not load.
    """
    import torch  # noqa: PLC0415 - heavy
    from transformers import AutoTokenizer  # noqa: PLC0415 - heavy

    threads = spec.threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(threads)
    tokenizer = AutoTokenizer.from_pretrained(spec.base_model_dir)
    model = _load_adapter(spec)
    stops = _stop_tokens(model, tokenizer)
    template_differs, stops_missing, stops_added = _served(spec, tokenizer, stops, threads)
    of_adapter, of_file = _likelihoods(spec, tokenizer, model, threads)
    tokens = len(of_adapter)
    return ParityFindings(
        template_differs=template_differs,
        stops_missing=stops_missing,
        stops_added=stops_added,
        negative_log_likelihood_adapter=-math.fsum(of_adapter) / tokens,
        negative_log_likelihood_gguf=-math.fsum(of_file) / tokens,
        token_difference=math.fsum(
            abs(one - other) for one, other in zip(of_adapter, of_file, strict=True)
        )
        / tokens,
        tokens=tokens,
        answers=tuple(_answers(model, tokenizer, spec, stops)),
    )


# ── The adapter ──────────────────────────────────────────────────────────────────────────────────


def _load_adapter(spec: ParitySpec) -> Any:
    import torch  # noqa: PLC0415 - heavy
    from peft import PeftModel  # noqa: PLC0415 - heavy
    from transformers import AutoModelForCausalLM  # noqa: PLC0415 - heavy

    # float32 wherever the export merged in it: the yardstick is no less precise than the file. In
    # bfloat16 12 of 16 greedy answers came out differently within 96 tokens.
    size = sum(file.stat().st_size for file in spec.base_model_dir.glob("*.safetensors"))
    dtype = torch.float32 if size < FLOAT32_LIMIT else torch.bfloat16
    loading = spec.base_model_dir
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(spec.base_model_dir, dtype=dtype)
        if spec.adapter_dir is not None:
            loading = spec.adapter_dir
            model = PeftModel.from_pretrained(model, spec.adapter_dir)
    except Exception as error:
        # What a broken file raises depends on which of three libraries reads it.
        raise QiPipelineError(f"cannot load {loading}: {error}") from error
    return model.eval()


def _stop_tokens(model: Any, tokenizer: "PreTrainedTokenizerBase") -> frozenset[int]:
    """Return what ends an answer of the adapter: its generation settings' and its tokenizer's."""
    configured = model.generation_config.eos_token_id
    found = configured if isinstance(configured, list) else [configured]
    return frozenset(int(token) for token in (*found, tokenizer.eos_token_id) if token is not None)


def _prompt_tokens(
    tokenizer: "PreTrainedTokenizerBase", messages: Sequence[Message]
) -> tuple[int, ...]:
    text = tokenizer.apply_chat_template(
        [message.model_dump() for message in messages], tokenize=False, add_generation_prompt=True
    )
    return tuple(tokenizer.encode(str(text), add_special_tokens=False))


def _answers(
    model: Any, tokenizer: "PreTrainedTokenizerBase", spec: ParitySpec, stops: frozenset[int]
) -> Iterator[AdapterAnswer]:
    import torch  # noqa: PLC0415 - heavy
    from transformers import GenerationConfig, StoppingCriteriaList  # noqa: PLC0415 - heavy

    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(stops)
    # A model's own settings, such as a penalty for repetition, would fill in what is not given
    # here; the file is asked without them.
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=spec.max_tokens,
        do_sample=False,
        eos_token_id=sorted(stops),
        pad_token_id=padding,
    )
    prompts = {probe.id: _prompt_tokens(tokenizer, probe.messages) for probe in spec.probes}
    ordered = sorted(prompts, key=lambda probe_id: len(prompts[probe_id]))
    for start in range(0, len(ordered), _BATCH):
        group = ordered[start : start + _BATCH]
        width = max(len(prompts[probe_id]) for probe_id in group)
        missing = [width - len(prompts[probe_id]) for probe_id in group]
        ids = [[padding] * gap + [*prompts[key]] for gap, key in zip(missing, group, strict=True)]
        mask = [[0] * gap + [1] * (width - gap) for gap in missing]
        with torch.inference_mode():
            written = model.generate(
                input_ids=torch.tensor(ids),
                attention_mask=torch.tensor(mask),
                stopping_criteria=StoppingCriteriaList([_stuck_rows(width)]),
            )[:, width:].tolist()
        for probe_id, tokens in zip(group, written, strict=True):
            kept, reason = _until_its_end(tokens, stops)
            yield AdapterAnswer(
                id=probe_id,
                answer=str(tokenizer.decode(kept, skip_special_tokens=True)),
                tokens=len(kept),
                finish_reason=reason,
            )


def _stuck_rows(width: int) -> Any:
    """Return what ends the rows that only repeat themselves, as `BatchedModel` does.

    width: tokens of prompt, padding included, before every answer.
    """
    import torch  # noqa: PLC0415 - heavy
    from transformers import StoppingCriteria  # noqa: PLC0415 - heavy

    class Stuck(StoppingCriteria):
        def __call__(self, input_ids: Any, scores: Any, **_: Any) -> Any:  # noqa: ARG002
            return torch.tensor([is_stuck(row) for row in input_ids[:, width:].tolist()])

    return Stuck()


def _until_its_end(tokens: list[int], stops: frozenset[int]) -> tuple[list[int], FinishReason]:
    """Return the tokens up to where the answer ends, padding after it cut off, and why it does."""
    for place, token in enumerate(tokens):
        if token in stops:
            return tokens[:place], "stop"
        if is_stuck(tokens[: place + 1]):
            return tokens[: place + 1], "repetition"
    return tokens, "length"


# ── The file, and both ───────────────────────────────────────────────────────────────────────────


def _served(
    spec: ParitySpec,
    tokenizer: "PreTrainedTokenizerBase",
    stops: frozenset[int],
    threads: int,
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the probes rendered differently, the stop tokens missing, and those added.

    Added are those that the file itself declares. llama.cpp also stops at what ends the answers of
    other models, `</s>` for example; that is the same for every file with this vocabulary.
    """
    from llama_cpp import Llama  # noqa: PLC0415 - native library

    from qi_pipeline.evaluation.batched_model import BatchedModel  # noqa: PLC0415 - native library

    try:
        with BatchedModel(spec.gguf, threads) as served:
            differs = [
                probe.id for probe in spec.probes if _renders_differently(served, tokenizer, probe)
            ]
            missing = {token for token in stops if not served.ends_answer(token)}
    except QiPipelineError:
        raise
    except Exception as error:
        # A chat template is a program of the model's author: it may raise anything.
        raise QiPipelineError(f"the chat template of {spec.gguf} fails: {error}") from error
    metadata = Llama(str(spec.gguf), vocab_only=True, verbose=False).metadata
    declared = {int(metadata[key]) for key in _DECLARED_STOPS if key in metadata}
    return tuple(differs), _texts(tokenizer, missing), _texts(tokenizer, declared - stops)


def _renders_differently(
    served: "BatchedModel", tokenizer: "PreTrainedTokenizerBase", probe: Probe
) -> bool:
    """Tell whether the probe, or a question after its answer, gives different tokens."""
    longer = (
        *probe.messages,
        Message(role="assistant", content=probe.reference),
        Message(role="user", content=_FOLLOWING_UP),
    )
    return any(
        tuple(served.tokenize(messages)) != _prompt_tokens(tokenizer, messages)
        for messages in (probe.messages, longer)
    )


def _texts(tokenizer: "PreTrainedTokenizerBase", tokens: set[int]) -> tuple[str, ...]:
    return tuple(sorted(str(tokenizer.decode([token])) for token in tokens))


def _likelihoods(
    spec: ParitySpec, tokenizer: "PreTrainedTokenizerBase", model: Any, threads: int
) -> tuple[list[float], list[float]]:
    """Return the log likelihood of every token of all references, for the adapter and the file."""
    from qi_pipeline.evaluation.likelihood import (  # noqa: PLC0415 - native library
        Continuation,
        adapter_likelihoods,
        file_likelihoods,
    )

    continuations = [
        Continuation(
            prompt=_prompt_tokens(tokenizer, probe.messages),
            tokens=tuple(tokenizer.encode(probe.reference, add_special_tokens=False)),
        )
        for probe in spec.probes
    ]
    of_file = file_likelihoods(spec.gguf, continuations, threads)
    of_adapter = [adapter_likelihoods(model, continuation) for continuation in continuations]
    return list(chain.from_iterable(of_adapter)), list(chain.from_iterable(of_file))


def main(arguments: list[str]) -> int:
    """Compare as the specification says; return the exit status."""
    end_with_parent()
    silence_library_notices()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    specification, result = map(Path, arguments)
    try:
        findings = compare(ParitySpec.model_validate_json(specification.read_bytes()))
    except QiPipelineError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    write_text(result, findings.model_dump_json())
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
