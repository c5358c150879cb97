"""Two processes that train one network agree on what dies."""

from pathlib import Path

import pytest
import torch
import torch.multiprocessing
from torch import distributed, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from shrinknets_core import Shrinker, ShrinkOptions

pytestmark = pytest.mark.slow

STEPS = 60
COLLECT_AT = 30


def train(rank: int, folder: str) -> None:
    """Train on this process' own rows; the gradients of weights and gates are averaged."""
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2
    )
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 4))
    options = ShrinkOptions(warmup_steps=2, ramp_steps=2, check_steps=10 * STEPS)
    shrinker = Shrinker(model, torch.randn(2, 8), lam=0.05, options=options)
    optimizer = torch.optim.AdamW(shrinker.parameters(), lr=1e-2)
    parallel = DistributedDataParallel(model)
    rng = torch.Generator().manual_seed(rank + 1)
    for number in range(STEPS):
        x = torch.randn(16, 8, generator=rng)
        cross_entropy(parallel(x), x[:, :4].argmax(1)).backward()
        optimizer.step()
        shrinker.step()
        optimizer.zero_grad()
        if number == COLLECT_AT:
            shrinker.collect(optimizer)
            parallel = DistributedDataParallel(model)
    torch.save([shrinker.groups[0].filter.feature_ids, *model.parameters()], f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_agree_on_what_dies(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(train, (str(tmp_path),), nprocs=2)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert 1 < len(first[0]) < 32
