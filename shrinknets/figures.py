"""Figures of a job as plotly JSON, made of wire values alone: the same for page and notebook."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypedDict

from shrinknets.frontier import frontier
from shrinknets.wire import Method, Network, Phase, Record, Trial

FRONTIER_GREY = "#808892"
GRID_GREY = "rgba(128, 136, 146, 0.28)"
"""Greys that stand out from white and from black alike."""

LOG_FROM_RATIO = 8
"""Units are drawn on a log axis once the most are so many times the fewest."""

WIDE_RATIO = 300
"""From here on a phone has no room for more ticks than the powers of ten."""

ACCURACY_SPAN = 20.0
"""Percentage points below the best network that are seen at first."""


class Figure(TypedDict):
    """What `plotly.graph_objects.Figure(figure)` and `Plotly.react(element, figure)` take."""

    data: list[dict[str, Any]]
    layout: dict[str, Any]


class Alive(NamedTuple):
    """How many hidden units are alive after an epoch."""

    epoch: int
    """Counts from 1 and leaves out epochs of polishing."""
    units: int


class _Look(NamedTuple):
    colour: str
    symbol: str


# Hues that stay apart for the colour-blind, of a lightness that white and black both carry.
_LOOKS = {
    Method.SHRINKNETS: _Look("#d55e00", "circle"),
    Method.PATH: _Look("#2c86c9", "diamond"),
    Method.FIXED: _Look("#009e73", "square"),
    Method.FIXED_L2: _Look("#c26fa0", "triangle-up"),
    Method.RETRAIN: _Look("#b8860b", "cross"),
    Method.FINE_TUNE: _Look("#7f6fc9", "star"),
}


def frontier_figure(networks: Iterable[Network]) -> Figure:
    """Size against accuracy on the validation rows: one marker per network, and the frontier.

    The networks of the frontier are drawn larger. The step line says what accuracy is to be had
    with at most so many parameters.
    """
    found = list(networks)
    best = frontier(found)
    layout = _layout(
        x={
            "title": {"text": "parameters (weights and biases)"},
            "type": "log",
            "tickformat": "~s",
            "dtick": _log_ticks([network.parameters for network in found]),
        },
        y={"title": {"text": "validation accuracy (%)"}, **_accuracy_range(found)},
        note=_low_networks(found) if found else "No network yet",
        is_empty=not found,
    )
    chosen = {network.id for network in best}
    markers = [
        _markers(method, mine, chosen)
        for method in Method
        if (mine := [n for n in found if n.method is method])
    ]
    return {"data": [_steps(best), *markers] if best else [], "layout": layout}


def units_figure(
    trials: Iterable[Trial], curves: Mapping[str, Sequence[Alive]], *, note: str = ""
) -> Figure:
    """Alive hidden units over epochs: one line per trial that has a curve.

    Args:
        trials: in any order; those without a curve are left out.
        curves: by trial id; see `alive_units`.
        note: stands in a corner, for instance which trials are left out.
    """
    shown = [trial for trial in trials if curves.get(trial.id)]
    counts = [point.units for trial in shown for point in curves[trial.id] if point.units > 0]
    is_log = bool(counts) and max(counts) >= LOG_FROM_RATIO * min(counts)
    layout = _layout(
        x={"title": {"text": "epoch (polishing left out)"}, "rangemode": "tozero"},
        y={
            "title": {"text": "alive hidden units"},
            "tickformat": "~s",
            **({"type": "log", "dtick": _log_ticks(counts)} if is_log else {"rangemode": "tozero"}),
        },
        note=note if shown else "No epoch yet",
        is_empty=not shown,
    )
    seen: set[Method] = set()
    data = []
    for trial in sorted(shown, key=lambda t: (list(Method).index(t.method), t.number)):
        num_alike = sum(other.method is trial.method for other in shown)
        line = _line(trial, curves[trial.id], opacity=_opacity(num_alike))
        data.append({**line, "showlegend": trial.method not in seen})
        seen.add(trial.method)
    return {"data": data, "layout": layout}


def alive_units(records: Iterable[Record]) -> list[Alive]:
    """The curve of a trial: its records in the order of their steps, without polishing."""
    shrinking = (record for record in records if record.phase is not Phase.POLISH)
    return [Alive(epoch, sum(record.widths)) for epoch, record in enumerate(shrinking, start=1)]


def _markers(method: Method, networks: Sequence[Network], chosen: set[str]) -> dict[str, Any]:
    on_frontier = [network.id in chosen for network in networks]
    look = _LOOKS[method]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": method.value,
        "x": [network.parameters for network in networks],
        "y": [_percent(network.validation_accuracy) for network in networks],
        "text": [_network_words(network) for network in networks],
        "hovertemplate": "%{text}<extra></extra>",
        "marker": {
            "color": look.colour,
            "symbol": look.symbol,
            "size": [12 if on else 8 for on in on_frontier],
            "opacity": [1.0 if on else 0.6 for on in on_frontier],
            "line": {"width": 0},
        },
    }


def _steps(best: Sequence[Network]) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "frontier",
        "x": [network.parameters for network in best],
        "y": [_percent(network.validation_accuracy) for network in best],
        "line": {"shape": "hv", "color": FRONTIER_GREY, "width": 2},
        "hoverinfo": "skip",
    }


def _line(trial: Trial, curve: Sequence[Alive], *, opacity: float) -> dict[str, Any]:
    lam = trial.params.get("lam")
    steered = f", λ {lam:.3g}" if isinstance(lam, float) else ""
    return {
        "type": "scatter",
        # A line of one point would not be seen.
        "mode": "lines" if len(curve) > 1 else "markers",
        "name": trial.method.value,
        "legendgroup": trial.method.value,
        "meta": f"{trial.method.value} {trial.number}{steered}",
        "x": [point.epoch for point in curve],
        # A log axis has no place for zero: the line ends before it.
        "y": [point.units if point.units > 0 else None for point in curve],
        "line": {"color": _LOOKS[trial.method].colour, "width": 2},
        "opacity": opacity,
        "hovertemplate": "%{meta}<br>epoch %{x}: %{y} units<extra></extra>",
    }


def _network_words(network: Network) -> str:
    lines = [
        f"<b>{network.method.value} {network.number}</b>",
        f"widths {'-'.join(str(width) for width in network.widths)}",
        f"{network.parameters:,} parameters, {network.macs:,} MACs",
        f"validation {network.validation_accuracy:.2%}, test {network.test_accuracy:.2%}",
        *([f"λ {network.lam:.3g}"] if network.lam > 0 else []),
    ]
    return "<br>".join(lines)


def _opacity(num_lines: int) -> float:
    """Lines that lie over each other must stay readable, and a single one clear."""
    return max(0.45, min(0.9, 8 / num_lines))


def _percent(share: float) -> float:
    return round(100 * share, 4)


def _accuracy_range(networks: Sequence[Network]) -> dict[str, Any]:
    """A few networks that learned next to nothing must not squeeze all others into a line."""
    if not _low_networks(networks):
        return {}
    best = max(_percent(network.validation_accuracy) for network in networks)
    return {"range": [best - ACCURACY_SPAN, best + 0.05 * ACCURACY_SPAN]}


def _low_networks(networks: Sequence[Network]) -> str:
    """What to tell of the networks below the range, if there are any."""
    accuracies = [_percent(network.validation_accuracy) for network in networks]
    floor = max(accuracies, default=0.0) - ACCURACY_SPAN
    num_low = sum(accuracy < floor for accuracy in accuracies)
    return f"▼ {num_low} below {floor:.0f} %" if num_low else ""


def _log_ticks(values: Iterable[int]) -> str | int:
    """Plotly's word for ticks at 1, 2, 5, 10 … or, over a wide span, at powers of ten alone."""
    positive = [value for value in values if value > 0]
    is_wide = bool(positive) and max(positive) > WIDE_RATIO * min(positive)
    return 1 if is_wide else "D2"


