"""Decodes and preprocesses photos with Pillow, torchvision and timm.

    image_photos.py OUT PHOTO...

For photo number N, OUT receives `N.rgb` (decoded, upright, [height, width, 3] bytes),
`N-WIDTHxHEIGHT-FILTER.rgb` (three resizes of it), `N-TRANSFORM.rgb` (resized and cropped) and
`N-TRANSFORM.f32` (the network's input, [3, size, size] little-endian floats). `photos.tsv` has one line
`N width height` per photo, `resizes.tsv` one line `N width height filter` per resize.
"""

import sys
from pathlib import Path

import torch
from PIL import Image, ImageOps
from timm.data import create_transform
from torchvision import transforms
from torchvision.transforms import InterpolationMode

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
# Up, down, to the same width or height, to a strip, and sizes for which rows are resized first.
SIZES = [(224, 224), (341, 256), (600, 600), (None, 100), (200, None), (1, 1), (7, 900), (900, 7),
         (None, 777), (None, 20), (1031, 13), (380, 500)]


def torchvision(size, resize, filter):
    return transforms.Compose([
        transforms.Resize(resize, InterpolationMode(filter)), transforms.CenterCrop(size),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])


def timm(size, crop_pct, filter="bicubic", mode="center", **options):
    return create_transform(size, interpolation=filter, crop_pct=crop_pct, crop_mode=mode, **options)


# tests/photos.rs has the same list.
TRANSFORMS = {
    "b0": timm(224, 0.875), "b3": timm(300, 0.904), "b7": timm(600, 0.949),
    "advprop": timm(224, 0.875, mean=(0.5,) * 3, std=(0.5,) * 3),
    "torchvision": torchvision(240, 255, "bilinear"), "squash": timm(288, 0.9, mode="squash"),
    "padded": torchvision(224, 151, "bilinear"),
}


def main():
    out = Path(sys.argv[1])
    photos, resizes = [], []
    for number, path in enumerate(sys.argv[2:]):
        image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        photos.append(f"{number}\t{image.width}\t{image.height}\n")
        (out / f"{number}.rgb").write_bytes(image.tobytes())
        for turn in range(3):
            width, height = SIZES[(number * 3 + turn) % len(SIZES)]
            width, height = width or image.width, height or image.height
            filter = ("bilinear", "bicubic")[(number + turn) % 2]
            resizes.append(f"{number}\t{width}\t{height}\t{filter}\n")
            resized = image.resize((width, height), FILTERS[filter])
            (out / f"{number}-{width}x{height}-{filter}.rgb").write_bytes(resized.tobytes())
        for name, transform in TRANSFORMS.items():
            if name in ("b0", ("b3", "b7", "advprop", "torchvision", "squash", "padded")[number % 6]):
                crop = transforms.Compose(transform.transforms[:2])(image)
                (out / f"{number}-{name}.rgb").write_bytes(crop.tobytes())
                tensor = transform(image)
                assert tensor.dtype == torch.float32
                (out / f"{number}-{name}.f32").write_bytes(tensor.numpy().tobytes())
    (out / "photos.tsv").write_text("".join(photos))
    (out / "resizes.tsv").write_text("".join(resizes))


if __name__ == "__main__":
    main()
