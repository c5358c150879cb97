"""The zoo's models, each built from a seed with inputs that fit: hard modules, timm, torchvision.

timm and torchvision are imported where one of their models is built.
"""

import importlib
from types import ModuleType
from typing import Any
from zlib import crc32

import torch
from torch import library, nn

from tests.core import exactness, hard_modules

CLASSES = 10

# Side of the image, then the architectures that take it: so large that the last norms, in training,
# see more than one position, or rounding grows beyond the tolerance.
TIMM = {
    64: """
        beit_base_patch16_224 botnet26t_256 caformer_s18 cait_xxs24_224 coat_lite_tiny
        coatnet_pico_rw_224 convit_tiny convmixer_768_32 convnext_atto convnext_zepto_rms
        convnextv2_atto cs3darknet_s cspdarknet53 cspresnet50 csatv2 davit_tiny
        deit3_small_patch16_224 deit_tiny_distilled_patch16_224 densenet121 dla34 dla46x_c dpn48b
        ecaresnet26t edgenext_xx_small efficientformerv2_s0 efficientnet_b0 efficientnet_b0_gn
        efficientnet_cc_b0_4e efficientvit_b0 ese_vovnet19b_slim_dw eva02_tiny_patch14_224
        fasternet_t0 fastvit_t8 fbnetc_100 fbnetv3_b focalnet_tiny_srf gcresnext26ts gcvit_xxtiny
        gernet_s ghostnet_050 ghostnetv2_100 gmixer_12_224 gmlp_ti16_224 hardcorenas_a hgnetv2_b0
        hiera_tiny_224 hrnet_w18_small iformer_t inception_next_atto lambda_resnet26t lcnet_035
        legacy_seresnext26_32x4d levit_128s lowformer_b0 mambaout_femto maxvit_pico_rw_256
        mixer_s32_224 mixnet_s mnasnet_small mobilenetv1_100 mobilenetv2_035 mobilenetv3_small_050
        mobilenetv4_conv_small_035 mobilenetv4_hybrid_medium_075 mobileone_s0 mobilevit_xxs
        mobilevitv2_050 mvitv2_tiny nasnetalarge nest_tiny nextvit_small nf_regnet_b0 nf_resnet26
        nfnet_l0 pit_ti_224 pnasnet5large poolformer_s12 pvt_v2_b0 rdnet_tiny regnetx_002
        regnety_002 regnetz_005 repghostnet_050 repvgg_a0 repvit_m0_9 res2net50_14w_8s
        resmlp_12_224 resnest14d resnet18 resnet26t resnet50_gn resnetaa34d resnetblur18
        resnetv2_18 resnext26ts rexnet_100 sequencer2d_s skresnet18 starnet_s050 swiftformer_xs
        swin_tiny_patch4_window7_224 swinv2_tiny_window8_256 tf_efficientnetv2_b0 tiny_vit_5m_224
        tinynet_e tnt_s_patch16_224 tresnet_m twins_pcpvt_small twins_svt_small vgg11_bn
        visformer_tiny vit_relpos_small_patch16_224 vit_small_patch16_rope_224
        vit_tiny_patch16_224 vit_xsmall_patch16_clip_224 volo_d1_224 xception41
        xcit_nano_12_p16_224
    """,
    128: "efficientvim_m1 efficientvit_m0 selecsls42b shvit_s1",
    160: "inception_v3 inception_v4 inception_resnet_v2",
    224: "efficientformer_l1",
    240: "crossvit_tiny_240",
    256: "halonet26t",
}
TORCHVISION = {
    64: """
        alexnet convnext_tiny deeplabv3_mobilenet_v3_large densenet121 efficientnet_b0
        efficientnet_v2_s fcn_resnet50 googlenet lraspp_mobilenet_v3_large mnasnet0_5
        mobilenet_v2 mobilenet_v3_small regnet_x_400mf regnet_y_400mf resnet18 resnet50
        resnext50_32x4d shufflenet_v2_x0_5 squeezenet1_1 swin_t swin_v2_t vit_b_32
        wide_resnet50_2
    """,
    160: "inception_v3",
}
VIDEO = ("mc3_18", "r2plus1d_18", "r3d_18", "swin3d_t")
# What makes a large or slow architecture smaller.
TIMM_OPTIONS = {"beit_base_patch16_224": {"depth": 4}}
TORCHVISION_OPTIONS = {
    "deeplabv3_mobilenet_v3_large": {"weights_backbone": None},
    "fcn_resnet50": {"weights_backbone": None},
    "googlenet": {"init_weights": False},
    "inception_v3": {"init_weights": False, "aux_logits": False},
    "lraspp_mobilenet_v3_large": {"weights_backbone": None},
    "vit_b_32": {"image_size": 64},
}


def sides(table: dict[int, str]) -> dict[str, int]:
    """Return the side of the image by the architecture's name."""
    return {name: side for side, names in table.items() for name in names.split()}


def names_of(suite: str) -> list[str]:
    match suite:
        case "hard":
            return list(hard_modules.CATALOGUE)
        case "timm":
            return sorted(sides(TIMM))
        case _:
            return sorted([*sides(TORCHVISION), *VIDEO])


def build(suite: str, name: str) -> tuple[nn.Module, Any]:
    """Return a seeded model and inputs; raise KeyError if the suite has none of this name."""
    if suite == "hard":
        module = hard_modules.CATALOGUE[name]
        return module.build(), module.inputs()
    seed = crc32(name.encode())
    torch.manual_seed(seed)
    model = timm_model(name) if suite == "timm" else torchvision_model(name)
    exactness.randomise(model, seed)
    if suite == "torchvision" and name in VIDEO:
        return model, torch.randn(2, 3, 4, 32, 32)
    side = sides(TIMM if suite == "timm" else TORCHVISION)[name]
    return model, torch.randn(2, 3, side, side)


def timm_model(name: str) -> nn.Module:
    import_torchvision()
    timm = importlib.import_module("timm")
    options = {"num_classes": CLASSES} | TIMM_OPTIONS.get(name, {})
    try:
        return timm.create_model(name, img_size=sides(TIMM)[name], **options)
    except TypeError:  # a convolutional network takes any size
        return timm.create_model(name, **options)


def torchvision_model(name: str) -> nn.Module:
    models = import_torchvision().models
    options = TORCHVISION_OPTIONS.get(name, {})
    return models.get_model(name, weights=None, num_classes=CLASSES, **options)


def import_torchvision() -> ModuleType:
    """Import torchvision, even if its compiled operators don't load beside this torch."""
    try:
        return importlib.import_module("torchvision")
    except RuntimeError:
        for operator in ("nms", "qnms"):
            schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            library.define(f"torchvision::{operator}", schema)
        return importlib.import_module("torchvision")
