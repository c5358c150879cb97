"""Counts what a candidate network would have, so that those over a limit are never trained."""

from collections.abc import Callable

from shrinknets.wire import DatasetDetails, JobSpec, Method, Params

Fits = Callable[[Method, Params], bool]


def make_fits(spec: JobSpec, dataset: DatasetDetails) -> Fits | None:
    """Tells whether a candidate keeps the job's limits; None where counting can't tell.

    Networks that shrink start above any limit, and time is only known by measuring.
    """
    limits = spec.constraints
    if limits.max_parameters is None and limits.max_macs is None:
        return None
    # Torch takes seconds to import, and most jobs have no limits.
    from shrinknets_core.families import mlp_family  # noqa: PLC0415

    family = mlp_family()
    shape, classes = tuple(dataset.input_shape), dataset.num_classes

    def fits(method: Method, params: Params) -> bool:
        if method not in {Method.FIXED, Method.FIXED_L2}:
            return True
        size = family.size(shape, _widths(params), classes)
        return (limits.max_parameters is None or size.parameters <= limits.max_parameters) and (
            limits.max_macs is None or size.macs <= limits.max_macs
        )

    return fits


def _widths(params: Params) -> tuple[int, ...]:
    depth = params["depth"]
    assert isinstance(depth, int)
    return tuple(int(str(params[f"width_{layer}"])) for layer in range(depth))
