#!/usr/bin/env python
"""Which modules keep their outputs when a random share of their features is removed.

    python benchmarks/zoo.py --suite hard|timm|torchvision [--only NAME] [--peer] [--json FILE]

Each model is judged in a process of its own (`tests.core.exactness`, float64, evaluation and
training mode), two at a time. `hard` needs torch only; the others need timm and torchvision, and
`--peer` needs Torch-Pruning 1.6.1, none of which this project installs.

The peer removes the same share of each layer's features, by random importance. For it the features
that it is about to remove are first silenced at their source, weights, biases and norms set to
zero, and what that model returns is what the pruned one must return. Layers that make the output
are ignored, numbers of heads are given as its examples give them, and fused attention is off.
Longer than other scripts because of the lists of architectures.
"""

import argparse
import copy
import importlib
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from zlib import crc32

import torch
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
exactness = importlib.import_module("tests.core.exactness")
hard_modules = importlib.import_module("tests.core.hard_modules")

CLASSES = 10
TOGETHER = 2

# Side of the image, then the architectures that take it.
TIMM = {
    64: """
        resnet18 resnet26t resnet50_gn resnetv2_18 resnetaa34d resnetblur18 resnetrs50 seresnet18
        ecaresnet26t resnext26ts gcresnext26ts skresnet18 resnest14d res2net50_14w_8s bat_resnext26ts
        legacy_seresnext26_32x4d densenet121 vgg11_bn mobilenetv1_100 mobilenetv2_035
        mobilenetv3_small_050 mobilenetv4_conv_small_035 mobilenetv4_hybrid_medium_075
        efficientnet_b0 efficientnet_b0_gn efficientnet_cc_b0_4e tf_efficientnetv2_b0
        regnetx_002 regnety_002 regnetz_005 nf_regnet_b0 nf_resnet26 nfnet_l0 ghostnet_050
        ghostnetv2_100 repghostnet_050 convnext_zepto_rms convnext_atto convnextv2_atto
        convmixer_768_32 vit_tiny_patch16_224 vit_small_patch16_rope_224
        vit_relpos_small_patch16_224 vit_xsmall_patch16_clip_224 deit_tiny_distilled_patch16_224
        deit3_small_patch16_224 beit_base_patch16_224 eva02_tiny_patch14_224
        swin_tiny_patch4_window7_224 swinv2_tiny_window8_256 mixer_s32_224 gmixer_12_224
        gmlp_ti16_224 resmlp_12_224 poolformer_s12 caformer_s18 coat_lite_tiny coatnet_pico_rw_224
        cait_xxs24_224 xcit_nano_12_p16_224 pit_ti_224 levit_128s mobilevit_xxs mobilevitv2_050
        edgenext_xx_small efficientformerv2_s0 maxvit_pico_rw_256 dpn48b dla34 hrnet_w18_small
    """,
}
