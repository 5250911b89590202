"""Creates weights in the original format for the benchmarks: make_weights.py VARIANT FILE [zip|legacy]

The published weights need the internet, and the speed of a network does not depend on their values.
BN statistics are calibrated on smooth random images, so that the logits depend on the photo.
"""

import sys

import torch
from efficientnet_pytorch import EfficientNet


def main():
    variant, path, container = sys.argv[1], sys.argv[2], (sys.argv[3:] or ["legacy"])[0]
    torch.manual_seed(0)
    model = EfficientNet.from_name(f"efficientnet-{variant}", image_size=None)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    coarse = torch.randn(4, 3, 7, 7)
    images = torch.nn.functional.interpolate(coarse, size=224, mode="bicubic")
    with torch.no_grad():
        model.train()(images)
    for norm, momentum in zip(norms, momenta):
        norm.momentum = momentum
    torch.save(model.state_dict(), path, _use_new_zipfile_serialization=container == "zip")


main()
