"""What client and command say of a network's family, at the transport."""

import json
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from shrinknets.cli import _submit
from shrinknets.cli._app import app
from tests.sdk.test_submitting import Seen

OFFER: dict[str, Any] = {"name": "own", "layers": [{"name": "fc", "full": 9}], "image_side": 4}


@pytest.mark.parametrize(
    ("arguments", "network"),
    [
        ({}, None),
        ({"widths": 9}, {"widths": [9]}),
        ({"family": "lenet5"}, {"family": "lenet5"}),
        ({"family": "lenet5", "widths": (3, 4, 5)}, {"family": "lenet5", "widths": [3, 4, 5]}),
    ],
    ids=str,
)
def test_a_submission_names_family_and_widths_where_they_are_given(
    arguments: dict[str, Any], network: dict[str, Any] | None
) -> None:
    seen = Seen()
    with seen.client() as client:
        client.submit(dataset="digits", **arguments)
    assert json.loads(seen.requests[0].content).get("network") == network


def test_the_families_of_the_workers_are_listed() -> None:
    seen = Seen(httpx.Response(200, json={"items": [OFFER]}))
    with seen.client() as client:
        (offer,) = client.families()
    assert (offer.name, offer.width_names(), offer.image_side) == ("own", ("fc",), 4)


def test_the_command_passes_family_precision_and_compilation_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = Seen()
    monkeypatch.setattr(_submit, "Client", lambda _: seen.client())
    options = "--family lenet5 --width 3 --width 4 --width 5 --precision bf16 --compile"
    answer = CliRunner().invoke(app, ["submit", "--dataset", "mine", *options.split()])
    assert answer.exit_code == 0, answer.output
    body = json.loads(seen.requests[0].content)
    assert body["network"] == {"family": "lenet5", "widths": [3, 4, 5]}
    assert body["training"] == {"precision": "bf16", "compile": True}
