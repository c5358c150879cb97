"""The methods on a CUDA device."""

import pytest
import torch

from shrinknets_core import Split, TrainedNetwork, TrainOptions, follow_path, train_shrinking

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