def _layout(*, x: dict[str, Any], y: dict[str, Any], note: str, is_empty: bool) -> dict[str, Any]:
    axis = {
        "automargin": True,
        "gridcolor": GRID_GREY,
        "linecolor": GRID_GREY,
        "zeroline": False,
        "visible": not is_empty,
    }
    return {
        "paper_bgcolor": "rgba(0, 0, 0, 0)",
        "plot_bgcolor": "rgba(0, 0, 0, 0)",
        "margin": {"l": 8, "r": 12, "t": 8, "b": 8},
        "xaxis": {**axis, **x},
        "yaxis": {**axis, **y},
        "legend": {"orientation": "h", "x": 0, "xanchor": "left", "y": 1.02, "yanchor": "bottom"},
        "hovermode": "closest",
        "annotations": [_note(note, in_corner=not is_empty)] if note else [],
        # Equal from one drawing to the next, so that zoom and hidden lines stay as they are.
        "uirevision": "kept",
    }


def _note(text: str, *, in_corner: bool) -> dict[str, Any]:
    corner = {"x": 0.01, "y": 0.01, "xanchor": "left", "yanchor": "bottom"}
    place = corner if in_corner else {"x": 0.5, "y": 0.5}
    return {"text": text, "showarrow": False, "xref": "paper", "yref": "paper", **place}
