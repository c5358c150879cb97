"""What is left after a collection can be exported to ONNX and computes the same there."""

from pathlib import Path

import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from shrinknets_core import Shrinker
from tests.core.hard_modules import CATALOGUE

# A residual network, of which a branch goes; forward passes written anew, among them attention's;
# a norm that runs at full width; grouped convolutions.
NAMES = (
    "ResNetStages",
    "HandwrittenQkv",
    "EncoderLayerNormFirst",
    "LayerNormMlp",
    "GroupNormPairs",
)


def shrink(model: nn.Module, x: Tensor) -> nn.Module:
    """Remove every other feature of each group and the first branch."""
    shrinker = Shrinker(model, x)
    for group in shrinker.groups:
        group.kill(range(0, group.size - 1, 2))
    branches = [group for group in shrinker.groups if group.bypass is not None]
    for group in branches[:1]:
        group.kill([0])
    return shrinker.finish().eval()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*LeafSpec.*:FutureWarning")
@pytest.mark.parametrize("name", NAMES)
def test_a_shrunken_network_runs_in_onnx_runtime(name: str, tmp_path: Path) -> None:
    model, x = CATALOGUE[name].build().float().eval(), CATALOGUE[name].inputs().float()
    before = sum(parameter.numel() for parameter in model.parameters())
    network = shrink(model, x)
    assert sum(parameter.numel() for parameter in network.parameters()) < before
    with torch.no_grad():
        expected = network(x)
    file = tmp_path / "network.onnx"
    torch.onnx.export(network, (x,), file, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-4, atol=1e-5)
