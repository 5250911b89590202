"""Classifies photos with efficientnet_pytorch, Pillow and torchvision: photo_classes.py PHOTOS OUT

Writes OUT/weights.pth (B0 in the original format, legacy container) and OUT/expected.json, from path
to logits. BN statistics are calibrated on the photos themselves: with any others nearly all photos
would get one class, and an agreement of classes would say nothing.
"""

import json
import pathlib
import sys

import torch
from efficientnet_pytorch import EfficientNet
from PIL import Image, ImageOps
from torchvision import transforms

EXTENSIONS = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
TRANSFORM = transforms.Compose([
    transforms.Resize(256, transforms.InterpolationMode.BICUBIC),
    transforms.CenterCrop(224),
    transforms.ToTensor(),
    transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
])


def read(path):
    image = Image.open(path)
    return TRANSFORM(ImageOps.exif_transpose(image).convert("RGB"))


def main():
    torch.manual_seed(0)
    torch.set_num_threads(2)
    folder, out = map(pathlib.Path, sys.argv[1:3])
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in EXTENSIONS)
    images = torch.stack([read(path) for path in paths])
    model = EfficientNet.from_name("efficientnet-b0", image_size=None, drop_connect_rate=0.0)
    norms = [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    with torch.no_grad():
        model.train()
        model(images[:: max(1, len(images) // 32)])
        model.eval()
        # Classes of one's own scale: the default head gives nearly equal logits.
        torch.nn.init.normal_(model._fc.weight, std=0.05)
        logits = torch.cat([model(batch) for batch in images.split(16)])
    torch.save(model.state_dict(), out / "weights.pth", _use_new_zipfile_serialization=False)
    expected = {str(path): row.tolist() for path, row in zip(paths, logits)}
    (out / "expected.json").write_text(json.dumps(expected))


main()
