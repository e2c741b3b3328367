"""The process that asks an adapter what its exported file was asked: `python -m … SPEC RESULT`.

Flows in: a `ParitySpec` as JSON. Flows out: `ParityFindings` as JSON: whether both render the same
prompts and stop at the same tokens, how likely both find the references, and the adapter's own
answers. It loads torch and llama.cpp; judging what was found belongs to `parity`.
"""

import math
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qi_pipeline.artefacts import write_text
from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.parity import AdapterAnswer, ParityFindings, ParitySpec, Probe
from qi_pipeline.processes import end_with_parent, silence_library_notices

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_BATCH = 8
"""Conversations that the adapter answers side by side."""


def compare(spec: ParitySpec) -> ParityFindings:
    """Return what adapter and file say to the same conversations.

    Raises QiPipelineError when one of them does not load.
    """
    import torch  # noqa: PLC0415 - heavy
    from transformers import AutoTokenizer  # noqa: PLC0415 - heavy

    torch.set_num_threads(spec.threads or len(os.sched_getaffinity(0)))
    tokenizer = AutoTokenizer.from_pretrained(spec.base_model_dir)
    prompts = {probe.id: _prompt_tokens(tokenizer, probe) for probe in spec.probes}
    references = {
        probe.id: tokenizer.encode(probe.reference, add_special_tokens=False)
        for probe in spec.probes
    }
    model = _load_adapter(spec)
    adapter_likelihoods = [
        _adapter_likelihood(model, prompts[probe.id], references[probe.id]) for probe in spec.probes
    ]
    stops = _stop_tokens(model, tokenizer)
    answers = tuple(_answers(model, tokenizer, spec, prompts, stops))
    del model
    served_prompts, served_stops = _served(spec, stops)
    file_likelihoods = _file_likelihoods(spec, prompts, references)
    tokens = sum(map(len, references.values()))
    return ParityFindings(
        template_differs=tuple(
            probe.id for probe in spec.probes if served_prompts[probe.id] != prompts[probe.id]
        ),
        stops_missing=tuple(sorted(set(map(tokenizer.decode, stops - served_stops)))),
        negative_log_likelihood_adapter=-math.fsum(adapter_likelihoods) / tokens,
        negative_log_likelihood_gguf=-math.fsum(file_likelihoods) / tokens,
        tokens=tokens,
        answers=answers,
    )


def _prompt_tokens(tokenizer: "PreTrainedTokenizerBase", probe: Probe) -> list[int]:
    text = tokenizer.apply_chat_template(
        [message.model_dump() for message in probe.messages],
        tokenize=False,
        add_generation_prompt=True,
    )
    return list(tokenizer.encode(str(text), add_special_tokens=False))


def _load_adapter(spec: ParitySpec) -> Any:
    import torch  # noqa: PLC0415 - heavy
    from peft import PeftModel  # noqa: PLC0415 - heavy
    from transformers import AutoModelForCausalLM  # noqa: PLC0415 - heavy

    # float32: the yardstick must not have rounding errors of its own.
    model: Any = AutoModelForCausalLM.from_pretrained(spec.base_model_dir, dtype=torch.float32)
    if spec.adapter_dir is not None:
        model = PeftModel.from_pretrained(model, spec.adapter_dir)
    return model.eval()


def _adapter_likelihood(model: Any, prompt: Sequence[int], reference: Sequence[int]) -> float:
    """Return the log likelihood, in nats, of the reference after the prompt."""
    import torch  # noqa: PLC0415 - heavy

    ids = torch.tensor([[*prompt, *reference]])
    with torch.inference_mode():
        logits = model(ids).logits[0, len(prompt) - 1 : -1]
        likelihoods = torch.log_softmax(logits.float(), dim=-1)
        chosen = likelihoods.gather(1, torch.tensor(reference)[:, None])
    return float(chosen.sum())


def _stop_tokens(model: Any, tokenizer: "PreTrainedTokenizerBase") -> set[int]:
    """Return what ends an answer of the adapter: its generation settings' and its tokenizer's."""
    configured = model.generation_config.eos_token_id
    found = configured if isinstance(configured, list) else [configured]
    return {int(token) for token in (*found, tokenizer.eos_token_id) if token is not None}


def _answers(
    model: Any,
    tokenizer: "PreTrainedTokenizerBase",
    spec: ParitySpec,
    prompts: dict[str, list[int]],
    stops: set[int],
) -> Iterator[AdapterAnswer]:
    import torch  # noqa: PLC0415 - heavy

    ordered = sorted(prompts, key=lambda probe_id: len(prompts[probe_id]))
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(stops)
    for start in range(0, len(ordered), _BATCH):
        group = ordered[start : start + _BATCH]
        width = max(len(prompts[probe_id]) for probe_id in group)
        missing = [width - len(prompts[probe_id]) for probe_id in group]
        ids = torch.tensor(
            [[padding] * gap + prompts[key] for gap, key in zip(missing, group, strict=True)]
        )
        mask = torch.tensor([[0] * gap + [1] * (width - gap) for gap in missing])
        with torch.inference_mode():
            written = model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=spec.max_tokens,
                do_sample=False,
                eos_token_id=sorted(stops),
                pad_token_id=padding,
            )[:, width:].tolist()
        for probe_id, tokens in zip(group, written, strict=True):
            ends = [place for place, token in enumerate(tokens) if token in stops]
            kept = tokens[: ends[0]] if ends else tokens
            yield AdapterAnswer(
                id=probe_id,
                answer=tokenizer.decode(kept, skip_special_tokens=False),
                tokens=len(kept),
                stopped=bool(ends),
            )


def _served(spec: ParitySpec, stops: set[int]) -> tuple[dict[str, list[int]], set[int]]:
    """Return the file's tokens of every prompt, and which of the stop tokens end its answers."""
    from qi_pipeline.evaluation.batched_model import BatchedModel  # noqa: PLC0415 - native library

    with BatchedModel(spec.gguf, spec.threads or 1) as served:
        tokens = {probe.id: list(served.tokenize(probe.messages)) for probe in spec.probes}
        return tokens, {token for token in stops if served.ends_answer(token)}


def _file_likelihoods(
    spec: ParitySpec, prompts: dict[str, list[int]], references: dict[str, list[int]]
) -> list[float]:
    """Return the log likelihoods, in nats, of the references under the file."""
    import llama_cpp  # noqa: PLC0415 - native library
    import numpy as np  # noqa: PLC0415 - heavy

    longest = max(len(prompts[probe.id]) + len(references[probe.id]) for probe in spec.probes)
    try:
        llama = llama_cpp.Llama(
            str(spec.gguf),
            n_ctx=longest + 1,
            n_threads=spec.threads,
            n_threads_batch=spec.threads,
            logits_all=True,
            verbose=False,
        )
    except ValueError as error:
        raise QiPipelineError(f"cannot load {spec.gguf}: {error}") from error
    found = []
    for probe in spec.probes:
        prompt, reference = prompts[probe.id], references[probe.id]
        llama.reset()
        llama.eval([*prompt, *reference])
        logits = np.asarray(llama.scores[len(prompt) - 1 : len(prompt) + len(reference) - 1])
        logits = logits.astype(np.float64)
        peaks = logits.max(axis=1, keepdims=True)
        totals = np.log(np.exp(logits - peaks).sum(axis=1)) + peaks[:, 0]
        found.append(float((logits[np.arange(len(reference)), reference] - totals).sum()))
    return found


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
