"""Copies of a network that goes on shrinking, kept until they are polished."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from shrinknets_core.families import Family
from shrinknets_core.sizes import Size
from shrinknets_core.trainee import Trainee


class HasPlain(Protocol):
    """What plain copies can be taken of."""

    def plain(self) -> nn.Module:
        """Return a network without gates that computes the same; shares nothing with this one."""
        ...

    def kept(self) -> tuple[tuple[int, ...], ...]:
        """Return the original numbers of the features of each layer that are left."""
        ...


class Origin(HasPlain, Protocol):
    """What a network was cut from: a trainee, or a snapshot of it."""

    @property
    def family(self) -> Family:
        """How it was built."""
        ...

    @property
    def full_widths(self) -> tuple[int, ...]:
        """What it was built with."""
        ...


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A network that shrinks, as it was at one moment.

    Attributes:
        module: plain; never changed.
        full_widths: what it was cut from.
        feature_ids: for each layer the original numbers of the features that are left.
        size: of the module.
        lam: the penalty that led to it.
    """

    module: nn.Module
    family: Family
    full_widths: tuple[int, ...]
    feature_ids: tuple[tuple[int, ...], ...]
    size: Size
    lam: float

    @property
    def widths(self) -> tuple[int, ...]:
        """How many features each layer has left."""
        return tuple(len(ids) for ids in self.feature_ids)

    def kept(self) -> tuple[tuple[int, ...], ...]:
        """Return the original numbers of the features of each layer that are left."""
        return self.feature_ids

    def plain(self) -> nn.Module:
        """Return a copy of the module."""
        return copy.deepcopy(self.module)

    def rebuild(self, widths: Sequence[int], tensors: Mapping[str, Tensor]) -> nn.Module:
        """Return a copy with other values; widths are those of this one."""
        assert tuple(widths) == self.widths
        module = self.plain()
        module.load_state_dict(dict(tensors))
        return module

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_snapshot` makes it of; its tensors never change."""
        tensors = {name: t.detach().cpu() for name, t in self.module.state_dict().items()}
        ids = [list(one) for one in self.feature_ids]
        return {"module": tensors, "feature_ids": ids, "lam": self.lam}


def take_snapshot(trainee: Trainee, *, lam: float) -> Snapshot:
    """Copy a network whose dead features have been collected."""
    ids = trainee.kept()
    return Snapshot(
        module=trainee.plain(),
        family=trainee.family,
        full_widths=trainee.full_widths,
        feature_ids=ids,
        size=trainee.size([len(one) for one in ids]),
        lam=lam,
    )


def load_snapshot(trainee: Trainee, state: Mapping[str, Any]) -> Snapshot:
    """Return the snapshot of a trainee that had this state."""
    ids = tuple(tuple(one) for one in state["feature_ids"])
    widths = [len(one) for one in ids]
    return Snapshot(
        module=trainee.rebuild(widths, state["module"]),
        family=trainee.family,
        full_widths=trainee.full_widths,
        feature_ids=ids,
        size=trainee.size(widths),
        lam=float(state["lam"]),
    )
