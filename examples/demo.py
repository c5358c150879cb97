"""Size a network on scikit-learn's digits: start the service, submit a job, show what came out."""

import argparse
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from shrinknets import Client, Job, ShrinkNetsError
from shrinknets.report import frontier_table, method_table, summarise

METHODS = ("shrinknets", "fixed", "fixed_l2", "path")
POINTS_FOR_SIZE = 0.005


@contextmanager
def running_service(data_dir: Path, *, keep: bool) -> Iterator[tuple[str, int]]:
    """Start `shrinknets serve` on a free port, give its address and process id, stop it."""
    command = [sys.executable, "-m", "shrinknets", "serve", "--port", "0"]
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "demo.log").open("w") as log:
        server = subprocess.Popen(
            [*command, "--data-dir", str(data_dir)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            # Ctrl-C is for the demo, which cancels its job before the server goes.
            start_new_session=True,
        )
    assert server.stdout is not None
    line = server.stdout.readline()
    if not line:
        sys.exit((data_dir / "demo.log").read_text() or "the service did not start")
    try:
        yield line.split()[-1], server.pid
    except BaseException:
        keep = False
        raise
    finally:
        if not keep:
            server.send_signal(signal.SIGTERM)
            server.wait()


def show(console: Console, job: Job, data_dir: Path) -> None:
    networks = [network.info for network in job.networks()]
    console.print(method_table(summarise(job.trials(), networks)))
    console.print(frontier_table(networks))
    chosen, smaller = job.best(), job.best(within=POINTS_FOR_SIZE)
    path = chosen.save(data_dir / "digits.safetensors")
    print(f"chosen by validation: {chosen!r}")
    print(f"smallest within {POINTS_FOR_SIZE:.1%} of it: {smaller!r}")
    print(f"saved as {path}; load it with shrinknets_core.load_network({str(path)!r})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the server up at the end")
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Path("shrinknets-data"),
        help="folder of the database and the files (default: shrinknets-data)",
    )
    parser.add_argument("--trials", type=int, default=10, help="of each method but path")
    options = parser.parse_args()
    console = Console()
    with (
        running_service(options.data_dir, keep=options.keep) as (url, server),
        Client(url) as client,
    ):
        job = client.submit(
            dataset="digits", methods=METHODS, widths=[1000], trials=options.trials, name="demo"
        )
        page = f"{url}/jobs/{job.id}"
        try:
            print(f"job {job.id}: watch it at {page}", flush=True)
            job.wait()
        except KeyboardInterrupt:
            job.cancel()
            sys.exit("interrupted: the job was cancelled")
        show(console, job, options.data_dir)
        if options.keep:
            print(f"dashboard: {page} (stop the server with: kill {server})")
        else:
            print(f"dashboard: {page} (gone now; `scripts/serve` shows /jobs/{job.id} again)")


if __name__ == "__main__":
    try:
        main()
    except (ShrinkNetsError, OSError) as error:
        sys.exit(f"demo: {error}")
