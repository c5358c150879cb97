"""Families by name: our own, those of installed distributions, broken ones and clashes."""

import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
import torch

from shrinknets_core.errors import BrokenFamilyError, FamilyClashError, UnknownFamilyError
from shrinknets_core.families import family_names, get_family
from shrinknets_core.sizes import Size

OWN = (
    "mlp",
    "residual_mlp",
    "lenet5",
    "vgg11",
    "vgg13",
    "vgg16",
    "vgg19",
    "resnet20",
    "resnet32",
    "resnet44",
    "resnet56",
)
GOOD_MODULE = """
from torch import nn
from shrinknets_core.families import Family, Layer

def make(input_shape, widths, num_classes):
    return nn.Sequential(nn.Linear(input_shape[0], widths[0]), nn.Linear(widths[0], num_classes))

TINY = Family(name="tiny", make=make, layers=(Layer(name="fc", path="0", full=9),))
"""
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Install distributions into folders of their own, as pip leaves them, for one test."""
    modules = set(sys.modules)

    def add(
        distribution: str, entries: str, *, files: dict[str, str] | None = None, folder: str = ""
    ) -> None:
        site = tmp_path / (folder or distribution)
        info = site / f"{distribution}-1.5.dist-info"
        info.mkdir(parents=True)
        header = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n"
        (info / "METADATA").write_text(header)
        (info / "entry_points.txt").write_text(entries)
        for name, text in (files or {}).items():
            (site / name).write_text(text)
        monkeypatch.syspath_prepend(str(site))

    yield add
    for name in sys.modules.keys() - modules:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def entry(*lines: str) -> str:
    return "\n".join(["[shrinknets.families]", *lines, ""])


def test_our_own_families_go_by_their_names() -> None:
    assert family_names() == OWN
    assert [get_family(name).name for name in OWN] == [*OWN]


def test_an_unknown_name_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(UnknownFamilyError, match="'alexnet': expected one of mlp, ") as caught:
        get_family("alexnet")
    assert caught.value.known == OWN
    assert caught.value.unreadable == ()


def test_an_installed_distribution_adds_a_family(install: Install) -> None:
    install("tiny-nets", entry("tiny = tiny_nets:TINY"), files={"tiny_nets.py": GOOD_MODULE})
    assert "tiny-nets" in {found.name for found in metadata.distributions()}
    assert family_names() == (*OWN, "tiny")
    family = get_family("tiny")
    assert family.build((4,), (3,), 2)(torch.zeros(5, 4)).shape == (5, 2)
    assert family.size((4,), (3,), 2) == Size(parameters=4 * 3 + 3 + 3 * 2 + 2, macs=18)


def test_listing_the_names_loads_no_foreign_code(install: Install) -> None:
    install("loud", entry("loud = loud:X"), files={"loud.py": "raise SystemExit('loaded')"})
    assert family_names() == (*OWN, "loud")
    assert get_family("mlp").name == "mlp"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("bad = no_such_module:X", "ModuleNotFoundError"),
        ("bad = bad_nets:MISSING", "AttributeError"),
        ("bad = bad_nets:NOT_A_FAMILY", "of type str, not a Family"),
        ("bad = bad_nets:OTHER_NAME", "calls itself 'mlp'"),
        ("bad = raising_nets:X", "RuntimeError: out of order"),
        ("bad = not a reference", "raises"),
    ],
)
def test_a_broken_family_is_refused_by_distribution_and_takes_none_down(
    install: Install, line: str, reason: str
) -> None:
    lines = (
        "from shrinknets_core.families import get_family",
        "NOT_A_FAMILY = 'mlp'",
        "OTHER_NAME = get_family('mlp')",
    )
    install("tiny-nets", entry("tiny = tiny_nets:TINY"), files={"tiny_nets.py": GOOD_MODULE})
    install(
        "bad-nets",
        entry(line),
        files={
            "bad_nets.py": "\n".join(lines),
            "raising_nets.py": "raise RuntimeError('out of order')",
        },
    )
    with pytest.raises(BrokenFamilyError, match=r"'bad' .*bad-nets 1\.5") as caught:
        get_family("bad")
    assert reason in str(caught.value)
    assert caught.value.distribution == "bad-nets 1.5"
    assert get_family("tiny").name == "tiny"
    assert get_family("mlp").name == "mlp"


@pytest.mark.parametrize("text", ["[shrinknets.families]\nno reference", "[x]\n\udcff"])
def test_entry_points_that_cannot_be_read_take_none_down_and_are_named(
    install: Install, tmp_path: Path, text: str
) -> None:
    install("tiny-nets", entry("tiny = tiny_nets:TINY"), files={"tiny_nets.py": GOOD_MODULE})
    install("garbled", "")
    file = tmp_path / "garbled" / "garbled-1.5.dist-info" / "entry_points.txt"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert family_names() == (*OWN, "tiny")
    assert get_family("tiny").name == "tiny"
    with pytest.raises(UnknownFamilyError, match=r"garbled 1\.5 can't be read"):
        get_family("garbled")


def test_a_name_that_two_distributions_claim_is_refused(install: Install) -> None:
    for name in ("tiny_nets", "other_nets"):
        install(name, entry(f"tiny = {name}:TINY"), files={f"{name}.py": GOOD_MODULE})
    with pytest.raises(FamilyClashError, match=r"other_nets 1\.5 and tiny_nets 1\.5") as caught:
        get_family("tiny")
    assert caught.value.owners == ("other_nets 1.5", "tiny_nets 1.5")
    assert get_family("mlp").name == "mlp"
    assert family_names() == (*OWN, "tiny")


def test_a_name_of_our_own_is_not_to_be_taken(install: Install) -> None:
    install("usurper", entry("lenet5 = usurper:X"))
    with pytest.raises(FamilyClashError, match=r"shrinknets itself and usurper 1\.5"):
        get_family("lenet5")
    assert get_family("mlp").name == "mlp"
    assert family_names() == OWN


def test_a_distribution_found_twice_counts_once(install: Install) -> None:
    install("Tiny.Nets", entry("tiny = no_such_module:X"), folder="older")
    install("tiny_nets", entry("tiny = tiny_nets:TINY"), files={"tiny_nets.py": GOOD_MODULE})
    assert get_family("tiny").name == "tiny"


def test_metadata_without_a_name_is_passed_over(install: Install, tmp_path: Path) -> None:
    install("nameless", entry("tiny = tiny_nets:TINY"))
    (tmp_path / "nameless" / "nameless-1.5.dist-info" / "METADATA").write_text("Version: 1\n")
    assert family_names() == OWN
