"""The client is light, and its public names are those it lists."""

import subprocess
import sys

import shrinknets
import shrinknets_core
from shrinknets import wire

HEAVY = ("torch", "numpy", "optuna", "sqlalchemy", "fastapi", "plotly", "service", "worker")


def test_importing_the_client_loads_nothing_heavy() -> None:
    code = f"import sys, shrinknets; print([m for m in {HEAVY} if m in sys.modules])"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_every_public_name_exists_and_stands_once() -> None:
    for package in (shrinknets, shrinknets_core, wire):
        assert len(package.__all__) == len(set(package.__all__))
        assert all(hasattr(package, name) for name in package.__all__)
