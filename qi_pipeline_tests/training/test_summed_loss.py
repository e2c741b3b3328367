"""The chunked loss of the TRL backend against PyTorch's own cross entropy."""

import pytest

pytestmark = pytest.mark.slow


def test_loss_and_gradient_equal_cross_entropy_across_chunks() -> None:
    import torch  # noqa: PLC0415 - heavy

    from qi_pipeline.training.trl_backend import _SummedLoss  # noqa: PLC0415 - loads torch

    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(600, 16, generator=generator, requires_grad=True)
    head = torch.randn(50, 16, generator=generator)
    labels = torch.randint(0, 50, (600,), generator=generator)

    expected = torch.nn.functional.cross_entropy(hidden @ head.T, labels, reduction="sum")
    (expected_gradient,) = torch.autograd.grad(expected, hidden)
    loss = _SummedLoss.apply(hidden, head, labels)  # type: ignore[no-untyped-call]
    (gradient,) = torch.autograd.grad(loss, hidden)

    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(gradient, expected_gradient)
