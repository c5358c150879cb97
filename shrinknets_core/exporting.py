"""Trained networks as files for other programs: ONNX, and `torch.export`'s .pt2."""

import io
import logging
import warnings
from collections.abc import Callable
from enum import StrEnum

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from shrinknets_core.errors import ExportError

TOLERANCE = 1e-3
"""Relative to the largest output, as for saved networks: other kernels round differently."""
INPUT, OUTPUT = "rows", "logits"


class Format(StrEnum):
    """What a network can be exported to."""

    ONNX = "onnx"
    PT2 = "pt2"


def export_network(module: nn.Module, format: Format, *, rows: Tensor) -> bytes:  # noqa: A002
    """Return the network as a file that takes any number of rows.

    The file is read again and run on the rows before it is given out.

    Args:
        module: in evaluation mode, on the CPU.
        format: of the file. ONNX has the input `rows` and the output `logits`.
        rows: (batch, …) float32 examples, two at least, on the CPU.

    Raises:
        ExportError: a package is missing, the module can't be exported, or the file computes
            something else than the module.
    """
    with torch.no_grad():
        expected = module(rows)
    try:
        with warnings.catch_warnings():
            # The exporters warn of their own inner workings.
            warnings.simplefilter("ignore")
            program = _program(module, rows)
            content = _to_onnx(program) if format is Format.ONNX else _to_pt2(program)
            found = _READERS[format](content, rows)
    except ImportError as error:
        needed = "pip install 'shrinknets[onnx]' on the machine that trains"
        raise ExportError(format.value, f"{error}: {needed}") from error
    except ExportError:
        raise
    except Exception as error:
        raise ExportError(format.value, f"{type(error).__name__}: {error}") from error
    difference = float((found - expected).abs().max() / expected.abs().max())
    if found.shape != expected.shape or not difference <= TOLERANCE:
        raise ExportError(
            format.value,
            f"its outputs differ by {difference:.2g} from the network's (at most {TOLERANCE:g})",
        )
    return content


def _program(module: nn.Module, rows: Tensor) -> ExportedProgram:
    with torch.no_grad():
        return torch.export.export(module, (rows,), dynamic_shapes=({0: Dim("batch")},))


def _to_pt2(program: ExportedProgram) -> bytes:
    file = io.BytesIO()
    torch.export.save(program, file)
    return file.getvalue()


def _to_onnx(program: ExportedProgram) -> bytes:
    import onnxruntime  # noqa: F401, PLC0415  (before the work that it is needed for)

    # It tells of each package that it could also export and that is not there.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    model = torch.onnx.export(
        program, dynamo=True, verbose=False, input_names=[INPUT], output_names=[OUTPUT]
    )
    assert model is not None
    return bytes(model.model_proto.SerializeToString())


def _run_pt2(content: bytes, rows: Tensor) -> Tensor:
    with torch.no_grad():
        outputs: Tensor = torch.export.load(io.BytesIO(content)).module()(rows)
    return outputs


def _run_onnx(content: bytes, rows: Tensor) -> Tensor:
    import onnxruntime  # noqa: PLC0415  (an extra that most trainings don't need)

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (outputs,) = session.run([OUTPUT], {INPUT: rows.numpy()})
    return torch.from_numpy(outputs)


_READERS: dict[Format, Callable[[bytes, Tensor], Tensor]] = {
    Format.ONNX: _run_onnx,
    Format.PT2: _run_pt2,
}
