"""Applies timm's Mixup to small batches.

    data_mix.py OUT.json

`areas` has the rectangle of CutMix for a lambda, a centre and a size, with the corrected lambda; `batches` has
batches and timm's results. This script wrote crates/effnet-train/tests/fixtures/mix.json.
"""

import json
import sys

import numpy as np
import torch
from timm.data.mixup import Mixup, cutmix_bbox_and_lam

HEIGHT, WIDTH, CLASSES = 5, 4, 3


def area(lam, center, height, width):
    drawn = iter(center)
    np.random.randint = lambda *_, **__: next(drawn)
    (top, bottom, left, right), lam = cutmix_bbox_and_lam((1, 3, height, width), lam)
    return [int(left), int(top), int(right - left), int(bottom - top)], float(lam)


def areas():
    for height, width in ((HEIGHT, WIDTH), (224, 224), (7, 300)):
        for lam in (0.0, 0.03, 0.31, 0.5, 0.77, 0.9999, 1.0):
            for center in ((0, 0), (height // 2, width // 3), (height - 1, width - 1)):
                found, left = area(lam, center, height, width)
                yield {"lambda": lam, "center": center, "height": height, "width": width, "area": found,
                       "corrected": left}


def batches():
    generator = torch.Generator().manual_seed(4)
    for kind, lam, center, smoothing, size in (
            ("mixup", 0.3, None, 0.1, 4), ("mixup", 0.85, None, 0.0, 2),
            ("cutmix", 0.4, (1, 2), 0.1, 4), ("cutmix", 0.6, (4, 0), 0.0, 2), ("nothing", 1.0, None, 0.2, 2)):
        images = torch.randn(size, 3, HEIGHT, WIDTH, generator=generator)
        labels = torch.randint(CLASSES, (size,), generator=generator)
        mixup = Mixup(1.0, 1.0, label_smoothing=smoothing, num_classes=CLASSES)
        mixup._params_per_batch = lambda: (lam, kind == "cutmix")
        drawn = iter(center or ())
        np.random.randint = lambda *_, **__: next(drawn)
        mixed, targets = mixup(images.clone(), labels)
        yield {"kind": kind, "lambda": lam, "center": center, "smoothing": smoothing,
               "images": images.flatten().tolist(), "labels": labels.tolist(),
               "mixed": mixed.flatten().tolist(), "targets": targets.flatten().tolist()}


def main():
    with open(sys.argv[1], "w") as file:
        json.dump({"height": HEIGHT, "width": WIDTH, "classes": CLASSES, "areas": list(areas()),
                   "batches": list(batches())}, file)
        file.write("\n")


if __name__ == "__main__":
    main()
