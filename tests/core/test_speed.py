"""Precision and compilation change how a training is computed, not what it is."""

import logging
import math
from typing import Any

import pytest
import torch
from torch import nn

from shrinknets_core import (
    EpochRecord,
    OptionError,
    Split,
    TrainedNetwork,
    TrainOptions,
    follow_path,
    load_network,
    serialise,
    split_rows,
    train_fixed,
    train_shrinking,
)
from shrinknets_core.families import get_family
from shrinknets_core.speed import Forward, Precision


def network_of(events: Any) -> TrainedNetwork:
    *_, last = events
    assert isinstance(last, TrainedNetwork), last
    return last


def losses(events: Any) -> list[float]:
    return [event.train_loss for event in events if isinstance(event, EpochRecord)]


def test_bf16_rounds_products_and_keeps_weights_gates_and_networks_in_float32(
    digits: Split, tmp_path: Any
) -> None:
    found = {}
    for precision in Precision:
        options = TrainOptions(epochs=6, batch_size=128, lr=5e-3, precision=precision)
        events = list(train_shrinking(digits, widths=(40,), options=options, lam=0.01))
        found[precision] = losses(events)
        network = network_of(events)
        assert {p.dtype for p in network.module.parameters()} == {torch.float32}
        (tmp_path / precision).write_bytes(serialise(network))
        assert len(load_network(tmp_path / precision)) == 3
        assert network.validation_accuracy > 0.85
    assert found[Precision.FP32] == found[Precision.TF32], "the same without a GPU"
    assert found[Precision.FP32] != found[Precision.BF16]
    for ours, theirs in zip(found[Precision.FP32], found[Precision.BF16], strict=True):
        assert math.isclose(ours, theirs, rel_tol=0.2)


@pytest.mark.slow
def test_bf16_trains_convolutions_with_batch_norm() -> None:
    y = torch.arange(60) % 2
    x = torch.randn(60, 1, 32, 32) + 2 * y.view(-1, 1, 1, 1)
    split = split_rows("images", x, y, seed=0)
    options = TrainOptions(epochs=2, batch_size=16, precision="bf16")
    widths = (4, 3, 2, 0, 8, 4, 4, 4, 6, 3, 0, 0)
    family = get_family("resnet20")
    events = list(train_shrinking(split, widths=widths, options=options, lam=1e-4, family=family))
    assert all(math.isfinite(loss) for loss in losses(events))


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(OptionError, match="precision must be one of fp32, tf32, bf16, got 'fp8'"):
        TrainOptions(precision="fp8")


def test_settings_of_the_whole_process_are_put_back() -> None:
    backends: list[Any] = [torch.backends.cuda.matmul, torch.backends.cudnn]
    before = [backend.allow_tf32 for backend in backends]
    for precision, expected in ((Precision.TF32, True), (Precision.FP32, False)):
        with Forward(nn.Identity(), precision).steps():
            assert [backend.allow_tf32 for backend in backends] == [expected] * 2
    assert [backend.allow_tf32 for backend in backends] == before


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_compiled_training_learns_the_same(digits: Split, precision: str) -> None:
    found = []
    for compile_it in (False, True):
        options = TrainOptions(epochs=3, batch_size=128, precision=precision, compile=compile_it)
        found.append(losses(train_fixed(digits, widths=(12,), options=options)))
    assert found[1] == pytest.approx(found[0], rel=1e-2)


def test_without_a_compiler_the_training_goes_on_and_says_so(
    digits: Split, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("/no/such/compiler",))
    torch._dynamo.reset()
    options = TrainOptions(epochs=2, batch_size=256, seed=3)
    with caplog.at_level(logging.WARNING, "shrinknets_core"):
        compiled = TrainOptions(epochs=2, batch_size=256, seed=3, compile=True)
        found = losses(train_fixed(digits, widths=(11,), options=compiled))
    assert found == losses(train_fixed(digits, widths=(11,), options=options))
    assert [line.startswith("not compiled") for line in caplog.messages] == [True]


def test_an_error_of_the_module_itself_is_not_taken_for_a_compilers() -> None:
    class Broken(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("out of order")

    forward = Forward(Broken(), "fp32")
    with pytest.raises(RuntimeError, match="out of order"):
        forward(torch.ones(1, 2))


def test_the_path_never_compiles(digits: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda *_, **__: pytest.fail("compiled"))
    options = TrainOptions(epochs=4, batch_size=256, compile=True)
    events = follow_path(digits, widths=(8,), options=options)
    assert any(isinstance(event, TrainedNetwork) for event in events)
