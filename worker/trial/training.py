"""From a trial's assignment to the core's training, and from its events to wire types."""

from collections.abc import Iterator, Sequence

import torch

from shrinknets.wire import (
    TRAINING_PARAMS,
    Method,
    NetworkResult,
    Params,
    Phase,
    Record,
    TrialAssignment,
)
from shrinknets_core import (
    Collapse,
    EpochRecord,
    Split,
    TrainedNetwork,
    TrainOptions,
    TrialEvent,
    follow_path,
    load_dataset,
    load_dataset_file,
    train_fixed,
    train_shrinking,
)
from shrinknets_core.families import Family, get_family
from worker.trial.dataset_cache import DatasetCache
from worker.trial.final_trials import FetchNetwork, train_final
from worker.trial.limits import core_limits, too_large


def train(
    assignment: TrialAssignment,
    *,
    files: DatasetCache | None = None,
    device: str = "cpu",
    micro_batches: int = 1,
    fetch_network: FetchNetwork | None = None,
) -> Iterator[TrialEvent]:
    """Train as the trial's method and parameters say, yielding events as they happen.

    `files` has the data sets that users handed in, `fetch_network` the network to start from; each
    batch is trained in `micro_batches` parts. Seeds torch's global generators.
    """
    spec, trial = assignment.spec, assignment.trial
    # The split follows from the job, the rest from the trial: all methods see the same data.
    split = _load(assignment, files)
    # Layers such as dropout draw from the global generators, which begin anywhere.
    torch.manual_seed(trial.seed)
    training = spec.training.model_dump() | _own_training(trial.params)
    options = TrainOptions(**training, seed=trial.seed, device=device, micro_batches=micro_batches)
    family = get_family(spec.network.family)
    bounds = spec.network.widths or family.full_widths
    match trial.method:
        case Method.SHRINKNETS:
            assert spec.methods.shrinknets is not None
            return train_shrinking(
                split,
                widths=bounds,
                options=options,
                family=family,
                lam=_number(trial.params, "lam"),
                rule=spec.methods.shrinknets.rule.value,
                limits=core_limits(spec.constraints),
            )
        case Method.PATH:
            return follow_path(split, widths=bounds, options=options, family=family)
        case Method.FIXED | Method.FIXED_L2:
            widths = _widths(trial.params, family, bounds)
            size = family.size(split.input_shape, widths, split.num_classes)
            if reason := too_large(size, spec.constraints):
                return iter([Collapse(step=0, reason=reason)])
            l2 = _number(trial.params, "l2") if trial.method is Method.FIXED_L2 else 0.0
            return train_fixed(split, widths=widths, options=options, family=family, l2=l2)
        case Method.RETRAIN | Method.FINE_TUNE:
            return train_final(trial, split, options, family=family, fetch_network=fetch_network)


def _own_training(params: Params) -> Params:
    """What the trial's parameters say in place of the job's training."""
    return {name: params[name] for name in TRAINING_PARAMS if name in params}


def _load(assignment: TrialAssignment, files: DatasetCache | None) -> Split:
    spec = assignment.spec
    if assignment.data is None:
        return load_dataset(spec.dataset, seed=spec.seed)
    assert files is not None, "the trial's command brings its cache"
    with files.open(assignment.data) as file:
        return load_dataset_file(file, name=spec.dataset, seed=spec.seed)


def to_record(epoch: EpochRecord) -> Record:
    """The epoch as the service takes it."""
    return Record(
        step=epoch.step,
        phase=Phase(epoch.phase),
        train_loss=epoch.train_loss,
        validation_loss=epoch.validation_loss,
        validation_accuracy=epoch.validation_accuracy,
        widths=list(epoch.widths),
        parameters=epoch.parameters,
        macs=epoch.macs,
        lam=epoch.lam,
        seconds=epoch.seconds,
    )


def to_result(
    network: TrainedNetwork, *, sha256: str, num_bytes: int, latency_ms: float | None = None
) -> NetworkResult:
    """The network as the service takes it; its weights are the artifact `sha256`."""
    return NetworkResult(
        widths=list(network.widths),
        hidden_units=network.hidden_units,
        parameters=network.parameters,
        macs=network.macs,
        validation_accuracy=network.validation_accuracy,
        test_accuracy=network.test_accuracy,
        step=network.step,
        lam=network.lam,
        latency_ms=latency_ms,
        weights_sha256=sha256,
        weights_bytes=num_bytes,
    )


def _widths(params: Params, family: Family, bounds: Sequence[int]) -> tuple[int, ...]:
    """The widths that were proposed; a layer without one is left out."""
    layers = family.layers_of(len(bounds))
    names = [f"width_{place}" for place in range(len(bounds))]
    widths = [int(_number(params, name)) if name in params else 0 for name in names]
    while widths and widths[-1] == 0 and layers[len(widths) - 1].least > 0:
        widths.pop()
    return tuple(widths)


def _number(params: Params, name: str) -> float:
    value = params[name]
    assert isinstance(value, int | float), (name, value)
    return value
