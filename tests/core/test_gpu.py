"""The methods on a CUDA device."""

import pytest
import torch

from shrinknets_core import (
    Checkpoint,
    EpochRecord,
    Limits,
    Run,
    Split,
    TrainedNetwork,
    TrainOptions,
    follow_path,
    train_shrinking,
)
from tests.core.test_generators import in_the_middle, start_run

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_a_network_that_shrinks_on_the_gpu_comes_home_to_the_cpu(digits: Split) -> None:
    options = TrainOptions(epochs=20, lr=3e-3, device="cuda:0")
    network = list(train_shrinking(digits, widths=(60, 50), options=options, lam=0.02))[-1]
    assert isinstance(network, TrainedNetwork)
    assert network.hidden_units < 90
    assert {p.device.type for p in network.module.parameters()} == {"cpu"}


def test_no_step_of_training_waits_for_the_gpu(digits: Split) -> None:
    options = TrainOptions(epochs=4, device="cuda:0")
    events = follow_path(digits, widths=(60,), options=options)
    next(events)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with pytest.warns(UserWarning, match="synchronizing") as waits:
            next(events)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    steps_per_epoch = -(-len(digits.train) // options.batch_size)
    assert len(waits) < steps_per_epoch


def resumed(run: Run, method: str, split: Split, device: str) -> Run:
    """Another run that goes on from where this one is, after its checkpoint was a file."""
    content = Checkpoint.of(run).to_bytes()
    other = start_run(method, split, device)
    Checkpoint.from_bytes(content).restore(other)
    return other


@pytest.mark.parametrize("method", ["fixed", "proximal", "subgradient", "path"])
def test_dropout_goes_on_where_it_was_on_the_gpu(digits: Split, method: str) -> None:
    run = in_the_middle(method, digits, "cuda:0")
    before = torch.cuda.get_rng_state("cuda:0")
    other = resumed(run, method, digits, "cuda:0")
    assert torch.equal(torch.cuda.get_rng_state("cuda:0"), before)
    found = next(other)
    torch.cuda.set_rng_state(before, "cuda:0")
    expected = next(run)
    assert found.step == expected.step
    if isinstance(expected, EpochRecord):
        assert isinstance(found, EpochRecord)
        # With other features dropped it would be some percent off.
        assert found.train_loss == pytest.approx(expected.train_loss, rel=1e-4)


@pytest.mark.parametrize("method", ["fixed", "proximal", "subgradient", "path", "stack"])
@pytest.mark.parametrize(("before", "after"), [("cpu", "cuda:0"), ("cuda:0", "cpu")])
def test_a_training_goes_on_on_another_kind_of_device(
    digits: Split, method: str, before: str, after: str
) -> None:
    run = in_the_middle(method, digits, before)
    other = resumed(run, method, digits, after)
    assert other.step == run.step
    assert any(isinstance(event, TrainedNetwork) for event in other)


def test_a_network_is_timed_on_the_gpu_though_its_rows_are_not_there(
    digits: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shrinknets_core.batches.RESIDENT_SHARE", 0.0)
    options = TrainOptions(epochs=4, device="cuda:0")
    limits = Limits(milliseconds=1e6)
    *_, network = train_shrinking(digits, widths=(20,), options=options, lam=1e-3, limits=limits)
    assert isinstance(network, TrainedNetwork)
