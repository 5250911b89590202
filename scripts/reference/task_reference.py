"""Losses and metrics of multi-label classification and of regression, by torch, torchvision, timm and scikit-learn.

    task_reference.py OUT.json

Needs scikit-learn and torchmetrics beside requirements.txt. This script wrote
crates/effnet-train/tests/fixtures/tasks.json.
"""

import json
import sys

import numpy as np
import sklearn.metrics
import torch
import torchmetrics.functional.classification as torchmetrics
from timm.loss import AsymmetricLossMultiLabel
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

IMAGES, LABELS, OUTPUTS = 40, 5, 3


def draw(seed):
    generator = torch.Generator().manual_seed(seed)
    # Rounded, so that some scores are equal; no image has the last label.
    logits = (torch.randn(IMAGES, LABELS, generator=generator) * 3).mul(4).round().div(4)
    labels = (torch.rand(IMAGES, LABELS, generator=generator) < torch.tensor([0.5, 0.2, 0.1, 0.7, 0.0])).float()
    values = torch.randn(IMAGES, OUTPUTS, generator=generator) * 2 + torch.tensor([0.0, 30.0, -4.0])
    predicted = values + torch.randn(IMAGES, OUTPUTS, generator=generator)
    return logits, labels, predicted, values


def with_gradient(loss, outputs):
    outputs = outputs.clone().requires_grad_()
    value = loss(outputs)
    value.backward()
    return {"loss": value.item(), "gradient": outputs.grad.flatten().tolist()}


def label_losses(logits, labels):
    """Losses for hard labels and for labels that mixup has made soft."""
    other = AsymmetricLossMultiLabel(gamma_neg=2, gamma_pos=0, clip=0, reduction="mean")
    weights = torch.tensor([1.0, 4.0, 9.0, 0.5, 2.0])
    for kind, targets in (("hard", labels), ("soft", 0.7 * labels + 0.3 * labels.flip(0))):
        losses = {
            "bce": lambda x: functional.binary_cross_entropy_with_logits(x, targets),
            "bce weighted": lambda x: functional.binary_cross_entropy_with_logits(x, targets, pos_weight=weights),
            "focal": lambda x: sigmoid_focal_loss(x, targets, reduction="mean"),
            "focal unweighted": lambda x: sigmoid_focal_loss(x, targets, alpha=-1, gamma=1.5, reduction="mean"),
            "asymmetric": lambda x: AsymmetricLossMultiLabel(reduction="mean")(x, targets),
            "asymmetric other": lambda x: other(x, targets),
        }
        for name, loss in losses.items():
            yield {"name": name, "targets": targets.flatten().tolist(), "kind": kind} | with_gradient(loss, logits)


def value_losses(predicted, values):
    losses = {
        "squared": lambda x: functional.mse_loss(x, values),
        "huber": lambda x: functional.huber_loss(x, values),
        "huber half": lambda x: functional.huber_loss(x, values, delta=0.5),
    }
    return [{"name": name} | with_gradient(loss, predicted) for name, loss in losses.items()]


def label_metrics(logits, labels):
    probabilities, truths = logits.double().sigmoid(), labels.int().numpy()
    predicted = (probabilities >= 0.5).int().numpy()
    present = truths.sum(0) > 0
    undefined = {"zero_division": np.nan}
    precisions = [sklearn.metrics.average_precision_score(truths[:, label], probabilities[:, label].numpy())
                  if present[label] else None for label in range(LABELS)]
    # torchmetrics counts 0 for a label that no image has.
    found = torchmetrics.multilabel_average_precision(probabilities, labels.int(), LABELS, average="none")
    assert np.allclose(found, [precision or 0.0 for precision in precisions], atol=1e-6), (found, precisions)
    return {
        "average_precisions": precisions,
        "micro_f1": sklearn.metrics.f1_score(truths, predicted, average="micro", **undefined),
        "macro_f1": sklearn.metrics.f1_score(truths, predicted, average="macro", **undefined),
        "exact": sklearn.metrics.accuracy_score(truths, predicted),
        "loss": functional.binary_cross_entropy_with_logits(logits.double(), labels.double()).item(),
        "best_f1": [best_f1(truths[:, label], probabilities[:, label].numpy()) if present[label] else None
                    for label in range(LABELS)],
    }


def best_f1(truths, probabilities):
    precision, recall, _ = sklearn.metrics.precision_recall_curve(truths, probabilities)
    return float(np.max(2 * precision * recall / np.maximum(precision + recall, 1e-300)))


def value_metrics(predicted, values):
    predicted, values = predicted.double().numpy(), values.double().numpy()
    each = {"multioutput": "raw_values"}
    return {
        "mae": sklearn.metrics.mean_absolute_error(values, predicted, **each).tolist(),
        "mse": sklearn.metrics.mean_squared_error(values, predicted, **each).tolist(),
        "r2": sklearn.metrics.r2_score(values, predicted, **each).tolist(),
        "mean_r2": sklearn.metrics.r2_score(values, predicted),
    }


def main():
    logits, labels, predicted, values = draw(8)
    out = {
        "images": IMAGES, "labels": LABELS, "outputs": OUTPUTS,
        "logits": logits.flatten().tolist(), "truths": labels.flatten().tolist(),
        "predicted": predicted.flatten().tolist(), "values": values.flatten().tolist(),
        "label_losses": list(label_losses(logits, labels)), "value_losses": value_losses(predicted, values),
        "label_metrics": label_metrics(logits, labels), "value_metrics": value_metrics(predicted, values),
    }
    with open(sys.argv[1], "w") as file:
        json.dump(out, file)
        file.write("\n")


if __name__ == "__main__":
    main()
