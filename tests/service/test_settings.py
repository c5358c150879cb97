"""Settings come from SHRINKNETS_* variables; a wrong one is told in words."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from service import SettingsError, read_settings


def test_by_default_everything_lies_in_one_folder_and_listens_to_this_machine_only() -> None:
    settings = read_settings()
    assert settings.database_url == "sqlite:///shrinknets-data/shrinknets.db"
    assert settings.artifacts_url == (Path.cwd() / "shrinknets-data" / "artifacts").as_uri()
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert (settings.job_lease_seconds, settings.attempt_lease_seconds) == (15, 60)


def test_the_folder_moves_database_and_files(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SHRINKNETS_DATA_DIR", str(tmp_path))
    settings = read_settings()
    assert settings.database_url == f"sqlite:///{tmp_path}/shrinknets.db"
    assert settings.artifacts_url == (tmp_path / "artifacts").as_uri()


@pytest.mark.parametrize(
    ("variable", "given", "message"),
    [
        ("PORT", "http", "SHRINKNETS_PORT: got 'http', allowed is a whole number"),
        ("PORT", "70000", "SHRINKNETS_PORT: got '70000', allowed is a number of at most 65535"),
        (
            "JOB_LEASE_SECONDS",
            "0",
            "SHRINKNETS_JOB_LEASE_SECONDS: got '0', allowed is a number greater than 0",
        ),
        (
            "TRUST_NETWORK",
            "maybe",
            "SHRINKNETS_TRUST_NETWORK: got 'maybe', allowed is true or false",
        ),
        (
            "ARTIFACTS_URL",
            "/srv/files",
            "SHRINKNETS_ARTIFACTS_URL: got '/srv/files', allowed is a URL such as file:///",
        ),
        (
            "ALLOWED_HOSTS",
            "a.example,http://b.example",
            "allowed is names without scheme and port",
        ),
    ],
)
def test_a_wrong_variable_is_named_with_what_was_given_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch, variable: str, given: str, message: str
) -> None:
    monkeypatch.setenv(f"SHRINKNETS_{variable}", given)
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert message in str(caught.value)


def test_a_wrong_database_url_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHRINKNETS_DATABASE_URL", "mysql://me:secret@host/db")
    with pytest.raises(SettingsError) as caught:
        read_settings()
    assert "SHRINKNETS_DATABASE_URL" in str(caught.value)
    assert "starts with sqlite:///, or with postgresql://" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_every_wrong_variable_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHRINKNETS_PORT", "x")
    monkeypatch.setenv("SHRINKNETS_TRUST_NETWORK", "x")
    with pytest.raises(SettingsError) as caught:
        read_settings()
    fields = {error.field for error in caught.value.errors}
    assert fields == {"SHRINKNETS_PORT", "SHRINKNETS_TRUST_NETWORK"}


def test_a_short_worker_key_is_told_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHRINKNETS_WORKER_KEY", "hunter2")
    with pytest.raises(SettingsError, match="a random text of at least 32") as caught:
        read_settings()
    assert "hunter2" not in str(caught.value)


def test_names_are_given_with_commas_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHRINKNETS_ALLOWED_HOSTS", "a.example, b.example,")
    assert read_settings().allowed_hosts == ("a.example", "b.example")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_addresses_are_always_allowed(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("SHRINKNETS_HOST", host)
    assert read_settings().host == host


def test_an_operator_may_trust_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHRINKNETS_HOST", "0.0.0.0")
    monkeypatch.setenv("SHRINKNETS_TRUST_NETWORK", "true")
    assert read_settings().host == "0.0.0.0"


def test_the_page_of_settings_is_what_the_classes_say() -> None:
    root = Path(__file__).parents[2]
    made = subprocess.run(
        [sys.executable, root / "scripts" / "settings_page.py", "--print"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert (root / "docs" / "settings.md").read_text() == made.stdout, (
        "run scripts/settings_page.py"
    )


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write(content: str) -> Path:
        path = tmp_path / "settings.toml"
        path.write_text(content)
        return path

    return write


def test_a_file_settles_what_the_environment_and_the_caller_leave_open(
    monkeypatch: pytest.MonkeyPatch, write: Callable[[str], Path]
) -> None:
    path = write(
        '[service]\nport = 1\nhost = "127.0.0.2"\nlog_format = "json"\n[worker]\nslots = 3'
    )
    monkeypatch.setenv("SHRINKNETS_CONFIG", str(path))
    monkeypatch.setenv("SHRINKNETS_PORT", "2")
    settings = read_settings(host="127.0.0.3")
    assert (settings.port, settings.host, settings.log_format) == (2, "127.0.0.3", "json")


def test_a_file_that_is_named_goes_before_that_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, write: Callable[[str], Path]
) -> None:
    monkeypatch.setenv("SHRINKNETS_CONFIG", "/nowhere")
    assert read_settings(config=write("[service]\nport = 7")).port == 7


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "[service]\nprot = 1",
            "got 'prot' in [service], allowed is allowed_hosts, artifact_grace_hours",
        ),
        ("[sevice]", "got 'sevice', allowed is the tables service, worker"),
        ("service = 1", "got service = 1, allowed is a table [service]"),
        ("[service", "allowed is TOML"),
        ('[service]\nport = "x"', "port in "),
        ('[service]\ndatabase_url = "mysql://me:secret@host/db"', "database_url in "),
    ],
)
def test_what_is_wrong_in_a_file_is_named_with_the_file(
    write: Callable[[str], Path], content: str, message: str
) -> None:
    path = write(content)
    with pytest.raises(SettingsError) as caught:
        read_settings(config=path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_file_that_is_not_there_is_named() -> None:
    with pytest.raises(SettingsError, match="/nowhere: got No such file or directory"):
        read_settings(config=Path("/nowhere"))
