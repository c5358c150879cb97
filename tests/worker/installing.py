"""Packages of users as pip leaves them, for the processes that a test starts."""

import os
import shutil
from pathlib import Path

import pytest

OWN_FAMILY = Path(__file__).parents[2] / "examples" / "own_family"


def install(
    site: Path, monkeypatch: pytest.MonkeyPatch, *, name: str, entry: str, module: Path | str
) -> None:
    """Put a package and its announcement of one family on the path of all processes to come.

    Args:
        site: a folder of the test's own.
        monkeypatch: takes it off the path again.
        name: of the distribution, and with underscores of its package.
        entry: the line of its entry point.
        module: the folder of the package, or the text of its only module.
    """
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[shrinknets.families]\n{entry}\n")
    package = name.replace("-", "_")
    if isinstance(module, Path):
        shutil.copytree(module, site / package, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        (site / f"{package}.py").write_text(module)
    before = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(site), before])))
