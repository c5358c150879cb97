"""Runs of a network whose size stays: one loop, of which the best epoch counts."""

from collections.abc import Mapping
from typing import Any

from shrinknets_core.choice import Choice
from shrinknets_core.runs import Run
from shrinknets_core.states import copied
from shrinknets_core.training import Loop


class LoopRun(Run):
    """Keeps the loop and the choice among its epochs; how it trains is left to others."""

    def __init__(self, loop: Loop, description: Mapping[str, Any]) -> None:
        super().__init__(description)
        self._loop = loop
        self._choice = Choice()

    @property
    def step(self) -> int:
        return self._loop.step

    def _state(self) -> dict[str, Any]:
        return {"loop": copied(self._loop.state_dict()), "choice": self._choice.state_dict()}

    def _restore(self, state: Mapping[str, Any]) -> None:
        self._loop.load_state_dict(state["loop"])
        self._choice.load_state_dict(state["choice"], self._loop.trainee.rebuild)
