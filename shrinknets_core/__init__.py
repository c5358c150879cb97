"""ShrinkNets as a PyTorch library: filters, collection, the λ path, training, saved networks."""

from shrinknets_core.checkpoints import Checkpoint
from shrinknets_core.cutting import Collected
from shrinknets_core.data import Rows, Split, dataset_names, load_dataset, split_rows
from shrinknets_core.dataset_files import load_dataset_file
from shrinknets_core.errors import (
    CheckpointError,
    DivergedError,
    ExportError,
    NetworkFileError,
    OptionError,
    ShrinkNetsCoreError,
    UnknownDatasetError,
)
from shrinknets_core.events import Collapse, EpochRecord, Phase, TrainedNetwork, TrialEvent
from shrinknets_core.exporting import Format, export_network
from shrinknets_core.filters import Filter
from shrinknets_core.fine_tuning import fine_tune
from shrinknets_core.fixed import train_fixed
from shrinknets_core.limits import Limits
from shrinknets_core.method import Price, Removal, Rule, ShrinkOptions, Target
from shrinknets_core.method.latency import forward_seconds
from shrinknets_core.path import PathOptions, follow_path
from shrinknets_core.runs import Run
from shrinknets_core.saving import describe_network, load_network, probe_of, serialise
from shrinknets_core.shrinker import Shrinker
from shrinknets_core.shrinking import train_shrinking
from shrinknets_core.sizes import Size
from shrinknets_core.training import TrainOptions

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "Collapse",
    "Collected",
    "DivergedError",
    "EpochRecord",
    "ExportError",
    "Filter",
    "Format",
    "Limits",
    "NetworkFileError",
    "OptionError",
    "PathOptions",
    "Phase",
    "Price",
    "Removal",
    "Rows",
    "Rule",
    "Run",
    "ShrinkNetsCoreError",
    "ShrinkOptions",
    "Shrinker",
    "Size",
    "Split",
    "Target",
    "TrainOptions",
    "TrainedNetwork",
    "TrialEvent",
    "UnknownDatasetError",
    "dataset_names",
    "describe_network",
    "export_network",
    "fine_tune",
    "follow_path",
    "forward_seconds",
    "load_dataset",
    "load_dataset_file",
    "load_network",
    "probe_of",
    "serialise",
    "split_rows",
    "train_fixed",
    "train_shrinking",
]
