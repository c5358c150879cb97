"""A worker's settings come from options, variables and a file, in this order."""

from pathlib import Path

import pytest

from worker.errors import SettingsError
from worker.settings import EngineName, read_worker_settings


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


def test_the_engine_for_ray_needs_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHRINKNETS_WORKER_ENGINE", "ray")
    with pytest.raises(SettingsError, match=r"_ENGINE: .* give --ray-address or SHRINK"):
        read_worker_settings()
    settings = read_worker_settings(ray_address="http://head:8265/")
    assert (settings.engine, settings.ray_address) == (EngineName.RAY, "http://head:8265")


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("RAY_ADDRESS", "ray://head:10001", "give the address of the dashboard"),
        ("RAY_ADDRESS", "head:8265", "does not say where the Ray cluster is"),
        ("RAY_GPUS_PER_TRIAL", "1.5", "1.5 is neither a share below 1 nor a whole number"),
        ("RAY_GPUS_PER_TRIAL", "-1", "greater than or equal to 0"),
        ("RAY_CPUS_PER_TRIAL", "0", "greater than 0"),
        ("RAY_RESOURCES", '{"a100": -1}', "greater than or equal to 0"),
        ("RAY_TOKEN", "two\nlines", "must be one line of ASCII"),
        ("RAY_CA_FILE", "/no/such/file", "Path does not point to a file"),
        ("TRIAL_URL", "service", "does not say where the service is"),
        ("ENGINE", "slurm", "Input should be 'local' or 'ray'"),
    ],
)
def test_what_cannot_be_right_for_ray_is_named_with_what_is(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(f"SHRINKNETS_WORKER_{name}", value)
    with pytest.raises(SettingsError, match=f"SHRINKNETS_WORKER_{name}.*{said}"):
        read_worker_settings()


def test_the_token_of_ray_is_read_from_its_own_variable_and_is_a_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "a-token\n")
    settings = read_worker_settings(api_key="sn_key")
    assert settings.secrets() == ["sn_key", "a-token"]
    assert "a-token" not in repr(settings)


def test_resources_of_ray_are_json_in_a_variable_and_a_table_in_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("[worker.ray_resources]\na100 = 1\n")
    assert read_worker_settings(config=path).ray_resources == {"a100": 1}
    monkeypatch.setenv("SHRINKNETS_WORKER_RAY_RESOURCES", '{"a100": 0.5}')
    assert read_worker_settings(config=path).ray_resources == {"a100": 0.5}
