"""How likely a model finds given tokens: the adapter through torch, its file through llama.cpp.

Flows in: a model, prompts in tokens and the tokens that follow them. Flows out: the log likelihood,
in nats, of every token that follows. Both read `_SLICE` tokens at a time, so that the logits of a
large vocabulary take megabytes. Only the parity process imports this module: it loads llama.cpp.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
import numpy.typing as npt

from qi_pipeline.errors import QiPipelineError

_SLICE = 64


@dataclass(frozen=True)
class Continuation:
    """Tokens after a prompt; neither is empty."""

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]

    @property
    def read(self) -> tuple[int, ...]:
        """Return what a model reads to predict all tokens: everything but the last."""
        return (*self.prompt, *self.tokens[:-1])


def adapter_likelihoods(model: Any, continuation: Continuation) -> list[float]:
    """Return the log likelihood of each token under a causal language model of transformers."""
    import torch  # noqa: PLC0415 - heavy

    read, found, cache = continuation.read, [], None
    first = len(continuation.prompt) - 1
    with torch.inference_mode():
        for start, end in _slices(len(read)):
            wanted = range(max(start, first), end)
            output = model(
                torch.tensor([read[start:end]]),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=max(len(wanted), 1),
            )
            cache = output.past_key_values
            if wanted:
                targets = [continuation.tokens[position - first] for position in wanted]
                found += _log_likelihoods(output.logits[0].float().numpy(), targets)
    return found


def file_likelihoods(
    path: Path, continuations: Sequence[Continuation], threads: int
) -> list[list[float]]:
    """Return for each continuation the log likelihood of each of its tokens under a GGUF file.

    Raises QiPipelineError, naming the file, when llama.cpp cannot load or evaluate it.
    """
    longest = max(len(continuation.read) for continuation in continuations)
    highest = max(max((*one.prompt, *one.tokens)) for one in continuations)
    with _opened(path, longest, threads) as (context, batch, size):
        if highest >= size:
            raise QiPipelineError(
                f"{path} knows {size} tokens and the adapter uses number {highest}; export the "
                "file from this adapter"
            )
        return [_read(path, context, batch, size, continuation) for continuation in continuations]


@contextmanager
def _opened(path: Path, tokens: int, threads: int) -> Iterator[tuple[Any, Any, int]]:
    """Yield a context for `tokens` tokens, a batch for a slice, and the vocabulary's size."""
    llama_cpp.llama_backend_init()
    model: Any = llama_cpp.llama_model_load_from_file(
        str(path).encode(), llama_cpp.llama_model_default_params()
    )
    if not model:
        raise QiPipelineError(f"cannot load {path}; expected a complete GGUF model file")
    parameters = llama_cpp.llama_context_default_params()
    parameters.n_ctx = tokens
    parameters.n_batch = parameters.n_ubatch = _SLICE
    parameters.n_threads = parameters.n_threads_batch = threads
    context: Any = llama_cpp.llama_init_from_model(model, parameters)
    batch: Any = llama_cpp.llama_batch_init(_SLICE, 0, 1)
    try:
        if not context:
            raise QiPipelineError(f"no memory to read {tokens} tokens with {path}")
        vocabulary: Any = llama_cpp.llama_model_get_vocab(model)
        yield context, batch, int(llama_cpp.llama_vocab_n_tokens(vocabulary))
    finally:
        llama_cpp.llama_batch_free(batch)
        if context:
            llama_cpp.llama_free(context)
        llama_cpp.llama_model_free(model)


def _read(
    path: Path, context: Any, batch: Any, size: int, continuation: Continuation
) -> list[float]:
    read, found = continuation.read, []
    first = len(continuation.prompt) - 1
    llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)  # noqa: FBT003 (C)
    for start, end in _slices(len(read)):
        wanted = range(max(start, first), end)
        for row, position in enumerate(range(start, end)):
            batch.token[row] = read[position]
            batch.pos[row] = position
            batch.n_seq_id[row] = 1
            batch.seq_id[row][0] = 0
            batch.logits[row] = position in wanted
        batch.n_tokens = end - start
        status = llama_cpp.llama_decode(context, batch)
        if status != 0:
            raise QiPipelineError(
                f"llama.cpp could not read {end - start} tokens with {path} (status {status}); "
                "export it again"
            )
        if wanted:
            logits = np.ctypeslib.as_array(
                llama_cpp.llama_get_logits(context), shape=(len(wanted), size)
            )
            targets = [continuation.tokens[position - first] for position in wanted]
            found += _log_likelihoods(logits, targets)
    return found


def _slices(length: int) -> Iterator[tuple[int, int]]:
    for start in range(0, length, _SLICE):
        yield start, min(start + _SLICE, length)


def _log_likelihoods(logits: npt.NDArray[np.float32], targets: Sequence[int]) -> list[float]:
    """Return the log softmax of each row at its target, in double precision."""
    peaks = logits.max(axis=1, keepdims=True)
    # The sum of many small terms is what single precision would spoil.
    totals = np.exp(logits - peaks).sum(axis=1, dtype=np.float64)
    chosen = logits[np.arange(len(targets)), list(targets)].astype(np.float64)
    return list(map(float, chosen - peaks[:, 0] - np.log(totals)))
