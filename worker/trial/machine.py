"""Sets a trial's process up for the share of the machine that it was given."""

import torch

from worker.trial.environment import TrialEnvironment


def set_up(environment: TrialEnvironment) -> str:
    """Keep to threads and memory as told; returns the device to train on.

    Must come before anything is computed, since torch fixes its pools of threads then.
    """
    if environment.threads is not None:
        torch.set_num_threads(environment.threads)
        # Nothing in a training runs beside another operation; each idle thread costs memory.
        torch.set_num_interop_threads(1)
    device = _resolve(environment.device)
    if environment.memory_fraction is not None and torch.device(device).type == "cuda":
        torch.cuda.set_per_process_memory_fraction(environment.memory_fraction, device)
    return device


def _resolve(device: str) -> str:
    if device != "auto":
        return device
    if torch.cuda.is_available():
        return "cuda:0"
    return "mps" if torch.backends.mps.is_available() else "cpu"
