"""Several labels and numbers, learned by effnet and by one loop in PyTorch from the same weights on the same pixels.

    same_loop.py --effnet EFFNET_TORCH --weights LITE0 --data FLOWERS [--steps 30] [--losses bce asymmetric ...] [--double]

Needs efficientnet_lite_pytorch, timm, torchmetrics and scikit-learn.

An image is two photos of DATA (a folder with train/ and val/, each with a folder per class) beside each other, 64 to train
on and 150 to measure with. Its labels are their classes; its number is the share of its width that the first photo has. All
images are one batch, so their order does not matter; nothing is drawn at random: no augmentation, no dropout. effnet draws
the classifier, writes it into a file, and both begin with that file. Plain SGD with momentum, a constant rate.

Training enlarges rounding: with --double, PyTorch trains with 64 bits, too, to show which of the two is nearer (minutes for
each step of a large batch).

Prints a line of JSON per loss: the metrics of torchmetrics and of scikit-learn for the outputs of PyTorch's network, those
that `effnet evaluate` prints for its own, and the largest difference of an output from those of PyTorch's last network.
"""

import argparse
import csv
import json
import os
import pathlib
import random
import subprocess
import tempfile

import numpy as np
import safetensors.torch
import sklearn.metrics
import torch
import torchmetrics.functional.classification as torchmetrics
import torchvision.ops
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from timm.loss import AsymmetricLossMultiLabel
from torch.nn import functional

SIDE, MEAN, STD = 128, 127 / 255, 128 / 255
LABEL_LOSSES = {
    "bce": functional.binary_cross_entropy_with_logits,
    "asymmetric": AsymmetricLossMultiLabel(reduction="mean"),
    "focal": lambda outputs, targets: torchvision.ops.sigmoid_focal_loss(outputs, targets, reduction="mean"),
}
VALUE_LOSSES = {"mse": functional.mse_loss, "huber": functional.huber_loss}
RATES = {"bce": 0.01, "asymmetric": 0.01, "focal": 0.1, "mse": 0.003, "huber": 0.003}


