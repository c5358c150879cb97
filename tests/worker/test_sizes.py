"""Sizes that the search proposes are networks that their family has."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shrinknets.wire import (
    FamilyLayer,
    FamilyOffer,
    FixedSearch,
    IntRange,
    JobSpec,
    Methods,
    NetworkBounds,
    WrongFieldError,
    settled,
)
from shrinknets_core.families import Family, Layer, family_names, get_family
from tests.worker.installing import install
from tests.worker.real_processes import PATIENCE, wait_for
from worker.engines import LocalEngine
from worker.errors import UnsuitableJobError
from worker.families import FamilyListing, FoundFamilies, find_families, settled_here
from worker.sizes import suggest_sizes, with_layers
from worker.spaces import Asking
from worker.trial.training import _widths

OFFERS = {offer.name: offer for offer in find_families().offers}


def proposals(
    name: str,
    widths: tuple[int, ...] | None = None,
    *,
    search: FixedSearch | None = None,
    n: int = 20,
) -> list[tuple[dict[str, object], tuple[int, ...]]]:
    """What a random search proposes, and the widths that a trial makes of it."""
    search = FixedSearch() if search is None else search
    network = NetworkBounds(family=name, widths=widths)
    spec = JobSpec(dataset="digits", network=network, methods=Methods(fixed=search))
    offer = None if name == "mlp" else OFFERS[name]
    if offer is not None:
        spec = with_layers(settled(spec, offer), offer)
    assert spec.network.widths is not None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = []
    for _ in range(n):
        params = suggest_sizes(Asking(study.ask(), {}), spec, search)
        found.append((params, _widths(params, get_family(name), spec.network.widths)))
    return found


@pytest.mark.parametrize("name", family_names())
def test_every_proposal_is_a_network_of_its_family_within_the_bounds(name: str) -> None:
    family = get_family(name)
    shape = (64,) if family.image_side is None else (3, 32, 32)
    for params, widths in proposals(name):
        family.check(shape, widths, 10)
        assert all(w <= most for w, most in zip(widths, family.full_widths, strict=False))
        positive = [width for width in widths if width > 0]
        assert positive == [params[key] for key in params if key.startswith("width_")]


def test_a_perceptrons_depth_is_its_number_of_layers() -> None:
    found = proposals("mlp", (9, 9, 9))
    assert {len(widths) for _, widths in found} == {1, 2, 3}
    assert all(params["depth"] == len(widths) for params, widths in found)


def test_a_residual_networks_depth_is_its_number_of_branches_spread_evenly() -> None:
    found = proposals("residual_mlp", (8, 9, 9, 9, 9))
    assert {params["depth"] for params, _ in found} == {1, 2, 3, 4}
    gaps = {params["depth"]: tuple(w > 0 for w in widths[1:]) for params, widths in found}
    assert gaps[2] == (False, True, False, True)
    assert gaps[4] == (True,) * 4
    for params, widths in proposals("resnet20", search=FixedSearch(depth=IntRange(low=3, high=3))):
        stages = [sum(w > 0 for w in widths[start + 1 : start + 4]) for start in (0, 4, 8)]
        assert (params["depth"], stages) == (3, [1, 1, 1])


def test_a_family_without_layers_to_leave_out_is_asked_for_widths_alone() -> None:
    for params, widths in proposals("lenet5", search=FixedSearch(width=IntRange(low=2, high=5))):
        assert list(params) == ["width_0", "width_1", "width_2"]
        assert all(2 <= width <= 5 for width in widths)


def test_a_layer_that_the_bounds_leave_out_is_never_proposed() -> None:
    for params, widths in proposals("residual_mlp", (8, 0, 9, 0)):
        assert (params["depth"], widths[1], widths[3]) == (1, 0, 0)
        assert "width_1" not in params


@given(st.integers(0, 3), st.integers(0, 4), st.integers(1, 4), st.integers(0, 1))
def test_an_offer_names_the_layers_that_the_family_itself_has(
    num_layers: int, num_widths: int, repeats: int, least: int
) -> None:
    layers = tuple(Layer(name=f"fixed{n}", full=5, least=least) for n in range(num_layers))
    family = Family(
        name="x",
        make=lambda *_: None,  # type: ignore[arg-type,return-value]
        layers=layers,
        repeated=Layer(name="block{}", full=7, least=least),
        repeats=repeats,
    )
    offer = FamilyOffer(
        name="x",
        layers=tuple(FamilyLayer(name=one.name, full=5, least=least) for one in layers),
        repeated=FamilyLayer(name="block{}", full=7, least=least),
        repeats=repeats,
    )
    assert offer.width_names() == family.width_names()
    wanted = num_layers + 1 + num_widths
    assert offer.width_names(wanted) == family.width_names(wanted)


@pytest.mark.parametrize("name", family_names())
def test_the_built_in_families_are_offered_as_they_are(name: str) -> None:
    family, offer = get_family(name), OFFERS[name]
    assert offer.width_names() == family.width_names()
    assert tuple(layer.full for layer in offer.layers_of()) == family.full_widths
    assert tuple(layer.least for layer in offer.layers_of()) == tuple(
        layer.least for layer in family.layers_of()
    )
    assert offer.image_side == family.image_side


@pytest.mark.slow
def test_a_broken_package_hides_no_other_and_what_it_prints_harms_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    good = (
        "print('hello')\n"
        "from torch import nn\n"
        "from shrinknets_core.families import Family, Layer\n"
        "GOOD = Family(name='good', make=nn.Linear, layers=(Layer(name='fc', full=9),))\n"
    )
    bad = "raise SystemExit('no licence')"
    install(
        tmp_path / "a", monkeypatch, name="good-nets", entry="good = good_nets:GOOD", module=good
    )
    install(tmp_path / "b", monkeypatch, name="bad-nets", entry="bad = bad_nets:BAD", module=bad)
    listing = FamilyListing(tmp_path / "families.json")
    with closing(LocalEngine(folder=tmp_path, threads=1, families_file=listing.path)):
        wait_for(lambda: listing.is_over, seconds=PATIENCE)
    assert listing.families is not None
    assert [offer.name for offer in listing.families] == [*family_names(), "good"]
    assert "network family 'bad' is left out: no licence" in caplog.text


@pytest.mark.slow
def test_the_command_writes_what_there_is(tmp_path: Path) -> None:
    path = tmp_path / "families.json"
    command = [sys.executable, "-m", "worker.families", "--file", str(path)]
    subprocess.run([*command, "--parent", str(os.getpid())], check=True)
    found = FoundFamilies.model_validate_json(path.read_bytes())
    assert {offer.name: offer for offer in found.offers} == OFFERS


@pytest.mark.parametrize("content", [None, "not JSON"])
def test_a_listing_that_fails_says_so_and_refuses_the_job(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    make_spec: Callable[..., JobSpec],
    content: str | None,
) -> None:
    listing = FamilyListing(tmp_path / "families.json", seconds=0.2)
    if content is not None:
        listing.path.write_text(content)
    calls: list[int] = []
    spec = make_spec(network=NetworkBounds(family="lenet5"))
    with pytest.raises(UnsuitableJobError, match="has no network family 'lenet5', it has none"):
        settled_here(spec, listing, meanwhile=lambda: calls.append(1))
    assert bool(calls) == (content is None), "it waits for nothing but the file"
    assert "could not be found out" in caplog.text
    plain = make_spec()
    assert settled_here(plain, listing, meanwhile=calls.clear) == (plain, None)


def test_what_an_earlier_worker_found_is_not_taken_for_new(tmp_path: Path) -> None:
    (tmp_path / "families.json").write_text(FoundFamilies(offers=(), left_out=()).model_dump_json())
    listing = FamilyListing(tmp_path / "families.json")
    assert listing.families is None
    assert not listing.is_over


def test_settled_bounds_are_checked_against_the_searches() -> None:
    search = FixedSearch(width=IntRange(low=1, high=100))
    spec = JobSpec(
        dataset="digits", network=NetworkBounds(family="lenet5"), methods=Methods(fixed=search)
    )
    with pytest.raises(WrongFieldError, match="at most 50"):
        settled(spec, OFFERS["lenet5"])


@pytest.mark.slow
def test_the_worker_itself_loads_no_torch() -> None:
    code = "import sys, worker.loop; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert not {"torch", "shrinknets_core"} & set(done.stdout.split())
