"""The result of a job in two tables: one row per method, and the frontier."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.table import Table

from shrinknets import wire
from shrinknets.frontier import best, frontier


@dataclass(frozen=True, kw_only=True)
class MethodSummary:
    """What one method found.

    Attributes:
        trials: trials that ended.
        train_seconds: of all its trials, without evaluation.
        chosen: its best network by validation, the smaller one of equals.
    """

    method: wire.Method
    trials: int
    train_seconds: float
    chosen: wire.Network | None


def summarise(
    trials: Sequence[wire.Trial], networks: Sequence[wire.Network]
) -> list[MethodSummary]:
    """Return one summary for each method that has trials."""
    return [
        MethodSummary(
            method=method,
            trials=sum(trial.state.is_final for trial in own),
            train_seconds=sum(trial.train_seconds for trial in own),
            chosen=best(network for network in networks if network.method is method),
        )
        for method in wire.Method
        if (own := [trial for trial in trials if trial.method is method])
    ]


def method_table(summaries: Sequence[MethodSummary]) -> Table:
    """Draw one row per method."""
    table = Table(title="Methods: the network that validation chose", box=SIMPLE_HEAD)
    table.add_column("method", no_wrap=True)
    for heading in ("trials", "train s", "validation", "test", "units", "parameters"):
        table.add_column(heading, justify="right", no_wrap=True)
    for summary in summaries:
        ran = (summary.method.value, str(summary.trials), f"{summary.train_seconds:.1f}")
        network = summary.chosen
        if network is None:
            table.add_row(*ran, *["–"] * 4)
        else:
            sizes = (f"{network.hidden_units:,}", f"{network.parameters:,}")
            table.add_row(*ran, *_accuracies(network), *sizes)
    return table


def frontier_table(networks: Sequence[wire.Network]) -> Table:
    """Draw the networks that no other beats in accuracy and size, smallest first."""
    table = Table(title="Frontier: none is smaller and as accurate on validation", box=SIMPLE_HEAD)
    table.add_column("widths")
    for heading in ("parameters", "validation", "test"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("method", "network"):
        table.add_column(heading, no_wrap=True)
    for network in frontier(networks):
        widths = "-".join(str(width) for width in network.widths)
        size, accuracies = f"{network.parameters:,}", _accuracies(network)
        table.add_row(widths, size, *accuracies, network.method.value, network.id)
    return table


def choice_lines(chosen: wire.Chosen) -> list[str]:
    """Tell which network was chosen, why, and what came of training after that."""
    network, is_made = chosen.network, chosen.made_at is not None
    verdict = "Chosen" if is_made else "Would be chosen now"
    lines = [f"{verdict}: {_in_words(network)}", f"  {chosen.reason}"]
    if (retrained := chosen.retrained) is not None:
        lines.append(
            f"  retrained from scratch, {retrained.n} times: validation "
            f"{_spread(retrained.validation_accuracy)}, test {_spread(retrained.test_accuracy)}"
        )
    if chosen.fine_tuned is not None:
        taken = "takes its place" if chosen.final.id == chosen.fine_tuned.id else "is no better"
        lines.append(f"  fine-tuned, it {taken}: {_in_words(chosen.fine_tuned)}")
    return lines


def _in_words(network: wire.Network) -> str:
    widths = "-".join(str(width) for width in network.widths)
    validation, test = _accuracies(network)
    return (
        f"{widths} ({network.parameters:,} parameters), validation {validation}, test {test}, "
        f"{network.method.value} {network.number}, {network.id}"
    )


def _spread(spread: wire.Spread) -> str:
    deviation = "" if spread.std is None else f" ± {100 * spread.std:.1f}"
    return f"{100 * spread.mean:.1f}{deviation} %"


def _accuracies(network: wire.Network) -> tuple[str, str]:
    return f"{network.validation_accuracy:.1%}", f"{network.test_accuracy:.1%}"
