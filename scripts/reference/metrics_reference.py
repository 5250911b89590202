"""Metrics of a classifier, computed with torch."""

import torch
from safetensors.torch import save_file
from torch.nn import functional

BINS = 15


def metrics(classes, images, folder):
    """Random logits that are right about half of the time, and their metrics."""
    generator = torch.Generator().manual_seed(6)
    # Some classes have no image, and some are never predicted.
    labels = torch.randint(0, classes - 1, (images,), generator=generator)
    logits = 2 * torch.randn(images, classes, generator=generator)
    logits[torch.arange(images), labels] += 2.5
    logits[:, 0] -= 9
    save_file({"logits": logits, "labels": labels}, f"{folder}/expected.safetensors")

    logits = logits.double()
    confidence, predicted = logits.softmax(1).max(1)
    ranked = logits.topk(5, 1).indices
    counts = torch.bincount(labels * classes + predicted, minlength=classes**2).view(classes, classes)
    right = counts.diagonal().double()
    # 0 / 0 is NaN, which JSON cannot represent.
    fractions = {
        "precision": right / counts.sum(0),
        "recall": right / counts.sum(1),
        "f1": 2 * right / (counts.sum(0) + counts.sum(1)),
    }
    plain = {
        name: [None if value.isnan() else value.item() for value in values]
        for name, values in fractions.items()
    }
    return plain | {
        "loss": functional.cross_entropy(logits, labels).item(),
        "top1": (predicted == labels).double().mean().item(),
        "top5": (ranked == labels[:, None]).any(1).double().mean().item(),
        "ece": calibration_error(confidence, predicted == labels),
        "confusion": counts.tolist(),
    }


def calibration_error(confidence, correct):
    error = 0.0
    bounds = torch.linspace(0, 1, BINS + 1, dtype=torch.double)
    for low, high in zip(bounds[:-1], bounds[1:], strict=True):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            gap = correct[inside].double().mean() - confidence[inside].mean()
            error += (inside.double().mean() * gap.abs()).item()
    return error


ANSWERS = (metrics,)
