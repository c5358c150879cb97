"""From a trial's assignment to the core's training, and from its events to wire types."""

from collections.abc import Iterator

from shrinknets.wire import Method, NetworkResult, Params, Phase, Record, TrialAssignment
from shrinknets_core import (
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
from worker.trial.dataset_cache import DatasetCache
from worker.trial.final_trials import FetchNetwork, train_final


def train(
    assignment: TrialAssignment,
    *,
    files: DatasetCache | None = None,
    fetch_network: FetchNetwork | None = None,
) -> Iterator[TrialEvent]:
    """Train as the trial's method and parameters say, yielding events as they happen.

    `files` has the data sets that users handed in, `fetch_network` the network to start from.
    """
    spec, trial = assignment.spec, assignment.trial
    # The split follows from the job, the rest from the trial: all methods see the same data.
    split = _load(assignment, files)
    options = TrainOptions(**spec.training.model_dump(), seed=trial.seed)
    match trial.method:
        case Method.SHRINKNETS:
            assert spec.methods.shrinknets is not None
            return train_shrinking(
                split,
                widths=spec.network.widths,
                options=options,
                lam=_number(trial.params, "lam"),
                rule=spec.methods.shrinknets.rule.value,
            )
        case Method.PATH:
            return follow_path(split, widths=spec.network.widths, options=options)
        case Method.FIXED:
            return train_fixed(split, widths=_widths(trial.params), options=options)
        case Method.FIXED_L2:
            l2 = _number(trial.params, "l2")
            return train_fixed(split, widths=_widths(trial.params), options=options, l2=l2)
        case Method.RETRAIN | Method.FINE_TUNE:
            return train_final(trial, split, options, fetch_network=fetch_network)


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


def to_result(network: TrainedNetwork, *, sha256: str, num_bytes: int) -> NetworkResult:
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
        weights_sha256=sha256,
        weights_bytes=num_bytes,
    )


def _widths(params: Params) -> tuple[int, ...]:
    depth = int(_number(params, "depth"))
    return tuple(int(_number(params, f"width_{layer}")) for layer in range(depth))


def _number(params: Params, name: str) -> float:
    value = params[name]
    assert isinstance(value, int | float), (name, value)
    return value
