"""Size a network on scikit-learn's digits: start the service, submit a job, show what came out."""

import argparse
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from shrinknets import Client, ShrinkNetsError
from shrinknets.report import frontier_table, method_table, summarise

METHODS = ("shrinknets", "fixed", "fixed_l2", "path")


@contextmanager
def running_service(data_dir: Path, *, keep: bool) -> Iterator[str]:
    """Start `shrinknets serve` on a free port and give its address; stop it at the end."""
    command = [sys.executable, "-m", "shrinknets", "serve", "--port", "0"]
    data_dir.mkdir(parents=True, exist_ok=True)
    with (data_dir / "demo.log").open("w") as log:
        server = subprocess.Popen(
            [*command, "--data-dir", str(data_dir)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=keep,
        )
    assert server.stdout is not None
    line = server.stdout.readline()
    if not line:
        sys.exit((data_dir / "demo.log").read_text() or "the service did not start")
    try:
        yield line.split()[-1]
    except BaseException:
        keep = False
        raise
    finally:
        if not keep:
            server.send_signal(signal.SIGTERM)
            server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the server up at the end")
    parser.add_argument("--data-dir", type=Path, default=Path("shrinknets-data"))
    parser.add_argument("--trials", type=int, default=10, help="of each method but path")
    options = parser.parse_args()
    console = Console()
    with running_service(options.data_dir, keep=options.keep) as url, Client(url) as client:
        job = client.submit(
            dataset="digits", methods=METHODS, widths=[1000], trials=options.trials, name="demo"
        )
        console.print(f"job {job.id}: watch it at {url}/jobs/{job.id}")
        job.wait()
        networks = [network.info for network in job.networks()]
        console.print(method_table(summarise(job.trials(), networks)))
        console.print(frontier_table(networks))
        best = job.best()
        path = best.save(options.data_dir / "digits.safetensors")
        console.print(f"chosen: {best!r}, saved as {path}", markup=False)
        console.print(f"load it with shrinknets_core.load_network({str(path)!r})")
        later = "up" if options.keep else "start `scripts/serve` to see it again"
        console.print(f"dashboard: {url}/jobs/{job.id} ({later})")


if __name__ == "__main__":
    try:
        main()
    except ShrinkNetsError as error:
        sys.exit(f"demo: {error}")
