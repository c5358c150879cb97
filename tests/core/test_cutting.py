"""What is planned before a cut."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from shrinknets_core.cutting import find_remainder, spare
from shrinknets_core.feature_groups import Group, Slot


def group_over(order: list[int]) -> Group:
    """Make a group of which an axis of one tensor holds each feature once."""
    slot = Slot(tensor="weight", axis=0, index=torch.tensor(order))
    return Group(
        "layer", num_features=len(order), slots=[slot], gated=[slot], readers=frozenset(),
        members=[frozenset([i]) for i in range(len(order))], cost=1,
    )  # fmt: skip


@given(st.data(), st.integers(1, 6), st.integers(1, 3))
def test_no_axis_loses_its_last_entry(data: st.DataObject, size: int, count: int) -> None:
    groups = [group_over(data.draw(st.permutations(range(size)))) for _ in range(count)]
    masks = st.lists(st.booleans(), min_size=size, max_size=size)
    wanted = {id(group): torch.tensor(data.draw(masks)) for group in groups}
    removed = spare(groups, wanted)
    kept = find_remainder(groups, removed).tensors.get("weight", {}).get(0, torch.arange(size))
    assert len(kept) >= 1
    for identity, lost in wanted.items():
        assert not (removed[identity] & ~lost).any()
    alive = [~wanted[id(g)][g.slots[0].index] for g in groups]
    if torch.stack(alive).all(0).any():  # nothing had to be spared
        assert all(torch.equal(removed[identity], lost) for identity, lost in wanted.items())
