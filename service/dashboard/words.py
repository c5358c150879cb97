"""How numbers and times are written on pages."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from shrinknets.wire import MLP, Job, NetworkBounds, Params, Spread

NOTHING = "–"

_NAMES = {"lam": "λ", "l2": "L2"}
_WIDTH = re.compile("width_([0-9]{1,9})")


def percent(share: float | None) -> str:
    """An accuracy such as `97.25 %`."""
    return NOTHING if share is None else f"{share:.2%}".replace("%", "\N{NO-BREAK SPACE}%")


def spread(accuracies: Spread) -> str:
    """The mean of accuracies and how far they lie apart, such as `93.1 ± 0.6 %`."""
    apart = "" if accuracies.std is None else f" ± {100 * accuracies.std:.2f}"
    return f"{100 * accuracies.mean:.2f}{apart}\N{NO-BREAK SPACE}%"


def sentence(words: str) -> str:
    """The words with a capital at the start and a full stop."""
    return f"{words[:1].upper()}{words[1:]}."


def count(number: int | None) -> str:
    """A whole number with its thousands apart."""
    return NOTHING if number is None else f"{number:,}"


def widths(layers: Sequence[int]) -> str:
    """Features per hidden layer, such as `35-48`."""
    return "-".join(str(width) for width in layers) or NOTHING


def bounds(network: NetworkBounds, names: Sequence[str] = ()) -> str:
    """The widest network of a job, such as `256-256` or `conv1 50, conv2 50, fc 5,000`."""
    if network.widths is None:
        return "as its family has it"
    if not names or network.family == MLP:
        return widths(network.widths)
    return ", ".join(
        f"{name} {count(width)}" for name, width in zip(names, network.widths, strict=True)
    )


def seconds(duration: float) -> str:
    """A duration at a glance, such as `8.3 s`, `4 min 05 s` or `2 h 07 min`."""
    if duration < 59.95:
        return f"{duration:.1f} s"
    minutes, rest = divmod(round(duration), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def params(chosen: Params) -> str:
    """What the sampler proposed, such as `λ 0.00312` or `widths 35-48, L2 0.0001`."""
    layers = {int(found[1]): name for name in chosen if (found := _WIDTH.fullmatch(name))}
    sizes = "-".join(str(chosen[layers[layer]]) for layer in sorted(layers))
    parts = [f"widths {sizes}"] if layers else []
    for name, value in chosen.items():
        # The depth of a perceptron is the number of its widths.
        is_told = _WIDTH.fullmatch(name) or (name == "depth" and value == len(layers))
        if not layers or not is_told:
            parts.append(f"{_NAMES.get(name, name)} {_shown(value)}")
    return ", ".join(parts) or NOTHING


def _shown(value: float | str | list[int]) -> str:
    if isinstance(value, list):
        return widths(value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def sort_key(chosen: Params) -> float | None:
    """The number that orders trials by what was proposed: λ, or else the first number."""
    numbers = [v for v in chosen.values() if isinstance(v, int | float)]
    lam = chosen.get("lam")
    return lam if isinstance(lam, int | float) else next(iter(numbers), None)


def elapsed(job: Job) -> float | None:
    """Seconds from a job's start to its end, or until now; None before it starts."""
    if job.started_at is None:
        return None
    end = job.ended_at if job.ended_at is not None else datetime.now(UTC)
    return max(0.0, (end - job.started_at).total_seconds())
