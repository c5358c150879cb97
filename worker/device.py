"""Names what trials compute on, without loading torch: this process must never touch CUDA."""

import os
import shutil
import subprocess
import sys
from collections import Counter

_SECONDS = 10.0
_MAX_LENGTH = 200


def describe_device() -> str:
    """In words, such as `2 × NVIDIA H200` or `8 cores`."""
    gpus = Counter(_gpus())
    if not gpus:
        return f"{num_cores()} cores"
    return ", ".join(f"{count} × {name}" for name, count in gpus.items())[:_MAX_LENGTH]


def num_cores() -> int:
    """The cores that this process may use, which a container can make fewer than there are."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _gpus() -> list[str]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        answer = subprocess.run(
            [program, "--query-gpu=name", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip()]