def draw(data, split, count, folder, seed):
    """Images of two photos, and what a table says of them."""
    random.seed(seed)
    classes = sorted(path.name for path in (data / split).iterdir())
    rows = []
    for number in range(count):
        pair = [random.choice(classes) for _ in range(2)]
        seam = random.randrange(SIDE // 4, 3 * SIDE // 4)
        image = Image.new("RGB", (SIDE, SIDE))
        for class_, left, width in zip(pair, (0, seam), (seam, SIDE - seam)):
            photo = random.choice(sorted((data / split / class_).iterdir()))
            part = Image.open(photo).convert("RGB").resize((width, SIDE), Image.Resampling.BICUBIC)
            image.paste(part, (left, 0))
        image.save(folder / f"{split}-{number}.png")
        rows.append((f"{split}-{number}.png", ";".join(sorted(set(pair))), round(100 * seam / SIDE, 2)))
    for name, column in (("labels", 1), ("values", 2)):
        with open(folder / f"{split}-{name}.csv", "w", newline="") as file:
            csv.writer(file).writerows([("path", name), *((row[0], row[column]) for row in rows)])
    return classes, rows


def tensors(rows, folder):
    images = [np.asarray(Image.open(folder / row[0])) for row in rows]
    return ((torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 255) - MEAN) / STD


def conv2d(images, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """The convolution, as a sum of shifted images if it is a depthwise one of 64 bits, for which PyTorch's takes hours."""
    stride = stride if isinstance(stride, int) else stride[0]
    if images.dtype != torch.float64 or groups != images.shape[1]:
        return PLAIN(images, weight, bias, stride, padding, dilation, groups)
    pad = padding if isinstance(padding, int) else padding[0]
    images, side = functional.pad(images, [pad] * 4), weight.shape[-1]
    height, width = ((images.shape[axis] - side) // stride + 1 for axis in (2, 3))
    shifted = lambda y, x: images[:, :, y : y + stride * height : stride, x : x + stride * width : stride]
    parts = (shifted(y, x)[:, :, :height, :width] * weight[:, 0, y, x, None, None] for y in range(side) for x in range(side))
    return sum(parts)


PLAIN = functional.conv2d
functional.conv2d = conv2d


def torchs(start, images, targets, loss, rate, steps, tested, kind):
    """Outputs, in 64 bits, of the network that PyTorch trains in `kind`."""
    network = EfficientNet.from_name("efficientnet-lite0", num_classes=targets.shape[1]).to(kind)
    network.load_state_dict(safetensors.torch.load_file(start))
    network._dropout.p = 0.0
    network._global_params = network._global_params._replace(drop_connect_rate=0.0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.1
    optimizer = torch.optim.SGD(network.parameters(), lr=rate, momentum=0.9)
    network.train()
    for _ in range(steps):
        optimizer.zero_grad()
        loss(network(images.to(kind)), targets.to(kind)).backward()
        optimizer.step()
    network.eval()
    with torch.inference_mode():
        return network(tested.to(kind)).double()


def finetune(arguments, folder, table, weights, run, *flags):
    command = [arguments.effnet, "finetune", folder / table, "--weights", weights, "--output", run, "--quiet", *flags]
    command += ["--val", folder / table.replace("train", "val"), "--batch-size", str(arguments.images), "--precision", "fp32"]
    command += ["--image-size", str(SIDE), "--crop-pct", "1", "--crop-scale", "1", "--flip", "0", "--color-jitter", "0"]
    command += ["--dropout", "0", "--drop-connect", "0", "--bn-momentum", "0.1", "--head-epochs", "0", "--patience", "0"]
    command += ["--optimizer", "sgd", "--schedule", "constant", "--stem-rate", "1", "--weight-decay", "0", "--clip", "0"]
    command += ["--report", "false", "--device", "cpu"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def evaluate(arguments, table, weights, outputs):
    command = [arguments.effnet, "evaluate", table, "--weights", weights, "--all", "--format", "json", "--quiet"]
    command += ["--predictions", outputs]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[0])


def compare(name, arguments, folder, classes, rows, tested):
    of_labels = name in LABEL_LOSSES
    kind = "labels" if of_labels else "values"
    column = [[row[1 if of_labels else 2] for row in part] for part in (rows, tested)]
    if of_labels:
        truths = [torch.tensor([[float(class_ in row.split(";")) for class_ in classes] for row in part]) for part in column]
    else:
        truths = [torch.tensor(part, dtype=torch.float64)[:, None] for part in column]
    task = ["--task", "multilabel" if of_labels else "regression", "--loss", name]
    # The classifier that effnet draws: at this rate, nothing learns.
    finetune(arguments, folder, f"train-{kind}.csv", arguments.weights, folder / f"first-{name}", *task, "--lr", "1e-12",
             "--freeze", "features", "--epochs", "1")
    start = folder / f"first-{name}" / "last.safetensors"
    finetune(arguments, folder, f"train-{kind}.csv", start, folder / name, *task, "--lr", str(RATES[name]), "--epochs",
             str(arguments.steps))
    found = evaluate(arguments, folder / f"val-{kind}.csv", folder / name / "last.safetensors", folder / f"{name}.csv")

    mean, deviation = truths[0].mean(0), truths[0].std(0, correction=0)
    targets = truths[0] if of_labels else (truths[0] - mean) / deviation
    loss, pixels = LABEL_LOSSES.get(name) or VALUE_LOSSES[name], [tensors(part, folder) for part in (rows, tested)]
    outputs = {}
    kinds = {32: torch.float32} | ({64: torch.float64} if arguments.double else {})
    for bits, dtype in kinds.items():
        out = torchs(start, pixels[0], targets, loss, RATES[name], arguments.steps, pixels[1], dtype)
        outputs[bits] = out.sigmoid() if of_labels else out * deviation + mean
    with open(folder / f"{name}.csv", newline="") as file:
        answers = {row["input"].rsplit("/", 1)[-1]: row for row in csv.DictReader(file)}
    columns = [f"probability {class_}" for class_ in classes] if of_labels else ["predicted values"]
    own = torch.tensor([[float(answers[row[0]][column]) for column in columns] for row in tested], dtype=torch.float64)
    keys = ["mean_average_precision"] if of_labels else ["mae", "r2"]
    line = {"loss": name, "effnet": {key: found[key] for key in keys}}
    line |= {f"PyTorch, {bits} bits": measured(truths[1], outputs[bits], of_labels) for bits in outputs}
    others = {"effnet": own} | {f"PyTorch, {bits} bits": outputs[bits] for bits in list(outputs)[:-1]}
    line["largest difference"] = {name: (other - outputs[bits]).abs().max().item() for name, other in others.items()}
    print(json.dumps(line), flush=True)


def measured(truths, outputs, of_labels):
    if not of_labels:
        truths, outputs = truths.numpy(), outputs.numpy()
        return {"mae": sklearn.metrics.mean_absolute_error(truths, outputs), "r2": sklearn.metrics.r2_score(truths, outputs)}
    return {
        "torchmetrics": torchmetrics.multilabel_average_precision(outputs, truths.int(), truths.shape[1]).item(),
        "scikit-learn": sklearn.metrics.average_precision_score(truths.numpy(), outputs.numpy(), average="macro"),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--effnet", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--tested", type=int, default=150)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--double", action="store_true")
    parser.add_argument("--losses", nargs="+", default=[*LABEL_LOSSES, *VALUE_LOSSES])
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        classes, rows = draw(arguments.data, "train", arguments.images, folder, 1)
        _, tested = draw(arguments.data, "val", arguments.tested, folder, 2)
        for name in arguments.losses:
            compare(name, arguments, folder, classes, rows, tested)


main()
