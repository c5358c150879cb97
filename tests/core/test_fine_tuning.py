"""A finished network is trained on from where it stands."""

from pathlib import Path

import pytest
import torch

from shrinknets_core import (
    EpochRecord,
    OptionError,
    Split,
    TrainedNetwork,
    TrainOptions,
    describe_network,
    fine_tune,
    follow_path,
    load_dataset,
    load_network,
    serialise,
    split_rows,
    train_fixed,
)
from shrinknets_core.families import mlp_family
from shrinknets_core.fine_tuning import _on_standardised_rows

OPTIONS = TrainOptions(epochs=6, batch_size=128, lr=3e-3)


def images() -> Split:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(200) % 4
    x = torch.randn(200, 2, 3, 3, generator=generator) + y.view(-1, 1, 1, 1)
    return split_rows("images", 50 * x + 7, y, seed=0)


def trained(split: Split) -> TrainedNetwork:
    *_, network = train_fixed(split, widths=(12, 9), options=OPTIONS)
    assert isinstance(network, TrainedNetwork)
    return network


@pytest.mark.parametrize("split", [load_dataset("digits", seed=0), images()], ids=lambda s: s.name)
def test_the_network_on_standardised_rows_computes_what_it_did_on_raw_ones(split: Split) -> None:
    network = trained(split)
    module = mlp_family().build(split.input_shape, network.widths, split.num_classes)
    module.load_state_dict(_on_standardised_rows(network.module, module, split))
    raw = split.validation.x * split.std + split.mean
    with torch.no_grad():
        torch.testing.assert_close(
            module(split.validation.x), network.module(raw), atol=1e-4, rtol=1e-4
        )


def test_a_network_from_a_file_is_trained_on_and_keeps_the_numbers_of_its_features(
    tmp_path: Path,
) -> None:
    split = load_dataset("digits", seed=0)
    path = follow_path(split, widths=(40,), options=OPTIONS)
    found = [event for event in path if isinstance(event, TrainedNetwork)]
    file = tmp_path / "network.safetensors"
    file.write_bytes(serialise(found[1]))
    known, network = describe_network(file), load_network(file)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    *records, tuned = fine_tune(
        split,
        network=network,
        full_widths=known["full_widths"],
        kept=known["kept"],
        options=OPTIONS,
        epochs=5,
    )
    assert isinstance(tuned, TrainedNetwork)
    assert (tuned.full_widths, tuned.kept) == (found[1].full_widths, found[1].kept)
    assert (tuned.parameters, tuned.widths) == (found[1].parameters, found[1].widths)
    assert [record.step for record in records] == [1, 2, 3, 4, 5]
    assert isinstance(records[-1], EpochRecord)
    first = records[0]
    assert isinstance(first, EpochRecord)
    # A network that began anew would be far below after its first epoch.
    assert first.validation_accuracy > found[1].validation_accuracy - 0.05
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)
    file.write_bytes(serialise(tuned))
    assert describe_network(file)["kept"] == known["kept"]


def test_fine_tuning_is_the_same_each_time() -> None:
    split = load_dataset("wine", seed=0)
    network = trained(split)
    runs = [
        list(
            fine_tune(
                split,
                network=network.module,
                full_widths=network.full_widths,
                kept=network.kept,
                options=OPTIONS,
                epochs=2,
            )
        )
        for _ in range(2)
    ]
    losses = [[e.train_loss for e in run if isinstance(e, EpochRecord)] for run in runs]
    assert losses[0] == losses[1]


def test_a_network_of_other_data_is_refused() -> None:
    network = trained(load_dataset("wine", seed=0))
    with pytest.raises(OptionError, match="of the family 'mlp' with the widths"):
        next(
            fine_tune(
                load_dataset("digits", seed=0),
                network=network.module,
                full_widths=network.full_widths,
                kept=network.kept,
                options=OPTIONS,
                epochs=2,
            )
        )
