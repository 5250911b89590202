"""What torchvision and timm make of a picture when they augment it.

    image_augment.py OUT [WIDTH HEIGHT]

`operations.tsv` has a line `name parameter kernel fill` an operation, by the names of effnet-image's
`Operation`, `operations.rgb` the source picture and then the result of each line, [height, width, 3].
The fixtures in crates/effnet-image/tests/fixtures/augment were made with `image_augment.py OUT 13 9`.
"""

import itertools
import math
import sys
from pathlib import Path

from PIL import Image
from timm.data import auto_augment as timm
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F

from image_formats import scene

RESAMPLING = {"nearest": Image.Resampling.NEAREST, "bilinear": Image.Resampling.BILINEAR,
              "bicubic": Image.Resampling.BICUBIC}


def affine(**changes):
    neutral = {"angle": 0.0, "translate": [0, 0], "scale": 1.0, "shear": [0.0, 0.0]}
    return lambda image, kernel, fill: F.affine(
        image, **{**neutral, **changes}, interpolation=InterpolationMode(kernel), fill=fill)


def sheared(*shear):
    return affine(shear=[math.degrees(math.atan(factor)) for factor in shear], center=[0, 0])


def torchvision_factor(name, shear):
    """The factor that is left of a shear after torchvision's way through degrees."""
    angle = math.radians(math.degrees(math.atan(shear)))
    return math.tan(angle) if name == "ShearX" else math.sin(angle) / math.cos(angle)


def timm_affine(function, parameter):
    return lambda image, kernel, fill: function(
        image, parameter, resample=RESAMPLING[kernel], fillcolor=tuple(fill))


def rotated(degrees):
    return lambda image, kernel, fill: F.rotate(image, degrees, InterpolationMode(kernel), fill=fill)


def geometric():
    """(name, parameter) -> function of image, kernel and fill."""
    for factor in (0.3, -0.3, 0.1, -0.17, 0.0):
        yield "ShearX", torchvision_factor("ShearX", factor), sheared(factor, 0.0)
        yield "ShearY", torchvision_factor("ShearY", factor), sheared(0.0, factor)
        yield "ShearX", factor, timm_affine(timm.shear_x, factor)
        yield "ShearY", factor, timm_affine(timm.shear_y, factor)
    for pixels in (3, -5, 101):
        yield "TranslateX", pixels, affine(translate=[pixels, 0])
        yield "TranslateY", pixels, affine(translate=[0, pixels])
    for pixels in (2.3, -4.75):
        yield "TranslateX", pixels, timm_affine(timm.translate_x_abs, -pixels)
        yield "TranslateY", pixels, timm_affine(timm.translate_y_abs, -pixels)
    for degrees in (30.0, -17.3, 26.0 / 3.0, 0.0, 90.0, 180.0, 123.4):
        yield "Rotate", degrees, rotated(degrees)


def colored():
    """(name, parameter) -> function of an image."""
    for factor in (0.0, 0.1, 0.55, 1.0, 1.27, 1.9, 3.5):
        yield "Brightness", factor, lambda image, factor=factor: F.adjust_brightness(image, factor)
        yield "Contrast", factor, lambda image, factor=factor: F.adjust_contrast(image, factor)
        yield "Saturation", factor, lambda image, factor=factor: F.adjust_saturation(image, factor)
        yield "Sharpness", factor, lambda image, factor=factor: F.adjust_sharpness(image, factor)
    for turn in (0.0, 0.1, -0.1, 1.0 / 3.0, 0.5, -0.5):
        yield "Hue", turn, lambda image, turn=turn: F.adjust_hue(image, turn)
    for bits in range(1, 9):
        yield "Posterize", bits, lambda image, bits=bits: timm.posterize(image, bits)
    for threshold in (0.0, 28.3, 128.0, 200.5, 255.0, 256.0):
        yield "Solarize", threshold, lambda image, threshold=threshold: F.solarize(image, threshold)
    for addend in (0, 55, 110, 128):
        yield "SolarizeAdd", addend, lambda image, addend=addend: timm.solarize_add(image, addend)
    yield "AutoContrast", 0, F.autocontrast
    yield "Equalize", 0, F.equalize
    yield "Invert", 0, F.invert


def operations(image):
    """Lines of operations.tsv with their results."""
    fills = itertools.cycle([[0, 0, 0], [124, 116, 104]])
    for name, parameter, function in geometric():
        for kernel in RESAMPLING:
            fill = next(fills)
            line = f"{name}\t{parameter!r}\t{kernel}\t{','.join(map(str, fill))}\n"
            yield line, function(image, kernel, fill)
    for name, parameter, function in colored():
        yield f"{name}\t{parameter!r}\tnearest\t0,0,0\n", function(image)


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    width, height = map(int, sys.argv[2:4]) if len(sys.argv) > 2 else (161, 123)
    image = scene(width, height).convert("RGB")
    lines, results = zip(*operations(image))
    (out / "operations.tsv").write_text(f"{width}\t{height}\n" + "".join(lines))
    (out / "operations.rgb").write_bytes(b"".join(result.tobytes() for result in (image, *results)))


if __name__ == "__main__":
    main()
