"""Networks as files for other programs compute what they compute in torch."""

import io
import sys

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from shrinknets_core import (
    ExportError,
    Format,
    TrainedNetwork,
    TrainOptions,
    export_network,
    load_dataset,
    probe_of,
    serialise,
    train_fixed,
)
from shrinknets_core.finishing import Standardise


@pytest.fixture(scope="module")
def trained() -> TrainedNetwork:
    split = load_dataset("digits", seed=0)
    events = train_fixed(split, widths=(12, 7), options=TrainOptions(epochs=2, batch_size=256))
    (network,) = (event for event in events if isinstance(event, TrainedNetwork))
    return network


def run(content: bytes, form: Format, rows: Tensor) -> Tensor:
    if form is Format.PT2:
        return torch.export.load(io.BytesIO(content)).module()(rows)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (found,) = session.run(["logits"], {"rows": rows.numpy()})
    return torch.from_numpy(found)


@pytest.mark.slow
@pytest.mark.parametrize("form", Format)
def test_an_export_takes_any_number_of_rows(trained: TrainedNetwork, form: Format) -> None:
    content = export_network(trained.module, form, rows=probe_of(serialise(trained)))
    for number in (1, 8, 100):
        rows = 16 * torch.rand(number, 64)
        with torch.no_grad():
            expected = trained.module(rows)
            torch.testing.assert_close(run(content, form, rows), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("form", Format)
def test_images_are_exported_with_their_standardisation(form: Format) -> None:
    mean, std = torch.rand(3, 1, 1), torch.rand(3, 1, 1) + 0.5
    network = nn.Sequential(
        Standardise(mean, std), nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Flatten()
    ).eval()
    rows = torch.rand(4, 3, 6, 6)
    found = run(export_network(network, form, rows=rows), form, rows[:3])
    with torch.no_grad():
        torch.testing.assert_close(found, network(rows[:3]), rtol=1e-4, atol=1e-4)


class DependsOnData(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if float(x.sum()) > 0 else -x


@pytest.mark.parametrize("form", Format)
def test_what_cannot_be_exported_says_why(form: Format) -> None:
    with pytest.raises(ExportError) as caught:
        export_network(DependsOnData(), form, rows=torch.rand(2, 3))
    assert caught.value.format_name == form.value
    assert len(caught.value.reason) > 20


def test_a_file_that_computes_something_else_is_not_given_out(
    trained: TrainedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = "shrinknets_core.exporting._READERS"
    monkeypatch.setattr(other, {Format.PT2: lambda content, rows: torch.zeros(len(rows), 10)})
    with pytest.raises(ExportError, match="outputs differ"):
        export_network(trained.module, Format.PT2, rows=probe_of(serialise(trained)))


def test_a_missing_package_is_named_with_what_installs_it(
    trained: TrainedNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ExportError, match=r"pip install 'shrinknets\[onnx\]'"):
        export_network(trained.module, Format.ONNX, rows=probe_of(serialise(trained)))
