"""Applies the augmentations of torchvision and timm to an image, and lists what their policies can choose.

    image_augment.py OUT [WIDTH HEIGHT]

`operations.tsv` has one line `name parameter kernel fill` per operation, with the names of effnet-image's
`Operation`; `operations.rgb` has the source image, then the result of each line, [height, width, 3].
`transforms.tsv` has one line `crop interpolation flip operations erasure` per whole transform,
`transforms.f32` its [3, 24, 24] floats. `policies.tsv` has what the policies can draw: policy, width,
height, probability, operations. `crops.tsv` has the distribution of torchvision's random crops: the name of
the number, a threshold, and the share of 40,000 crops that do not exceed it.
The fixtures in crates/effnet-image/tests/fixtures/augment were created with `image_augment.py OUT 13 9`.
"""

import itertools
import math
import random
import sys
from pathlib import Path

import torch
from PIL import Image
from timm.data import auto_augment as timm
from torchvision import transforms
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
    """The factor of a shear after torchvision's conversion to degrees and back."""
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


def whole_transforms(image):
    """Lines of transforms.tsv with their results."""
    w, h = image.size
    jittered = [("Brightness", 1.3, F.adjust_brightness), ("Hue", -0.2, F.adjust_hue),
                ("Contrast", 0.7, F.adjust_contrast), ("Saturation", 1.4, F.adjust_saturation)]
    turned = [("Rotate", 20.0, F.rotate), ("Solarize", 85.0, F.solarize)]
    for box, interpolation, flip, steps, erased in [
            ((0, 0, w, h), "bilinear", False, [], None),
            ((w // 4, h // 5, w - w // 3, h - h // 4), "bicubic", True, jittered, None),
            ((w // 2, 1, 1, h - 1), "bilinear", True, turned, (5, 2, 7, 11)),
            ((1, 3, 1, 1), "bicubic", False, [], None)]:
        left, top, width, height = box
        view = F.resized_crop(image, top, left, height, width, [24, 24], InterpolationMode(interpolation))
        view = F.hflip(view) if flip else view
        for _, parameter, function in steps:
            view = function(view, parameter)
        tensor = F.normalize(F.to_tensor(view), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
        if erased:
            left, top, width, height = erased
            tensor = F.erase(tensor, top, left, height, width, torch.tensor([0.5, -1.5, 2.25])[:, None, None])
        yield (f"{','.join(map(str, box))}\t{interpolation}\t{int(flip)}\t"
               + ";".join(f"{name}:{parameter!r}" for name, parameter, _ in steps)
               + f"\t{','.join(map(str, erased or ()))}\n"), tensor


def torchvision_choices(name, magnitudes, level, size):
    """The possible outcomes of one operation of a policy: (operation, parameter), equally probable."""
    values, signed = magnitudes[name]
    value = float(values[level]) if values.ndim else 0.0
    signs = (value, -value) if signed else (value,)
    for value in signs:
        if name in ("Brightness", "Contrast", "Sharpness", "Color"):
            yield name.replace("Color", "Saturation"), 1.0 + value
        elif name.startswith("Shear"):
            yield name, torchvision_factor(name, value)
        elif name.startswith("Translate"):
            yield name, float(int(value))
        else:
            yield name, value


def auto_augment_policies(width, height):
    policy = transforms.AutoAugment()
    magnitudes = policy._augmentation_space(10, (height, width))
    for sub_policy in policy.policies:
        for applied in itertools.product((True, False), repeat=2):
            probability = 1 / len(policy.policies)
            choices = []
            for (name, p, level), taken in zip(sub_policy, applied):
                probability *= p if taken else 1 - p
                if taken:
                    choices.append(list(torchvision_choices(name, magnitudes, level or 0, (width, height))))
            drawn = list(itertools.product(*choices))
            for combination in drawn:
                yield probability / len(drawn), combination


def rand_augment_policies(width, height, magnitude):
    policy = transforms.RandAugment(num_ops=1, magnitude=magnitude)
    magnitudes = policy._augmentation_space(31, (height, width))
    for name in magnitudes:
        choices = list(torchvision_choices(name, magnitudes, magnitude, (width, height)))
        for choice in choices:
            yield 1 / len(magnitudes) / len(choices), (choice,)


def timm_policies(width, height, config):
    """One layer, always applied, at the level itself."""
    augment = timm.rand_augment_transform(config + "-n1-p1.0", {})
    for op in augment.ops:
        outcomes = []
        for chance in (0.1, 0.9):
            random.random = lambda: chance
            argument = op.level_fn(op.magnitude, op.hparams)[0] if op.level_fn else 0.0
            name = op.name.replace("Increasing", "").replace("Rel", "").replace("Color", "Saturation")
            if name.startswith("Translate"):
                argument *= -width if name.endswith("X") else -height
            outcomes.append((name, argument))
        for outcome in outcomes:
            yield 1 / len(augment.ops) / 2, (outcome,)


def policies():
    for width, height in ((224, 224), (97, 301)):
        yield from (("imagenet", width, height, *line) for line in auto_augment_policies(width, height))
        for magnitude in (0, 9, 14, 30):
            lines = rand_augment_policies(width, height, magnitude)
            yield from ((f"randaugment {magnitude}", width, height, *line) for line in lines)
        for config in ("rand-m9", "rand-m10-inc1", "rand-m3-inc1", "rand-m7"):
            yield from ((config, width, height, *line) for line in timm_policies(width, height, config))


def crops():
    """The distribution of left, top, width and height of crops of a 400 x 300 image."""
    torch.manual_seed(3)
    image = Image.new("RGB", (400, 300))
    drawn = [transforms.RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(40_000)]
    for index, name in enumerate(("top", "left", "height", "width")):
        values = sorted(crop[index] for crop in drawn)
        for threshold in sorted({values[len(values) * percent // 100] for percent in range(0, 100, 10)}):
            share = sum(value <= threshold for value in values) / len(values)
            yield f"{name}\t{threshold}\t{share}\n"


def main():
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    width, height = map(int, sys.argv[2:4]) if len(sys.argv) > 2 else (161, 123)
    image = scene(width, height).convert("RGB")
    lines, results = zip(*operations(image))
    (out / "operations.tsv").write_text(f"{width}\t{height}\n" + "".join(lines))
    (out / "operations.rgb").write_bytes(b"".join(result.tobytes() for result in (image, *results)))
    lines, results = zip(*whole_transforms(image))
    (out / "transforms.tsv").write_text("".join(lines))
    (out / "transforms.f32").write_bytes(b"".join(result.numpy().tobytes() for result in results))
    with open(out / "policies.tsv", "w") as file:
        for policy, width, height, probability, drawn in policies():
            drawn = ";".join(f"{name}:{parameter!r}" for name, parameter in drawn)
            file.write(f"{policy}\t{width}\t{height}\t{probability!r}\t{drawn}\n")
    (out / "crops.tsv").write_text("".join(crops()))


if __name__ == "__main__":
    main()
