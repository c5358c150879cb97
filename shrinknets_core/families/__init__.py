"""Network families: plain PyTorch modules built, checked and counted from their widths."""

from shrinknets_core.families.family import Count, Family, Layer, Make
from shrinknets_core.families.lenet import lenet_family
from shrinknets_core.families.mlp import ResidualBlock, mlp_family
from shrinknets_core.families.registry import family_names, get_family
from shrinknets_core.families.resnet import BasicBlock, resnet_family, resnet_widths
from shrinknets_core.families.vgg import vgg_family, vgg_widths

__all__ = [
    "BasicBlock",
    "Count",
    "Family",
    "Layer",
    "Make",
    "ResidualBlock",
    "family_names",
    "get_family",
    "lenet_family",
    "mlp_family",
    "resnet_family",
    "resnet_widths",
    "vgg_family",
    "vgg_widths",
]
