"""The networks of the reference packages, with the same weights.

The state dicts of efficientnet_pytorch, torchvision and timm list the same tensors in the same order,
so weights are copied between packages by position.
"""

import functools

import timm
import torch
import torchvision
from efficientnet_lite_pytorch import EfficientNet as EfficientNetLite
from efficientnet_pytorch import EfficientNet
from torch import nn
from torch.nn import functional

IMAGE_SIZE = dict(b0=224, b1=240, b2=260, b3=300, b4=380, b5=456, b6=528, b7=600, b8=672, l2=800)
IMAGE_SIZE |= dict(lite0=224, lite1=240, lite2=260, lite3=280, lite4=300)
IMAGE_SIZE |= {"v2-b0": 224, "v2-b1": 240, "v2-b2": 260, "v2-b3": 300, "v2-rw-t": 288, "v2-rw-s": 384, "v2-rw-m": 416}
IMAGE_SIZE |= {"v2-s": 384, "v2-m": 480, "v2-l": 480, "v2-xl": 512}

# Randomness in training is off everywhere: it would differ between any two implementations.
DETERMINISTIC = dict(dropout_rate=0.0, drop_connect_rate=0.0)


def original(variant, in_channels=3, **overrides):
    """efficientnet_pytorch's network. Without an `image_size` among the overrides, it has the package's default
    padding, for the variant's own size; with None, it pads dynamically. Of Lite, efficientnet_lite_pytorch's."""
    package = EfficientNetLite if variant.startswith("lite") else EfficientNet
    return package.from_name(f"efficientnet-{variant}", in_channels=in_channels, **overrides)


def named(variant, prefix="efficientnet"):
    """The variant as timm and torchvision spell it: `efficientnet_b0`, `efficientnetv2_rw_s`."""
    return f"{prefix}{'' if variant.startswith('v2-') else '_'}{variant.replace('-', '_')}"


def original_for_export(variant):
    """The original with `torch.nn.SiLU` in place of its own swish, which computes the same function in other
    steps and so rounds differently."""
    network = original(variant, image_size=None, **DETERMINISTIC)
    network.set_swish(memory_efficient=False)
    return network


BUILDERS = {
    "lukemelas": lambda variant: original(variant, image_size=None, **DETERMINISTIC),
    "lukemelas-silu": original_for_export,
    "lukemelas-static": lambda variant: original(variant, **DETERMINISTIC),
    "timm-tf": lambda variant: timm.create_model(f"tf_{named(variant)}"),
    "timm": lambda variant: timm.create_model(named(variant)),
    "torchvision": lambda variant: getattr(torchvision.models, f"efficientnet_{variant.replace('-', '_')}")(
        dropout=0.0, stochastic_depth_prob=0.0
    ),
}


def build(model, variant, tensors):
    """A package's network in evaluation mode, on copies of `tensors`, given in state dict order."""
    with torch.device("meta"):
        network = BUILDERS[model](variant)
    return fill(network, tensors).eval()


def fill(network, tensors):
    """Loads copies of `tensors`, in state dict order, into a network, which may be on the meta device."""
    names = list(network.state_dict())
    if len(names) != len(tensors):
        raise ValueError(f"found {len(tensors)} tensors for a network with {len(names)}")
    copies = {name: tensor.clone() for name, tensor in zip(names, tensors)}
    network.load_state_dict(copies, assign=True)
    return network


def tensors_of(network):
    """All parameters and buffers, in state dict order."""
    return [tensor.detach() for tensor in network.state_dict().values()]


def timm_model(variant):
    return "timm" if variant.startswith("v2-rw-") else "timm-tf"


@functools.lru_cache(maxsize=2)
def drawn(variant):
    """Seeded weights with initial BN statistics. BN's scale and shift are random too: with their initial ones
    and zeros, a mix-up of the two would hardly show."""
    torch.manual_seed(1)
    # There is no original of V2 in PyTorch, and timm has not all variants under both of its names.
    network = original(variant) if not variant.startswith("v2-") else BUILDERS[timm_model(variant)](variant)
    draw_batch_norm(network)
    if variant.startswith("v2-"):
        shrink_branches(network)
    return tensors_of(network)


@torch.no_grad()
def shrink_branches(network):
    """Scales down the residual branches of timm's network, as training does. At full strength, a random V2-L amplifies
    rounding so much that its own logits in 32 bits are 2.5e-4 from those in 64 bits."""
    for block in (block for stage in network.blocks for block in stage if block.has_skip):
        batch_norms(block)[-1].weight *= 0.3


def draw_batch_norm(network):
    for norm in batch_norms(network):
        nn.init.uniform_(norm.weight, 0.6, 1.4)
        nn.init.normal_(norm.bias, 0.0, 0.2)


def batch_norms(network):
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


# Models with equal padding and epsilon share statistics.
ARITHMETIC = {
    "lukemelas": "lukemelas",
    "lukemelas-silu": "lukemelas",
    "lukemelas-static": "lukemelas",
    "timm-tf": "lukemelas",
    "timm": "timm",
    "torchvision": "torchvision",
}


@functools.lru_cache(maxsize=4)
def calibrated_as(model, variant):
    network = build(model, variant, drawn(variant))
    # Large enough for 36 positions in the last stage, and far cheaper than B7's own size.
    calibrate(network, smooth_images(3, 3, 192, 192, seed=2))
    return tensors_of(network)


def calibrated(model, variant):
    """Weights with BN statistics measured with the padding and epsilon of `model`.

    With other statistics, the logits hardly depend on the image, and a wrong padding or epsilon would
    pass any test.
    """
    arithmetic = ARITHMETIC[model]
    return calibrated_as("timm-tf" if arithmetic == "lukemelas" and variant.startswith("v2-") else arithmetic, variant)


def calibrate(network, images):
    """Sets the running statistics to those of one batch."""
    norms = batch_norms(network)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None
        norm.reset_running_stats()
    network.train()
    with torch.no_grad():
        network(images)
    network.eval()
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum


def smooth_images(count, channels, height, width, seed):
    """Random images with large and small structures, so that neighbouring pixels correlate as in photos: white
    noise averages out and makes all images alike."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.zeros(count, channels, height, width)
    for cells, strength in ((4, 1.0), (11, 0.7), (37, 0.4)):
        noise = torch.randn(count, channels, cells, cells, generator=generator)
        images += strength * functional.interpolate(noise, (height, width), mode="bicubic")
    return images
