"""Requests about converted files: does the package load them, are the tensors unchanged bit for bit, and what
does the package compute with them.

`network_reference.py` serves these functions. Weights are seeded, so every request for a variant uses the same
ones.
"""

import zipfile

import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file, save_file
from torch import nn

import network_models as models

# Calibrating weights, so that logits depend on the image, costs a forward pass; the others are only saved and loaded.
CALIBRATED = ("b0", "b3")

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def weights_of(variant):
    return models.calibrated("lukemelas", variant) if variant in CALIBRATED else models.drawn(variant)


def legacy_weights(variant, path):
    """Writes a file as EfficientNet-PyTorch publishes them: its names, in the container used before PyTorch 1.6. V2, which
    it does not have, gets timm's names."""
    package = "timm-tf" if variant.startswith("v2-") else "lukemelas"
    with torch.device("meta"):
        names = list(models.BUILDERS[package](variant).state_dict())
    state_dict = dict(zip(names, weights_of(variant), strict=True))
    torch.save(state_dict, path, _use_new_zipfile_serialization=False)
    return {"tensors": len(state_dict)}


def read(path):
    if path.endswith(".safetensors"):
        return load_file(path)
    return torch.load(path, weights_only=True, mmap=zipfile.is_zipfile(path))


def empty_network(package, variant, num_classes=1000):
    """A package's network on the meta device, so that every tensor must come from the file."""
    with torch.device("meta"):
        network = models.BUILDERS[package](variant)
        if num_classes != 1000:
            classifier = {"lukemelas": "_fc", "timm": "classifier", "timm-tf": "classifier"}[package]
            setattr(network, classifier, nn.Linear(getattr(network, classifier).in_features, num_classes))
    return network


def strict_load(package, variant, path):
    """Loads a file strictly; returns which tensors differ from the seeded ones in any bit."""
    network = empty_network(package, variant)
    network.load_state_dict(read(path), strict=True, assign=True)
    loaded = network.state_dict()
    changed = [
        name
        for (name, tensor), original in zip(loaded.items(), weights_of(variant), strict=True)
        if tensor.dtype != original.dtype or not torch.equal(tensor, original)
    ]
    return {"tensors": len(loaded), "changed": changed}


def random_image(path, size):
    """Writes a smooth image at the size of the input, so that it is not resized."""
    image = models.smooth_images(1, 3, size, size, seed=3)[0]
    low, high = image.min(), image.max()
    pixels = ((image - low) / (high - low) * 255).round().to(torch.uint8)
    Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy()).save(path)
    return {}


@torch.no_grad()
def photo_logits(variant, path, photos, size, resize):
    """Logits of one of Google's EfficientNet-Lite networks for photos, with the preprocessing of its weights: Pillow's
    bicubic filter, the middle, `(x - 127) / 128`."""
    network = empty_network("lukemelas", variant)
    network.load_state_dict(torch.load(path, weights_only=True), strict=True, assign=True)
    network.eval()
    rows = []
    for photo in photos:
        with Image.open(photo) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB")
        short = min(image.size)
        width, height = (int(resize * side / short) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BICUBIC)
        left, top = int(round((width - size) / 2)), int(round((height - size) / 2))
        image = image.crop((left, top, left + size, top + size))
        pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        pixels = pixels.view(size, size, 3).permute(2, 0, 1).float()
        rows.append(network(((pixels - 127) / 128)[None])[0].tolist())
    return {"logits": rows}


@torch.no_grad()
def image_logits(package, variant, path, image):
    network = empty_network(package, variant)
    network.load_state_dict(read(path), strict=True, assign=True)
    with Image.open(image) as opened:
        pixels = torch.frombuffer(bytearray(opened.tobytes()), dtype=torch.uint8)
        pixels = pixels.view(opened.height, opened.width, 3).permute(2, 0, 1).float() / 255
    logits = network.eval()(((pixels - MEAN) / STD)[None])
    return {"logits": logits[0].tolist()}


def training_checkpoint(folder):
    """Writes a checkpoint of a training script: plain and averaged weights of a B0 for ten classes, with the prefixes
    of DataParallel, and the state of the optimizer. Both sets of weights are also saved under the original names."""
    torch.manual_seed(7)
    network = models.original("b0", num_classes=10)
    plain = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    average = {
        name: tensor * 0.5 if tensor.is_floating_point() else tensor.clone() for name, tensor in plain.items()
    }
    optimizer = torch.optim.SGD(network._fc.parameters(), lr=0.1, momentum=0.9)
    network._fc(torch.ones(1, 1280)).sum().backward()
    optimizer.step()
    torch.save(
        {
            "epoch": 12,
            "arch": "efficientnet-b0",
            "state_dict": {f"module.{name}": tensor for name, tensor in plain.items()},
            "state_dict_ema": {f"module.{name}": tensor for name, tensor in average.items()},
            "optimizer": optimizer.state_dict(),
        },
        f"{folder}/checkpoint.pth.tar",
    )
    save_file(plain, f"{folder}/plain.safetensors")
    save_file(average, f"{folder}/average.safetensors")
    return {}


def cast_as(path, original, dtype, num_classes):
    """Returns which tensors of a converted file differ from torch's conversion of the original ones to `dtype`. The
    file is loaded strictly by EfficientNet-PyTorch first."""
    converted = read(path)
    empty_network("lukemelas", "b0", num_classes).load_state_dict(converted, strict=True, assign=True)
    expected = {
        name: tensor.to(getattr(torch, dtype)) if tensor.is_floating_point() else tensor
        for name, tensor in read(original).items()
    }
    return {
        "changed": [
            name
            for name, tensor in expected.items()
            if converted[name].dtype != tensor.dtype or not torch.equal(converted[name], tensor)
        ]
    }


ANSWERS = (legacy_weights, strict_load, random_image, image_logits, photo_logits, training_checkpoint, cast_as)
