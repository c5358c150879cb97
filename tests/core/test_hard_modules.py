"""Removal from every module of the catalogue of hard ones: exact, or nothing at all."""

import pytest

from tests.core.exactness import Status, check_removal
from tests.core.hard_modules import CATALOGUE, HardModule

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("hard", CATALOGUE.values(), ids=CATALOGUE)
@pytest.mark.parametrize("share", [0.4])
def test_removal_changes_no_output(hard: HardModule, share: float) -> None:
    outcome = check_removal(hard.build(), hard.inputs(), share=share, seed=0, name=hard.name)
    assert outcome.status in {Status.EXACT, Status.NOTHING_REMOVED}, outcome.error
