"""Tells where it was placed, or fills the card that it got."""

import os
import sys

import torch

from worker.trial.environment import TrialEnvironment
from worker.trial.machine import set_up


def main() -> int:
    named = dict.fromkeys(("SHRINKNETS_URL", "SHRINKNETS_ATTEMPT", "SHRINKNETS_TOKEN"), "none")
    device = set_up(TrialEnvironment.read({**os.environ, **named}))
    if os.environ["BEHAVIOUR"] == "fill the card":
        fill(device)
    else:
        threads = f"{torch.get_num_threads()} {torch.get_num_interop_threads()}"
        sys.stderr.write(f"{os.environ['CUDA_VISIBLE_DEVICES']} {device} threads {threads}\n")
    return 0


def fill(device: str) -> None:
    """Tell how many cards there are, and at which share of one memory runs out."""
    total = torch.cuda.get_device_properties(device).total_memory
    kept = []
    try:
        while True:
            kept.append(torch.empty(total // 50, dtype=torch.uint8, device=device))
    except torch.OutOfMemoryError:
        cards = torch.cuda.device_count()
        sys.stderr.write(f"{cards} card, out of memory at {len(kept) / 50:.1f}\n")


if __name__ == "__main__":
    sys.exit(main())
