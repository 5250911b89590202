"""Classifies photos with efficientnet_pytorch, Pillow and torchvision: photo_classes.py PHOTOS OUT

Writes OUT/weights.pth (B0 in the original format, legacy container) and OUT/expected.json, a map from path
to logits. BN statistics are calibrated on the photos themselves: with others, nearly all photos would get
the same class, and equal classes would prove nothing.

OUT/fitted.pth is the same network with a classifier fitted to the photos, each of which is its own class. It
has margins between classes like a trained network; with a random classifier, the best two of a thousand
classes are often so close that rounding decides.
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


def fit_classifier(model, images):
    """Fits one class per photo, from the features of the photo and of its mirror image."""
    views = torch.cat([images, images.flip(3)])
    with torch.no_grad():
        features = torch.cat([model.extract_features(batch).mean((2, 3)) for batch in views.split(16)])
    mean, deviation = features.mean(0), features.std(0)
    classes = torch.arange(len(images)).repeat(2)
    weight, bias = (torch.zeros(shape, requires_grad=True) for shape in ((1000, features.shape[1]), (1000,)))
    optimizer = torch.optim.Adam([weight, bias], 1e-2)
    for _ in range(40):
        logits = torch.nn.functional.linear((features - mean) / deviation, weight, bias)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(logits, classes).backward()
        optimizer.step()
    with torch.no_grad():
        model._fc.weight.copy_(weight / deviation)
        model._fc.bias.copy_(bias - model._fc.weight @ mean)


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
        # A larger scale: the default classifier has nearly equal logits.
        torch.nn.init.normal_(model._fc.weight, std=0.05)
        logits = torch.cat([model(batch) for batch in images.split(16)])
    torch.save(model.state_dict(), out / "weights.pth", _use_new_zipfile_serialization=False)
    expected = {str(path): row.tolist() for path, row in zip(paths, logits)}
    (out / "expected.json").write_text(json.dumps(expected))
    fit_classifier(model, images)
    torch.save(model.state_dict(), out / "fitted.pth")


main()
