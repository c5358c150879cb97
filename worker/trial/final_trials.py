"""Trials after the choice: the chosen widths from scratch, the chosen network trained on."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from typing import IO

from shrinknets.wire import Method, Trial
from shrinknets_core import (
    Run,
    Split,
    TrainOptions,
    describe_network,
    fine_tune,
    load_network,
    train_fixed,
)
from shrinknets_core.families import Family

FetchNetwork = Callable[[IO[bytes]], None]
"""Writes the file of the network that a trial starts from."""


def train_final(
    trial: Trial,
    split: Split,
    options: TrainOptions,
    *,
    family: Family,
    fetch_network: FetchNetwork | None,
) -> Run:
    """Train as a trial after the choice says, yielding events as they happen."""
    epochs, widths = trial.params["epochs"], trial.params["widths"]
    assert isinstance(epochs, int), epochs
    assert isinstance(widths, list), widths
    if trial.method is Method.RETRAIN:
        l2 = trial.params.get("l2", 0.0)
        assert isinstance(l2, int | float), l2
        options = replace(options, epochs=epochs)
        return train_fixed(split, widths=widths, options=options, family=family, l2=l2)
    assert trial.method is Method.FINE_TUNE, trial.method
    assert fetch_network is not None, "the trial's command brings it"
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
        fetch_network(file)
        file.flush()
        known, network = describe_network(file.name), load_network(file.name)
    return fine_tune(
        split,
        network=network,
        full_widths=known["full_widths"],
        kept=known["kept"],
        options=options,
        epochs=epochs,
        family=family,
    )
