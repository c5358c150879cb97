"""ShrinkNets as a PyTorch library: filters, collection, the λ path, training, saved networks."""

from shrinknets_core.collection import Collection, collect
from shrinknets_core.data import Rows, Split, dataset_names, load_dataset, split_rows
from shrinknets_core.errors import (
    DivergedError,
    NetworkFileError,
    OptionError,
    ShrinkNetsCoreError,
    UnknownDatasetError,
)
from shrinknets_core.events import Collapse, EpochRecord, Phase, TrainedNetwork, TrialEvent
from shrinknets_core.filters import Filter
from shrinknets_core.fixed import train_fixed
from shrinknets_core.groups import Group, Slice, num_alive
from shrinknets_core.mlp import MLP, Size, mlp_size
from shrinknets_core.path import PathOptions, follow_path
from shrinknets_core.rules import Proximal, Rule, Subgradient
from shrinknets_core.saving import load_network, serialise
from shrinknets_core.shrinking import train_shrinking
from shrinknets_core.shrinker import Shrinker
from shrinknets_core.training import TrainOptions

__all__ = [
    "MLP",
    "Collapse",
    "Collection",
    "DivergedError",
    "EpochRecord",
    "Filter",
    "Group",
    "NetworkFileError",
    "OptionError",
    "PathOptions",
    "Phase",
    "Proximal",
    "Rows",
    "Rule",
    "ShrinkNetsCoreError",
    "Shrinker",
    "Size",
    "Slice",
    "Split",
    "Subgradient",
    "TrainOptions",
    "TrainedNetwork",
    "TrialEvent",
    "UnknownDatasetError",
    "collect",
    "dataset_names",
    "follow_path",
    "load_dataset",
    "load_network",
    "mlp_size",
    "num_alive",
    "serialise",
    "split_rows",
    "train_fixed",
    "train_shrinking",
]
