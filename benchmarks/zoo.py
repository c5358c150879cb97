"""Which modules keep their outputs when a random share of their features is removed.

    python -m benchmarks.zoo --suite hard|timm|torchvision [--only NAME] [--peer] [--json FILE]

Each model is judged in a process of its own (`tests.core.exactness`, float64, evaluation and
training mode), two at a time. `hard` needs torch only; the others need timm and torchvision, and
`--peer` needs Torch-Pruning 1.6.1 (`torch_pruning_peer.py`), none of which this project installs.
"""

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.torch_pruning_peer import judge_peer
from benchmarks.zoo_models import build, names_of
from tests.core import exactness

TOGETHER = 2


def judge(options: argparse.Namespace) -> dict[str, Any]:
    """Judge the one model that the options name, in this process."""
    torch.set_num_threads(1)
    suite, name = options.suite, options.judge
    how = {"share": options.share, "seed": options.seed}
    if options.peer:
        return asdict(judge_peer(suite, name, **how))
    model, inputs = build(suite, name)
    return asdict(exactness.check_removal(model, inputs, name=name, **how))


def judge_apart(options: argparse.Namespace, name: str) -> dict[str, Any]:
    """Judge a model in a process of its own and say so when that fails or takes too long."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.zoo", *sys.argv[1:], "--judge", name]
    lost = {"name": name, "status": "raised", "parameters_before": 0, "parameters_after": 0}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=options.timeout, check=False
        )
    except subprocess.TimeoutExpired:
        outcome = lost | {"groups": 0, "error": f"took more than {options.timeout:.0f} s"}
    else:
        lines, errors = done.stdout.splitlines(), done.stderr.strip().splitlines() or ["?"]
        crashed = lost | {"groups": 0, "error": f"exit {done.returncode}: {errors[-1]}"}
        outcome = crashed if done.returncode else json.loads(lines[-1])
    return outcome | {"seconds": round(time.perf_counter() - started, 1)}


def line(outcome: dict[str, Any]) -> str:
    before, after = outcome["parameters_before"], outcome["parameters_after"]
    left = f"{100 * after / before:5.1f} %" if before else "    - %"
    return (
        f"{outcome['name']:<32} {outcome['status']:<16} {left} left  {outcome['groups']:4} groups "
        f"{outcome['seconds']:6.1f} s  {outcome['error']}"
    ).rstrip()


def summary(outcomes: list[dict[str, Any]]) -> str:
    counts = Counter(outcome["status"] for outcome in outcomes)
    total = len(outcomes)
    parts = [f"{count} {status} ({100 * count / total:.0f} %)" for status, count in counts.items()]
    return f"{total} models: " + ", ".join(sorted(parts))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--suite", choices=("hard", "timm", "torchvision"), required=True)
    parser.add_argument("--only", help="the one model to judge, or several with commas")
    parser.add_argument("--share", type=float, default=0.3, help="of each group's units")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds per model")
    parser.add_argument("--peer", action="store_true", help="judge Torch-Pruning instead")
    parser.add_argument("--json", type=Path, help="where to write the outcomes")
    parser.add_argument("--judge", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    options = parse()
    if options.judge:
        print(json.dumps(judge(options)))
        return
    names = options.only.split(",") if options.only else names_of(options.suite)
    unknown = set(names) - set(names_of(options.suite))
    if unknown:
        sys.exit(f"the suite {options.suite} has no {', '.join(sorted(unknown))}")
    outcomes = []
    with ThreadPoolExecutor(TOGETHER) as pool:
        for outcome in pool.map(partial(judge_apart, options), names):
            print(line(outcome), flush=True)
            outcomes.append(outcome)
    print(summary(outcomes))
    if options.json:
        options.json.write_text(json.dumps(outcomes, indent=1) + "\n")


if __name__ == "__main__":
    main()
