"""Creates crates/effnet-core/tests/fixtures: a narrow, shallow network of the original implementation and what
it computes, so that the crate can be tested without Python.

    python scripts/reference/network_fixtures.py

`narrow-zip.pth` and `narrow-legacy.pth` have the same weights in PyTorch's two containers.
`narrow-expected.safetensors` has

    <place>.images, .logits, .reduction_1 ... .reduction_6     with dynamic padding
    <place>.static_logits                                      padded for 64 x 48, whatever the image size
    <place>.symmetric_logits                                   padded by kernel // 2, epsilon 1e-5
    training.images, .labels, .logits, .loss, .gradient.<parameter>, .after.<buffer>
    stem.<channels>                                            the stem's kernels adapted by timm

where place is `even` (64 x 48, the size of the static padding) or `odd` (65 x 47).
"""

import pathlib

import torch
from efficientnet_pytorch.utils import Conv2dDynamicSamePadding
from safetensors.torch import save_file
from timm.models._manipulate import adapt_input_conv
from torch import nn

import network_models as models
from network_training import training_step

FOLDER = pathlib.Path(__file__).parents[2] / "crates/effnet-core/tests/fixtures"
NARROW = dict(width_coefficient=0.1, depth_coefficient=0.3, depth_divisor=4, num_classes=10)
SIZES = {"even": (64, 48), "odd": (65, 47)}


def narrow(image_size=None):
    return models.original("b0", image_size=image_size, **NARROW, **models.DETERMINISTIC)


class Symmetric(nn.Conv2d):
    """Replaces the original's convolutions for symmetric padding."""

    def __init__(self, conv):
        super().__init__(
            conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride,
            padding=conv.kernel_size[0] // 2, groups=conv.groups, bias=conv.bias is not None,
        )


def symmetric():
    network = narrow()
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, Conv2dDynamicSamePadding):
                setattr(parent, name, Symmetric(child))
    for norm in models.batch_norms(network):
        norm.eps = 1e-5
    return network


@torch.no_grad()
def evaluate(tensors):
    expected = {}
    dynamic = models.fill(narrow(), tensors).eval()
    fixed = models.fill(narrow(SIZES["even"]), tensors).eval()
    padded_evenly = models.fill(symmetric(), tensors).eval()
    for place, (height, width) in SIZES.items():
        images = models.smooth_images(2, 3, height, width, seed=3)
        outputs = {
            "images": images,
            "logits": dynamic(images),
            "static_logits": fixed(images),
            "symmetric_logits": padded_evenly(images),
            **dynamic.extract_endpoints(images),
        }
        expected |= {f"{place}.{name}": tensor for name, tensor in outputs.items()}
    return expected


def main():
    torch.set_num_threads(1)
    torch.manual_seed(1)
    network = narrow()
    models.draw_batch_norm(network)
    models.calibrate(network, models.smooth_images(8, 3, 96, 96, seed=2))
    state_dict = network.state_dict()
    tensors = models.tensors_of(network)

    FOLDER.mkdir(parents=True, exist_ok=True)
    torch.save(state_dict, FOLDER / "narrow-zip.pth")
    torch.save(state_dict, FOLDER / "narrow-legacy.pth", _use_new_zipfile_serialization=False)

    expected = evaluate(tensors)
    trained = models.fill(narrow(), tensors)
    images = models.smooth_images(4, 3, *SIZES["even"], seed=5)
    step = training_step(trained, list(state_dict), images, torch.arange(4) * 3 % 10)
    expected |= {f"training.{name}": tensor for name, tensor in step.items()}
    for channels in (1, 4, 6):
        adapted = adapt_input_conv(channels, state_dict["_conv_stem.weight"])
        expected[f"stem.{channels}"] = adapted.contiguous()
    save_file({name: tensor.contiguous() for name, tensor in expected.items()},
              FOLDER / "narrow-expected.safetensors")


if __name__ == "__main__":
    main()
