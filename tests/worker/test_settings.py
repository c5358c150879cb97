"""A worker's settings come from options, variables and a file, in this order."""

from pathlib import Path

import pytest

from worker.errors import SettingsError
from worker.settings import read_worker_settings


def test_options_go_before_variables_and_variables_before_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('[worker]\nslots = 1\nname = "file"\nurl = "http://file:1"\npoll_seconds = 9')
    monkeypatch.setenv("SHRINKNETS_URL", "http://variable:1")
    monkeypatch.setenv("SHRINKNETS_WORKER_NAME", "variable")
    settings = read_worker_settings(config=path, name="option")
    assert (settings.name, settings.url) == ("option", "http://variable:1")
    assert (settings.slots, settings.poll_seconds) == (1, 9)


def test_the_log_looks_as_that_of_the_service_unless_it_is_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SHRINKNETS_LOG_FORMAT", "json")
    assert read_worker_settings().log_format == "json"
    monkeypatch.setenv("SHRINKNETS_WORKER_LOG_FORMAT", "human")
    assert read_worker_settings().log_format == "human"


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHRINKNETS_WORKER_SLOTS", "0")
    with pytest.raises(SettingsError, match="SHRINKNETS_WORKER_SLOTS: Input should be"):
        read_worker_settings()
