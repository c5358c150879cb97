"""Every command and every example of the README runs as it stands there."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from shrinknets.wire import JobSpec
from tests.sdk.conftest import Served

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
MARK = ("README_TEST", str(os.getpid()))
"""In the environment of all that is started here: others may run the same program."""
BLOCKS = re.findall(r"```(bash|python)\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def block(language: str, containing: str) -> str:
    found = [code for kind, code in BLOCKS if kind == language and containing in code]
    assert len(found) == 1
    return found[0]


def run(command: list[str], *, cwd: Path, url: str = "", seconds: float = 240) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "SHRINKNETS_URL": url, MARK[0]: MARK[1]}
    answer = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    return answer.stdout


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    served = Served(tmp_path_factory.mktemp("readme"))
    yield served.url
    served.stop()


def test_no_block_is_left_out() -> None:
    assert [(kind, code.split("\n")[0]) for kind, code in BLOCKS] == [
        ("bash", "scripts/demo"),
        ("bash", "scripts/test"),
        ("python", "from shrinknets import Client"),
        ("bash", "shrinknets submit --dataset digits --method path --width 1000 --watch"),
        (
            "python",
            "from shrinknets_core import TrainedNetwork, TrainOptions, follow_path, load_dataset",
        ),
    ]


def what_we_left_running() -> list[str]:
    """The commands of all processes that `run` started, directly or through others."""
    left = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if MARK in process.environ().items():
                left.append(" ".join(process.cmdline()))
    return left


def test_the_demo_shows_all_methods_and_leaves_nothing_running() -> None:
    output = run(["bash", "-c", block("bash", "scripts/demo")], cwd=ROOT)
    for word in ("shrinknets", "fixed_l2", "path", "Frontier", "saved as", "dashboard: http"):
        assert word in output
    assert what_we_left_running() == []


def test_the_test_command_finds_the_tests() -> None:
    command = block("bash", "scripts/test").strip()
    assert "tests/core" in run([*command.split(), "--collect-only", "-q"], cwd=ROOT)


def test_an_interrupted_demo_cancels_its_job_and_says_so(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [sys.executable, "examples/demo.py", "--data-dir", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    assert demo.stdout is not None
    assert demo.stdout.readline().startswith("job job-")
    demo.send_signal(signal.SIGINT)
    _, errors = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert "interrupted: the job was cancelled" in errors
    assert "Traceback" not in errors


def test_the_example_of_a_whole_job_is_one() -> None:
    JobSpec.model_validate_json((ROOT / "examples" / "job.json").read_bytes())


def test_the_client_example(url: str, tmp_path: Path) -> None:
    output = run([sys.executable, "-c", block("python", "Client()")], cwd=tmp_path, url=url)
    assert re.search(r"\[\d+\] [\d,]+ \d+\.\d%", output)
    assert (tmp_path / "digits.safetensors").is_file()


def test_the_shell_example(url: str, tmp_path: Path) -> None:
    output = run(["bash", "-ec", block("bash", "--watch")], cwd=tmp_path, url=url)
    assert "Frontier" in output
    assert "succeeded" in output


def test_the_library_example(tmp_path: Path) -> None:
    output = run([sys.executable, "-c", block("python", "follow_path")], cwd=tmp_path)
    accuracies = [float(share) for share in re.findall(r"(\d+\.\d)%", output)]
    assert len(accuracies) >= 8
    assert max(accuracies) > 96
