"""What a checkpoint costs: the copy that training waits for, the rest of it, and the way back.

Epochs of random rows with a checkpoint after every second one; medians. The file is made in a
thread of its own, as in a trial; uploading it is left out. All times are of the processor, so that
a busy machine tells the same.
"""

import argparse
import statistics
import threading
import time

import torch

from benchmarks.machine import describe
from shrinknets_core import Checkpoint, Run, Split, TrainOptions, split_rows, train_fixed


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--rows", type=int, default=1000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(describe())
    for inputs, widths in ((784, (5000, 5000)), (64, (100, 50))):
        x = torch.randn(options.rows, inputs)
        split = split_rows("random", x, torch.arange(options.rows) % 10, seed=0)
        measure(split, widths, options.epochs)


def start(split: Split, widths: tuple[int, ...], epochs: int) -> Run:
    training = TrainOptions(epochs=2 * epochs + 2, batch_size=128)
    return train_fixed(split, widths=widths, options=training)


def measure(split: Split, widths: tuple[int, ...], epochs: int) -> None:
    """Print one row for a network."""
    run = start(split, widths, epochs)
    next(run)
    plain, busy, copies, files = [], [], [], []
    content = b""
    for _ in range(epochs):
        plain.append(seconds_of(lambda: next(run)))
        begun = time.thread_time()
        checkpoint = Checkpoint.of(run)
        copies.append(time.thread_time() - begun)
        made: list[bytes] = []
        thread = threading.Thread(
            target=lambda c=checkpoint, m=made: files.append(
                seconds_of(lambda: m.append(c.to_bytes()))
            )
        )
        thread.start()
        busy.append(seconds_of(lambda: next(run)))
        thread.join()
        content = made[0]
    again = start(split, widths, epochs)
    begun = time.thread_time()
    Checkpoint.from_bytes(content).restore(again)
    restored = time.thread_time() - begun
    first = seconds_of(lambda: next(again))
    print(
        f"{split.inputs}-{'-'.join(map(str, widths))}-10: file {len(content) / 1e6:.2f} MB; epoch "
        f"{1e3 * statistics.median(plain):.1f} ms, while a file is made "
        f"{1e3 * statistics.median(busy):.1f} ms; copy {1e3 * statistics.median(copies):.2f} ms, "
        f"file {1e3 * statistics.median(files):.1f} ms; read and restored in "
        f"{1e3 * restored:.1f} ms, first epoch after it {1e3 * first:.1f} ms"
    )


def seconds_of(action: object) -> float:
    """Return the processor's time of a call, of this thread alone."""
    begun = time.thread_time()
    action()  # type: ignore[operator]
    return time.thread_time() - begun


if __name__ == "__main__":
    main()
