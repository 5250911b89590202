"""Which images of a folder a checkpoint of timm's train.py gets right: a line of JSON, used by search.py.

    timm_answers.py CHECKPOINT FOLDER

Resizes to 256 (bicubic), crops the centre to 224, as train.py does with --crop-pct 0.875.
"""

import json
import pathlib
import sys

import timm
import torch
from torchvision.datasets import ImageFolder


def main():
    checkpoint, folder = sys.argv[1:3]
    images = ImageFolder(folder)
    network = timm.create_model("tf_efficientnet_lite0", num_classes=len(images.classes))
    network.load_state_dict(torch.load(checkpoint, weights_only=False)["state_dict"])
    network.eval()
    settings = timm.data.resolve_data_config({"crop_pct": 0.875}, model=network)
    images.transform = timm.data.create_transform(**settings)
    right = {}
    with torch.inference_mode():
        for (path, label), (image, _) in zip(images.samples, images):
            right["/".join(pathlib.Path(path).parts[-2:])] = network(image[None]).argmax().item() == label
    print(json.dumps(right))


main()
