"""Simulates the rounding error of half precision on a device: rounding.py [VARIANT ...]

Computes the folded network in 32 bits on the CPU, and rounds the weights and the result of every operation
to 16 bits, like libtorch's operators on CUDA. Prints the mean difference of the logits relative to their mean
magnitude, and the largest relative to the largest, over smooth random images.
"""

import sys

import torch
from torch.nn import functional

from network import VARIANTS, calibrated, smooth


class Rounded:
    def __init__(self, kind):
        self.kind = kind

    def round(self, tensor):
        return tensor.to(self.kind).float()

    def convolve(self, x, layer, norm=None, activation=None):
        weight, bias = layer.weight, layer.bias
        if norm is not None:
            scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
            weight = (weight.double() * scale.view(-1, 1, 1, 1)).float()
            bias = (norm.bias.double() - norm.running_mean.double() * scale).float()
        if hasattr(layer, "padded"):
            x = layer.padded(x)
        product = functional.conv2d(x, self.round(weight), None, layer.stride, 0, 1, layer.groups)
        sum_ = self.round(self.round(product) + self.round(bias).view(1, -1, 1, 1))
        return self.round(activation(sum_)) if activation else sum_

    def block(self, block, x):
        block_input = x
        if block.expands:
            x = self.convolve(x, block._expand_conv, block._bn0, functional.silu)
        x = self.convolve(x, block._depthwise_conv, block._bn1, functional.silu)
        pooled = self.round(functional.adaptive_avg_pool2d(x, 1))
        squeezed = self.convolve(pooled, block._se_reduce, activation=functional.silu)
        x = self.round(x * self.convolve(squeezed, block._se_expand, activation=torch.sigmoid))
        x = self.convolve(x, block._project_conv, block._bn2)
        return self.round(x + block_input) if block.skips else x

    def forward(self, network, images):
        x = self.convolve(self.round(images), network._conv_stem, network._bn0, functional.silu)
        for block in network._blocks:
            x = self.block(block, x)
        x = self.convolve(x, network._conv_head, network._bn1, functional.silu)
        pooled = self.round(functional.adaptive_avg_pool2d(x, 1).flatten(1))
        product = functional.linear(pooled, self.round(network._fc.weight))
        return self.round(self.round(product) + self.round(network._fc.bias))


@torch.inference_mode()
def main():
    for variant in sys.argv[1:] or ["b0", "b3", "b7"]:
        network = calibrated(variant, "cpu")
        images = smooth(4, VARIANTS[variant][2], torch.Generator().manual_seed(9))
        expected = network(images)
        for kind in (torch.float16, torch.bfloat16):
            difference = (Rounded(kind).forward(network, images) - expected).abs()
            mean = float(difference.mean() / expected.abs().mean())
            largest = float(difference.max() / expected.abs().max())
            print(f"{variant} {kind}: mean {mean:.1e}, largest {largest:.1e}", flush=True)


if __name__ == "__main__":
    main()
