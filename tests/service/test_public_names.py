"""The package has one door."""

import service


def test_the_package_shows_exactly_its_public_names() -> None:
    assert set(service.__all__) == {
        "GarbageReport",
        "PortTakenError",
        "SchemaError",
        "ServiceError",
        "Settings",
        "SettingsError",
        "UnavailableError",
        "collect_garbage",
        "create_app",
        "read_settings",
        "serve",
        "upgrade_to_head",
    }
    assert all(hasattr(service, name) for name in service.__all__)
