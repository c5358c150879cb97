"""Parts of a job's JSON body, out of the short ways in which people say them."""

from collections.abc import Mapping, Sequence
from typing import Any

from shrinknets import wire


def methods_body(
    methods: str | Sequence[str] | Mapping[str, Mapping[str, Any]], trials: int | None
) -> dict[str, dict[str, Any]]:
    """Names, or names with options; `trials` is for those that don't say their own."""
    names = [methods] if isinstance(methods, str) else methods
    options = names if isinstance(names, Mapping) else {method: {} for method in names}
    return {method: _with_trials(method, own, trials) for method, own in options.items()}


def several(one_or_more: str | Sequence[str]) -> list[str]:
    """What may be given alone or as several, such as a format or a label."""
    return [one_or_more] if isinstance(one_or_more, str) else list(one_or_more)


def network_body(family: str | None, widths: int | Sequence[int] | None) -> dict[str, Any] | None:
    layers = [widths] if isinstance(widths, int) else widths
    network = {"family": family, "widths": None if layers is None else list(layers)}
    return {name: value for name, value in network.items() if value is not None} or None


def kind_body(given: str | Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What comes in several kinds: the kind alone, or a mapping with its options."""
    if given is None:
        return None
    return {"kind": given} if isinstance(given, str) else dict(given)


def _with_trials(method: str, options: Mapping[str, Any], trials: int | None) -> dict[str, Any]:
    if trials is None or method == wire.Method.PATH:
        return dict(options)
    return {"trials": trials, **options}
