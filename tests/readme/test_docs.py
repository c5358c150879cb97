"""The examples of the documentation run from top to bottom."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.sdk.conftest import Served

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.slow
def test_the_examples_of_own_network_run(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "own-network.md").read_text(), re.DOTALL)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small networks wait for each other's threads on a busy machine
    scope: dict[str, Any] = {}
    for number, block in enumerate(blocks):
        exec(compile(block, f"own-network.md, block {number}", "exec"), scope)
    torch.set_num_threads(threads)
    printed = capsys.readouterr().out
    assert "groups of features can shrink" in printed
    left = int(re.search(r"(\d+) parameters are left", printed)[1])  # type: ignore[index]
    assert left < 60_000
    assert "3 features removed" in printed


@pytest.mark.slow
def test_the_example_of_data_sets_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    served = Served(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", (DOCS / "datasets.md").read_text(), re.DOTALL)
    monkeypatch.setenv("SHRINKNETS_URL", served.url)
    try:
        exec(compile(block, "datasets.md", "exec"), {})
    finally:
        served.stop()
    printed = capsys.readouterr().out
    assert re.match(r"<Network net-\w+ fixed \d+", printed), printed
