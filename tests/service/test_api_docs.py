"""The API describes itself, with nothing fetched from outside."""

import re

from fastapi import FastAPI

from tests.service.conftest import TestClient


def test_the_page_of_the_api_takes_scripts_and_styles_from_the_service(client: TestClient) -> None:
    html = client.get("/docs").text
    addresses = re.findall(r"""<(?:script|link)[^>]*?(?:src|href)=["'](.*?)["']""", html)
    assert addresses
    for address in addresses:
        assert address.startswith("/")
        assert client.get(address).status_code == 200


def test_every_operation_has_a_summary(client: TestClient) -> None:
    assert isinstance(client.app, FastAPI)
    for path, operations in client.app.openapi()["paths"].items():
        assert all(operation["summary"] for operation in operations.values()), path
