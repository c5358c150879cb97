"""The best epoch of a training, kept as a plain network."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from torch import Tensor, nn

from shrinknets_core.events import EpochRecord
from shrinknets_core.snapshots import HasPlain
from shrinknets_core.states import read_record

Rebuild = Callable[[Sequence[int], Mapping[str, Tensor]], nn.Module]


class Choice:
    """The best epoch by validation (accuracy, then loss) among those of the latest size."""

    def __init__(self) -> None:
        self.record: EpochRecord | None = None
        self.module: nn.Module | None = None
        self._widths: tuple[int, ...] = ()

    def offer(self, record: EpochRecord, trainee: HasPlain) -> None:
        """Keep a plain copy of the network, gates folded, if it is the better one."""
        if self._is_better(record):
            self.record = record
            self.module = trainee.plain()
            self._widths = tuple(len(features) for features in trainee.kept())

    def state_dict(self) -> dict[str, Any] | None:
        """Return the choice so far, None where there is none; its tensors never change."""
        if self.record is None or self.module is None:
            return None
        tensors = {name: t.detach().cpu() for name, t in self.module.state_dict().items()}
        return {"record": asdict(self.record), "widths": list(self._widths), "module": tensors}

    def load_state_dict(self, state: Mapping[str, Any] | None, rebuild: Rebuild) -> None:
        """Take over a choice, in place; `rebuild` makes a network of widths and tensors."""
        if state is None:
            return
        self._widths = tuple(state["widths"])
        self.module = rebuild(self._widths, state["module"])
        self.record = read_record(state["record"])

    def _is_better(self, new: EpochRecord) -> bool:
        old = self.record
        if old is None or old.widths != new.widths:
            return True
        return (new.validation_accuracy, -new.validation_loss) > (
            old.validation_accuracy,
            -old.validation_loss,
        )
