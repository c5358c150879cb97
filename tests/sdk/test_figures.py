"""Figures are plain JSON that says what the values say."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shrinknets.figures import Alive, Figure, alive_units, frontier_figure, units_figure
from shrinknets.frontier import frontier
from shrinknets.wire import Method, Network, Phase, Record, Trial, TrialState


def make_network(number: int = 0, **changes: Any) -> Network:
    fields: dict[str, Any] = {
        "id": f"net-{number}",
        "job_id": "job-1",
        "trial_id": f"trial-{number}",
        "method": Method.SHRINKNETS,
        "number": number,
        "widths": [12, 7],
        "hidden_units": 19,
        "parameters": 1_234,
        "macs": 1_200,
        "validation_accuracy": 0.9375,
        "test_accuracy": 0.925,
        "step": 5,
        "lam": 0.00312,
        "weights_sha256": "0" * 64,
        "weights_bytes": 10,
    }
    return Network(**{**fields, **changes})


def make_trial(number: int = 0, method: Method = Method.SHRINKNETS, **changes: Any) -> Trial:
    fields: dict[str, Any] = {
        "id": f"{method.value}-{number}",
        "job_id": "job-1",
        "method": method,
        "number": number,
        "state": TrialState.RUNNING,
        "reason": "",
        "params": {"lam": 0.01} if method is Method.SHRINKNETS else {},
        "seed": 1,
        "epochs": 3,
        "train_seconds": 1.0,
        "validation_accuracy": 0.5,
        "widths": [8],
        "parameters": 100,
        "created_at": datetime.now(UTC),
        "started_at": None,
        "ended_at": None,
    }
    return Trial(**{**fields, **changes})


def make_record(step: int, *, phase: Phase = Phase.SHRINK, widths: list[int]) -> Record:
    return Record(
        step=step,
        phase=phase,
        train_loss=1.0,
        validation_loss=1.0,
        validation_accuracy=0.5,
        widths=widths,
        parameters=100,
        macs=90,
        lam=0.01,
        seconds=0.1,
    )


def traces(figure: Figure) -> dict[str, dict[str, Any]]:
    assert json.loads(json.dumps(figure, allow_nan=False)) == figure
    return {trace["name"]: trace for trace in figure["data"]}


networks = st.lists(
    st.builds(
        make_network,
        number=st.integers(0, 10**6),
        method=st.sampled_from(Method),
        parameters=st.integers(0, 10**9),
        validation_accuracy=st.floats(0, 1),
        lam=st.floats(0, 10),
    ),
    max_size=30,
    unique_by=lambda network: network.id,
)


@given(networks)
def test_every_network_is_drawn_once_where_it_belongs(found: list[Network]) -> None:
    shown = traces(frontier_figure(found))
    shown.pop("frontier", None)
    drawn = {
        (name, x, y)
        for name, trace in shown.items()
        for x, y in zip(trace["x"], trace["y"], strict=True)
    }
    assert drawn == {
        (n.method.value, n.parameters, round(100 * n.validation_accuracy, 4)) for n in found
    }
    assert sum(len(trace["x"]) for trace in shown.values()) == len(found)


@given(networks)
def test_the_line_is_the_frontier_and_its_networks_stand_out(found: list[Network]) -> None:
    shown = traces(frontier_figure(found))
    best = frontier(found)
    if not best:
        assert shown == {}
        return
    line = shown.pop("frontier")
    assert line["line"]["shape"] == "hv"
    assert line["x"] == [n.parameters for n in best]
    assert line["y"] == [round(100 * n.validation_accuracy, 4) for n in best]
    sizes = [size for trace in shown.values() for size in trace["marker"]["size"]]
    assert sizes.count(max(sizes)) == len(best)


def test_hovering_tells_widths_size_both_accuracies_and_lambda() -> None:
    (words,) = traces(frontier_figure([make_network()]))["shrinknets"]["text"]
    for part in ("12-7", "1,234 parameters", "1,200 MACs", "93.75%", "92.50%", "λ 0.00312"):
        assert part in words


def test_a_network_without_penalty_tells_no_lambda() -> None:
    found = [make_network(method=Method.FIXED, lam=0.0)]
    assert "λ" not in traces(frontier_figure(found))["fixed"]["text"][0]


def test_each_method_has_its_own_colour_and_its_own_shape() -> None:
    found = [make_network(number, method=method) for number, method in enumerate(Method)]
    markers = [traces(frontier_figure(found))[method.value]["marker"] for method in Method]
    assert len({marker["color"] for marker in markers}) == len(Method)
    assert len({marker["symbol"] for marker in markers}) == len(Method)


def test_a_network_that_learned_nothing_does_not_squeeze_the_others() -> None:
    found = [make_network(0, validation_accuracy=0.1), make_network(1, validation_accuracy=0.95)]
    layout = frontier_figure(found)["layout"]
    assert layout["yaxis"]["range"] == pytest.approx([75, 96])
    assert [note["text"] for note in layout["annotations"]] == ["▼ 1 below 75 %"]


def test_networks_close_to_each_other_are_all_seen() -> None:
    found = [make_network(0, validation_accuracy=0.9), make_network(1, validation_accuracy=0.95)]
    layout = frontier_figure(found)["layout"]
    assert "range" not in layout["yaxis"]
    assert layout["annotations"] == []


@pytest.mark.parametrize("figure", [frontier_figure([]), units_figure([], {})])
def test_an_empty_figure_says_so(figure: Figure) -> None:
    assert figure["data"] == []
    assert figure["layout"]["annotations"][0]["text"].startswith("No ")


@pytest.mark.parametrize("figure", [frontier_figure([make_network()]), units_figure([], {})])
def test_axes_have_titles_and_the_page_shines_through(figure: Figure) -> None:
    layout = figure["layout"]
    assert layout["xaxis"]["title"]["text"]
    assert layout["yaxis"]["title"]["text"]
    assert layout["paper_bgcolor"] == layout["plot_bgcolor"] == "rgba(0, 0, 0, 0)"
    assert "template" not in layout
    assert "font" not in layout


def test_polishing_is_left_out_of_the_curve_and_not_counted() -> None:
    records = [
        make_record(1, phase=Phase.WARMUP, widths=[10, 10]),
        make_record(2, widths=[9, 8]),
        make_record(3, phase=Phase.POLISH, widths=[9, 8]),
        make_record(4, phase=Phase.POLISH, widths=[9, 8]),
        make_record(5, widths=[4, 3]),
    ]
    assert alive_units(records) == [(1, 20), (2, 17), (3, 7)]


def test_each_trial_with_a_curve_is_a_line_and_each_method_stands_once_in_the_legend() -> None:
    trials = [make_trial(n, m) for n in (1, 0) for m in (Method.PATH, Method.SHRINKNETS)]
    curves = {t.id: [Alive(1, 20), Alive(2, 10 + t.number)] for t in trials}
    lines = units_figure([*trials, make_trial(9)], curves)["data"]
    assert [line["meta"] for line in lines] == [
        "shrinknets 0, λ 0.01",
        "shrinknets 1, λ 0.01",
        "path 0",
        "path 1",
    ]
    assert [line["showlegend"] for line in lines] == [True, False, True, False]
    assert [line["y"] for line in lines] == [[20, 10], [20, 11], [20, 10], [20, 11]]


@pytest.mark.parametrize(("fewest", "axis"), [(100, None), (20, "log")])
def test_units_are_drawn_on_a_log_axis_where_their_span_is_wide(
    fewest: int, axis: str | None
) -> None:
    trial = make_trial()
    figure = units_figure([trial], {trial.id: [Alive(1, 200), Alive(2, fewest)]})
    assert figure["layout"]["yaxis"].get("type") == axis


def test_a_collapsed_trial_ends_before_zero_and_one_epoch_is_a_marker() -> None:
    collapsed, young = make_trial(0), make_trial(1)
    curves = {collapsed.id: [Alive(1, 9), Alive(2, 0)], young.id: [Alive(1, 9)]}
    first, second = units_figure([collapsed, young], curves)["data"]
    assert first["y"] == [9, None]
    assert (first["mode"], second["mode"]) == ("lines", "markers")


def test_many_lines_are_fainter_than_few_but_never_lost() -> None:
    trials = [make_trial(number) for number in range(40)]
    curves = {trial.id: [Alive(1, 9), Alive(2, 8)] for trial in trials}
    few = units_figure(trials[:3], curves)["data"]
    many = units_figure(trials, curves)["data"]
    assert few[0]["opacity"] > many[0]["opacity"] >= 0.4


@pytest.mark.parametrize(("largest", "ticks"), [(1_000, "D2"), (1_000_000, 1)])
def test_sizes_of_a_wide_span_are_marked_at_powers_of_ten_alone(largest: int, ticks: Any) -> None:
    found = [make_network(0, parameters=100), make_network(1, parameters=largest)]
    assert frontier_figure(found)["layout"]["xaxis"]["dtick"] == ticks
