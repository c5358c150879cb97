"""What a table of measurements must say about where it was made."""

import datetime as dt
import os
import platform

import torch


def describe() -> str:
    """Return date, processor, threads and versions in one line."""
    day = dt.datetime.now(tz=dt.UTC).date()
    return (
        f"{day}, {platform.processor() or platform.machine()} with {os.cpu_count()} cores, "
        f"{torch.get_num_threads()} thread(s), Python {platform.python_version()}, "
        f"torch {torch.__version__}"
    )
