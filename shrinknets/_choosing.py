"""The client's choice among a job's networks: the same rules as the service's."""

from collections.abc import Sequence

from shrinknets import wire
from shrinknets._network import Network
from shrinknets._transport import Transport
from shrinknets.choice import Candidate, choose
from shrinknets.splits import validation_rows


def best_by_rule(
    transport: Transport, dataset: str, networks: Sequence[Network], spec: wire.ChoiceSpec
) -> Network | None:
    """Return the network that a rule chooses; None where none meets its limits.

    Args:
        transport: to ask how many rows the data set has, where the rule needs that.
        dataset: its name.
        networks: those that may be chosen.
        spec: the rule.
    """
    rows = None
    if spec.rule is wire.ChoiceRule.ONE_STANDARD_ERROR:
        data = transport.get(f"/datasets/{dataset}", wire.DatasetDetails)
        rows = validation_rows(data.rows, has_test_rows=data.test_rows is not None)
    candidates = [_candidate(network.info) for network in networks]
    verdict = choose(candidates, spec, validation_rows=rows)
    if verdict is None or not verdict.is_feasible:
        return None
    return next(network for network in networks if network.id == verdict.id)


def _candidate(info: wire.Network) -> Candidate:
    return Candidate(
        id=info.id,
        parameters=info.parameters,
        macs=info.macs,
        validation_accuracy=info.validation_accuracy,
    )
