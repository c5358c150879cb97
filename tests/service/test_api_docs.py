"""The API describes itself, with nothing fetched from outside."""

import json
import re
from pathlib import Path

from fastapi import FastAPI

from service.openapi import describe
from shrinknets import wire
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


def test_the_document_in_docs_is_that_of_the_endpoints() -> None:
    kept = Path(__file__).parents[2] / "docs" / "openapi.json"
    assert kept.read_text() == describe(), "run scripts/openapi"


def test_every_request_body_has_an_example_that_the_api_takes() -> None:
    document = json.loads(describe())
    schemas = document["components"]["schemas"]
    bodies = 0
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                bodies += 1
                schema = content["schema"]
                refs = [part["$ref"] for part in schema.get("anyOf", [schema]) if "$ref" in part]
                for ref in refs:
                    name = ref.rsplit("/", maxsplit=1)[-1]
                    for example in schemas[name]["examples"]:
                        getattr(wire, name).model_validate(example)
                assert refs or "example" in content, path
    assert bodies >= 9


def test_every_operation_documents_its_problems() -> None:
    document = json.loads(describe())
    for path, operations in document["paths"].items():
        if path in {"/healthz", "/readyz"}:
            continue
        for method, operation in operations.items():
            assert {"422", "503"} <= set(operation["responses"]), (method, path)
            if "{" in path:
                assert "404" in operation["responses"], (method, path)
