"""The network families by name: our own, and those that installed distributions announce.

A distribution announces a family in its `pyproject.toml`, under the family's name:

    [project.entry-points."shrinknets.families"]
    tiny_cnn = "my_package.networks:TINY_CNN"

where the object is a `Family` that calls itself `tiny_cnn`. It is loaded only when it is asked for.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

from shrinknets_core.errors import BrokenFamilyError, FamilyClashError, UnknownFamilyError
from shrinknets_core.families.family import Family
from shrinknets_core.families.lenet import lenet_family
from shrinknets_core.families.mlp import mlp_family
from shrinknets_core.families.resnet import DEPTHS, resnet_family
from shrinknets_core.families.vgg import CONVS, vgg_family

GROUP = "shrinknets.families"
BUILT_IN = {
    family.name: family
    for family in (
        mlp_family(),
        mlp_family(residual=True),
        lenet_family(),
        *(vgg_family(depth) for depth in CONVS),
        *(resnet_family(depth) for depth in DEPTHS),
    )
}


@dataclass(frozen=True, kw_only=True)
class _Announced:
    """What the installed distributions announce.

    Attributes:
        entries: the entry points of our group, by name.
        unreadable: the distributions whose entry points can't be read.
    """

    entries: dict[str, list[metadata.EntryPoint]]
    unreadable: tuple[str, ...]


def family_names() -> tuple[str, ...]:
    """Return the names that `get_family` knows, our own first; loads no foreign code.

    A family that turns out to be broken, or whose name is taken twice, is listed too.
    """
    return _names(_announced())


def get_family(name: str) -> Family:
    """Return the family of this name; loads the code that announces it, and no other.

    Raises:
        UnknownFamilyError: there is no family of this name.
        BrokenFamilyError: a distribution announces it, but it can't be loaded.
        FamilyClashError: more than one family goes by this name.
    """
    if name in BUILT_IN and not _may_be_announced(name):
        return BUILT_IN[name]
    announced = _announced()
    entries = announced.entries.get(name, [])
    owners = ["shrinknets itself"] if name in BUILT_IN else []
    owners += [_label(entry.dist) for entry in entries]
    if not owners:
        raise UnknownFamilyError(name, _names(announced), unreadable=announced.unreadable)
    if len(owners) > 1:
        raise FamilyClashError(name, tuple(owners))
    return BUILT_IN[name] if name in BUILT_IN else _load(entries[0])


def _names(announced: _Announced) -> tuple[str, ...]:
    return (*BUILT_IN, *sorted(announced.entries.keys() - BUILT_IN.keys()))


def _may_be_announced(name: str) -> bool:
    """Whether somebody may claim the name; looks for the words, as parsing takes long."""
    for distribution in metadata.distributions():
        try:
            text = distribution.read_text("entry_points.txt") or ""
        except (OSError, ValueError):
            return True
        if GROUP in text and name in text:
            return True
    return False


def _announced() -> _Announced:
    """Read the entry points of each distribution by itself, so that none hides the others'."""
    entries = defaultdict[str, list[metadata.EntryPoint]](list)
    unreadable = []
    for distribution in _distributions():
        try:
            found = list(distribution.entry_points.select(group=GROUP))
        except Exception:  # noqa: BLE001 - the parser has no errors of its own for a broken file
            unreadable.append(_label(distribution))
            continue
        for entry in found:
            entries[entry.name].append(entry)
    return _Announced(entries=dict(entries), unreadable=tuple(unreadable))


def _distributions() -> Iterator[metadata.Distribution]:
    """Give each distribution once, from where Python's path has it first."""
    seen = set()
    for distribution in metadata.distributions():
        header = distribution.metadata
        if "Name" not in header:
            continue
        key = re.sub(r"[-_.]+", "-", header["Name"]).lower()
        if key not in seen:
            seen.add(key)
            yield distribution


def _label(distribution: metadata.Distribution | None) -> str:
    assert distribution is not None
    return f"{distribution.name} {distribution.version}"


def _load(entry: metadata.EntryPoint) -> Family:
    try:
        family = entry.load()
    except Exception as error:
        reason = f"loading {entry.value!r} raises {type(error).__name__}: {error}"
        raise _broken(entry, reason) from error
    if not isinstance(family, Family):
        raise _broken(entry, f"{entry.value!r} is of type {type(family).__name__}, not a Family")
    if family.name != entry.name:
        raise _broken(entry, f"{entry.value!r} calls itself {family.name!r}")
    return family


def _broken(entry: metadata.EntryPoint, reason: str) -> BrokenFamilyError:
    return BrokenFamilyError(entry.name, distribution=_label(entry.dist), reason=reason)
