"""EfficientNet in PyTorch with the original parameter names, so that a machine only needs torch.

Computes the same as the original with dynamic padding, and also works with `torch.compile` and in half
precision. `scripts/gpu-check --cpu-only` compares it with efficientnet_pytorch if that is installed.
"""

import math

import torch
from torch import nn
from torch.nn import functional

# width coefficient, depth coefficient, image size
VARIANTS = {
    "b0": (1.0, 1.0, 224), "b1": (1.0, 1.1, 240), "b2": (1.1, 1.2, 260), "b3": (1.2, 1.4, 300),
    "b4": (1.4, 1.8, 380), "b5": (1.6, 2.2, 456), "b6": (1.8, 2.6, 528), "b7": (2.0, 3.1, 600),
}
# repeats, kernel, stride, expansion, output channels
STAGES = [
    (1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320),
]


def channels(count, width):
    scaled = count * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * scaled else rounded


class SameConv2d(nn.Conv2d):
    """TensorFlow's SAME padding, computed from the size of each input."""

    def padded(self, x):
        kernel, stride = self.kernel_size[0], self.stride[0]
        height, width = (
            max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in x.shape[-2:]
        )
        if height or width:
            x = functional.pad(x, [width // 2, width - width // 2, height // 2, height - height // 2])
        return x

    def forward(self, x):
        return super().forward(self.padded(x))


def batch_norm(count):
    return nn.BatchNorm2d(count, eps=1e-3, momentum=0.01)


class Block(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride, expansion):
        super().__init__()
        expanded, squeezed = inputs * expansion, max(1, inputs // 4)
        if expansion != 1:
            self._expand_conv = nn.Conv2d(inputs, expanded, 1, bias=False)
            self._bn0 = batch_norm(expanded)
        self._depthwise_conv = SameConv2d(expanded, expanded, kernel, stride, groups=expanded, bias=False)
        self._bn1 = batch_norm(expanded)
        self._se_reduce = nn.Conv2d(expanded, squeezed, 1)
        self._se_expand = nn.Conv2d(squeezed, expanded, 1)
        self._project_conv = nn.Conv2d(expanded, outputs, 1, bias=False)
        self._bn2 = batch_norm(outputs)
        self.expands, self.skips = expansion != 1, stride == 1 and inputs == outputs

    def forward(self, x):
        block_input = x
        if self.expands:
            x = functional.silu(self._bn0(self._expand_conv(x)))
        x = functional.silu(self._bn1(self._depthwise_conv(x)))
        squeezed = functional.silu(self._se_reduce(functional.adaptive_avg_pool2d(x, 1)))
        x = torch.sigmoid(self._se_expand(squeezed)) * x
        x = self._bn2(self._project_conv(x))
        return x + block_input if self.skips else x


class EfficientNet(nn.Module):
    def __init__(self, variant, classes=1000):
        super().__init__()
        width, depth, _ = VARIANTS[variant]
        count = channels(32, width)
        self._conv_stem = SameConv2d(3, count, 3, 2, bias=False)
        self._bn0 = batch_norm(count)
        self._blocks = nn.ModuleList()
        for repeats, kernel, stride, expansion, outputs in STAGES:
            outputs = channels(outputs, width)
            for index in range(math.ceil(repeats * depth)):
                self._blocks.append(Block(count, outputs, kernel, stride if index == 0 else 1, expansion))
                count = outputs
        features = channels(1280, width)
        self._conv_head = nn.Conv2d(count, features, 1, bias=False)
        self._bn1 = batch_norm(features)
        self._fc = nn.Linear(features, classes)

    def forward(self, x):
        x = functional.silu(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        x = functional.silu(self._bn1(self._conv_head(x)))
        return self._fc(functional.adaptive_avg_pool2d(x, 1).flatten(1))


def smooth(count, size, generator):
    """Images with structure at several scales: noise alone averages out."""
    layers = (torch.randn(count, 3, side, side, generator=generator) for side in (2, 5, 11))
    return sum(functional.interpolate(layer, (size, size), mode="bicubic") for layer in layers)


@torch.no_grad()
def calibrated(variant, device):
    """Random weights with measured batch statistics, on the CPU. Residual branches are scaled down, as
    training would do: at full strength, a deep random network amplifies rounding a hundredfold."""
    torch.manual_seed(VARIANTS[variant][2])
    network = EfficientNet(variant)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            fan_out = module.out_channels * module.kernel_size[0] ** 2 // module.groups
            nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            module.momentum = None
            nn.init.normal_(module.weight, mean=1.0, std=0.1)
            nn.init.normal_(module.bias, std=0.1)
    for block in network._blocks:
        if block.skips:
            block._bn2.weight.mul_(0.2)
    images = smooth(8, min(VARIANTS[variant][2], 300), torch.Generator().manual_seed(1))
    network.to(device).train()(images.to(device))
    return network.cpu().eval()
