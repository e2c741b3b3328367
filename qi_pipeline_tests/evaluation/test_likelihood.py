"""Likelihoods, a slice of tokens at a time, against the whole text at once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qi_pipeline.errors import QiPipelineError
from qi_pipeline.evaluation.likelihood import Continuation, adapter_likelihoods, file_likelihoods

LENGTHS = [(1, 1), (1, 200), (63, 2), (64, 64), (65, 1), (70, 130), (200, 3)]


def continuation(prompt: int, tokens: int, vocabulary: int = 90) -> Continuation:
    text = np.random.default_rng(prompt * 1000 + tokens).integers(3, vocabulary, prompt + tokens)
    return Continuation(tuple(map(int, text[:prompt])), tuple(map(int, text[prompt:])))


@pytest.fixture(scope="module")
def random_model() -> Any:
    """A transformer of a few thousand weights."""
    import torch  # noqa: PLC0415 - heavy
    from transformers import LlamaConfig, LlamaForCausalLM  # noqa: PLC0415 - heavy

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=97,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        initializer_range=0.5,
    )
    model: Any = LlamaForCausalLM(config)
    return model.eval()


@pytest.mark.parametrize(("prompt", "tokens"), LENGTHS)
def test_slices_of_an_adapter_add_up(random_model: Any, prompt: int, tokens: int) -> None:
    import torch  # noqa: PLC0415 - heavy

    asked = continuation(prompt, tokens)
    with torch.inference_mode():
        whole = random_model(torch.tensor([[*asked.prompt, *asked.tokens]])).logits[0]
    expected = torch.log_softmax(whole, dim=-1)[prompt - 1 : -1]
    chosen = expected.gather(1, torch.tensor(asked.tokens)[:, None])[:, 0]

    assert adapter_likelihoods(random_model, asked) == pytest.approx(chosen.tolist(), abs=1e-4)


@pytest.mark.slow
def test_slices_of_a_file_add_up(small_model: Path) -> None:
    from llama_cpp import Llama  # noqa: PLC0415 - native library

    asked = [continuation(prompt, tokens, 40_000) for prompt, tokens in LENGTHS]
    # The same kernels on blocks of the same length: rounding is no excuse.
    llama: Any = Llama(
        str(small_model),
        n_ctx=512,
        n_batch=64,
        flash_attn=True,
        logits_all=True,
        n_threads=1,
        n_threads_batch=1,
        verbose=False,
    )

    found = file_likelihoods(small_model, asked, threads=1)

    for one, likelihoods in zip(asked, found, strict=True):
        llama.reset()
        llama.eval(one.read)
        logits = np.asarray(llama.scores[len(one.prompt) - 1 : len(one.read)], dtype=np.float64)
        totals = np.log(np.exp(logits).sum(axis=1))
        expected = logits[np.arange(len(one.tokens)), list(one.tokens)] - totals
        assert len(likelihoods) == len(one.tokens)
        assert likelihoods == pytest.approx(expected.tolist(), abs=1e-5)


@pytest.mark.slow
def test_a_token_that_the_file_does_not_know_is_refused(small_model: Path) -> None:
    foreign = Continuation((1, 2), (60_000, 5))

    with pytest.raises(QiPipelineError, match=r"knows 49152 tokens .* number 60000"):
        file_likelihoods(small_model, [foreign], threads=1)


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.gguf").write_bytes(b"GGUF")

    with pytest.raises(QiPipelineError, match=r"cannot load .*broken\.gguf"):
        file_likelihoods(tmp_path / "broken.gguf", [Continuation((1,), (2,))], threads=1)
