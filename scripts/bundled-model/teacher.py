"""Trains the teacher of the bundled model: a few networks for 32 x 32 pixels, wider than a B0.

    teacher.py TRAIN OUTPUT.pt [--test FOLDER] [--networks N] [--epochs N] [--device cuda]

TRAIN and FOLDER contain one folder of images per class. Writes TorchScript for `effnet train --teacher`: it takes
images [N, 3, H, W] of any size, normalised as for the student, and returns logits [N, classes], the mean over its
networks. When run again after an interruption, it resumes from OUTPUT.pt.state.

Network and training recipe are those of K. Jordan, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU" (arXiv
2404.00498), in the size for 96 %; the augmentation resembles the student's.
"""

import argparse
import os
import pathlib
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

SIZE = 32
# effnet's normalisation for the student.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WHITENED = 24
# For the mean loss of a batch of 1,000.
RATE, DECAY, MOMENTUM = 1.17, 0.0014, 0.85
# Biases have a higher learning rate, and the same effective weight decay.
BIAS_SCALE = 64
LABEL_SMOOTHING = 0.1
# Seconds between two saved states.
SAVE_EVERY = 60


class Whitening(nn.Conv2d):
    """Patches of 2 x 2 pixels, rotated and scaled to be uncorrelated, and their negatives."""

    def __init__(self):
        super().__init__(3, WHITENED, 2)
        self.weight.requires_grad_(False)
        nn.init.zeros_(self.bias)

    def fit(self, images, eps=5e-4):
        patches = F.unfold(images.float(), 2).transpose(1, 2).reshape(-1, WHITENED // 2)
        covariance = patches.T @ patches / len(patches)
        values, vectors = torch.linalg.eigh(covariance)
        filters = (vectors / (values + eps).sqrt()).T.reshape(-1, 3, 2, 2)
        self.weight.data.copy_(torch.cat([filters, -filters]))


class Convolution(nn.Conv2d):
    """A 3 x 3 convolution whose first channels are initialised as the identity."""

    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs, 3, padding=1, bias=False)
        nn.init.dirac_(self.weight.data[: min(inputs, outputs)])


def normalisation(channels):
    layer = nn.BatchNorm2d(channels, eps=1e-4, momentum=0.4)
    layer.weight.requires_grad_(False)
    return layer


class Block(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv1, self.norm1 = Convolution(inputs, outputs), normalisation(outputs)
        self.conv2, self.norm2 = Convolution(outputs, outputs), normalisation(outputs)
        self.conv3, self.norm3 = Convolution(outputs, outputs), normalisation(outputs)

    def forward(self, x):
        first = F.gelu(self.norm1(F.max_pool2d(self.conv1(x), 2)), approximate="tanh")
        x = F.gelu(self.norm2(self.conv2(first)), approximate="tanh")
        return F.gelu(self.norm3(self.conv3(x)) + first, approximate="tanh")


class Network(nn.Module):
    def __init__(self, classes, widths=(128, 384, 512)):
        super().__init__()
        self.whitening = Whitening()
        channels = (WHITENED, *widths)
        self.blocks = nn.Sequential(*map(Block, channels[:-1], channels[1:]))
        self.head = nn.Linear(widths[-1], classes, bias=False)

    def forward(self, x):
        x = F.gelu(self.whitening(x), approximate="tanh")
        x = F.max_pool2d(self.blocks(x), 3).flatten(1)
        return self.head(x) / 9


class Ensemble(nn.Module):
    """The mean logits of networks for 32 x 32 pixels, for images of any size."""

    def __init__(self, networks):
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, x):
        if x.shape[-1] != 32 or x.shape[-2] != 32:
            x = F.interpolate(x, size=[32, 32], mode="bilinear", antialias=True)
        logits = torch.zeros(1, device=x.device)
        for network in self.networks:
            logits = logits + network(x)
        return logits / len(self.networks)


def read(folder):
    """Images [N, 3, 32, 32], normalised, and class indices [N] in the order of the folder names."""
    classes = sorted(entry.name for entry in pathlib.Path(folder).iterdir() if entry.is_dir())
    files = [(path, label) for label, name in enumerate(classes) for path in sorted(pathlib.Path(folder, name).iterdir())]

    def pixels(file):
        with Image.open(file[0]) as image:
            return np.asarray(image.convert("RGB"))

    with ThreadPoolExecutor() as pool:
        images = torch.from_numpy(np.stack(list(pool.map(pixels, files)))).permute(0, 3, 1, 2)
    images = (images.float() / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    return images, torch.tensor([label for _, label in files]), len(classes)


def augmented(images):
    """Random flips, and translations by up to two pixels or, for three images in five, random crops like the
    student's; a square of eight pixels is erased in every other image."""
    count, device = len(images), images.device

    def uniform(low, high):
        return torch.empty(count, device=device).uniform_(low, high)

    crisp = torch.rand(count, device=device) < 0.4
    aspect = uniform(-0.15, 0.15).exp()
    zoom = uniform(0.6, 1.05)
    place = torch.rand(count, 2, device=device) * 2 - 1
    theta = torch.zeros(count, 2, 3, device=device)
    for axis, scale in enumerate([zoom * aspect, zoom / aspect]):
        whole = (place[:, axis] * 2).round() * 2 / SIZE
        free = place[:, axis] * (1 - scale).abs().clamp(min=0.05)
        theta[:, axis, axis] = torch.where(crisp, 1.0, scale)
        theta[:, axis, 2] = torch.where(crisp, whole, free)
    theta[:, 0, 0] *= torch.randint(0, 2, (count,), device=device) * 2.0 - 1
    grid = F.affine_grid(theta, images.shape, align_corners=False)
    images = F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
    row, column = (torch.randint(-8, SIZE, (count, 1, 1, 1), device=device) for _ in range(2))
    at = torch.arange(SIZE, device=device)
    blank = (at.view(-1, 1) >= row) & (at.view(-1, 1) < row + 8) & (at >= column) & (at < column + 8) & (row % 2 == 0)
    return images.masked_fill(blank, 0.0)


def schedule(step, steps):
    """The learning rate relative to its peak: linear warm-up, then linear decay to zero."""
    top = 0.23 * steps
    return min(0.2 + 0.8 * step / top, (steps - step) / (steps - top))


def optimizer(network):
    biases = [parameter for name, parameter in network.named_parameters() if name.endswith("bias")]
    weights = [module.weight for module in network.modules() if isinstance(module, (Convolution, nn.Linear))]
    groups = [
        {"params": weights, "lr": RATE, "weight_decay": DECAY},
        {"params": biases, "lr": RATE * BIAS_SCALE, "weight_decay": DECAY / BIAS_SCALE},
    ]
    return torch.optim.SGD(groups, lr=RATE, momentum=MOMENTUM, nesterov=True)


class Training:
    """Trains the networks one after the other, and saves the state to resume from."""

    def __init__(self, images, labels, classes, options, autocast):
        self.images, self.labels, self.classes = images, labels, classes
        self.options, self.autocast = options, autocast
        self.state = options.output + ".state"
        self.saved = {"networks": [], "epochs": 0}
        if os.path.exists(self.state):
            self.saved = torch.load(self.state, map_location=images.device, weights_only=True)
        self.saved_at = time.monotonic()

    def new_network(self):
        network = Network(self.classes).to(self.images.device, memory_format=torch.channels_last)
        network.whitening.fit(self.images[torch.randperm(len(self.images), device=self.images.device)[:5000]])
        return network

    def run(self):
        networks = []
        for index in range(self.options.networks):
            torch.manual_seed(self.options.seed * 1000 + index)
            network = self.new_network()
            if index < len(self.saved["networks"]):
                network.load_state_dict(self.saved["networks"][index])
            if index + 1 >= len(self.saved["networks"]):
                self.fit(network, index)
            networks.append(network.eval())
        return Ensemble(networks)

    def fit(self, network, index):
        moving = optimizer(network)
        done = 0
        if index < len(self.saved["networks"]):
            done = self.saved["epochs"]
            moving.load_state_dict(self.saved["optimizer"])
        for epoch in range(done, self.options.epochs):
            start = time.monotonic()
            loss = self.epoch(network, moving, epoch)
            print(f"network {index + 1}, epoch {epoch + 1}: loss {loss:.4f}, {time.monotonic() - start:.1f} s", flush=True)
            if epoch + 1 == self.options.epochs or time.monotonic() > self.saved_at + SAVE_EVERY:
                self.save(network, moving, index, epoch + 1)

    def epoch(self, network, moving, epoch):
        torch.manual_seed((self.options.seed * 1000 + epoch) * 1000 + len(self.saved["networks"]))
        network.whitening.bias.requires_grad_(epoch < 3)
        batch = self.options.batch_size
        steps, total = len(self.images) // batch, 0.0
        order = torch.randperm(len(self.images), device=self.images.device)
        for step, chosen in enumerate(order.split(batch)[:steps]):
            now = schedule(epoch * steps + step, steps * self.options.epochs)
            for group, scale in zip(moving.param_groups, (1, BIAS_SCALE)):
                group["lr"] = RATE * scale * now
            inputs = augmented(self.images[chosen]).contiguous(memory_format=torch.channels_last)
            with self.autocast():
                logits = network(inputs)
            loss = F.cross_entropy(logits.float(), self.labels[chosen], label_smoothing=LABEL_SMOOTHING)
            moving.zero_grad()
            loss.backward()
            moving.step()
            total += loss.detach()
        return float(total) / steps

    def save(self, network, moving, index, epochs):
        kept = [*self.saved["networks"][:index], network.state_dict()]
        self.saved = {"networks": kept, "epochs": epochs, "optimizer": moving.state_dict()}
        torch.save(self.saved, self.state + ".partial")
        os.replace(self.state + ".partial", self.state)
        self.saved_at = time.monotonic()


@torch.no_grad()
def accuracy(network, images, labels, autocast):
    hits = 0
    for part, expected in zip(images.split(1000), labels.split(1000)):
        with autocast():
            hits += int((network(part).argmax(1) == expected).sum())
    return hits / len(images)


def main():
    parser = argparse.ArgumentParser(
        prog="teacher.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("train")
    add("output")
    add("--test", help="images to evaluate the result on")
    add("--networks", type=int, default=3)
    add("--epochs", type=int, default=40)
    add("--batch-size", type=int, default=1000)
    add("--seed", type=int, default=1)
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()

    device = torch.device(options.device)
    torch.backends.cudnn.benchmark = True
    half = device.type == "cuda" or torch.cpu._is_avx512_bf16_supported()

    def autocast():
        return torch.autocast(device.type, torch.bfloat16, enabled=half)

    images, labels, classes = read(options.train)
    ensemble = Training(images.to(device), labels.to(device), classes, options, autocast).run()
    if options.test:
        images, labels, _ = read(options.test)
        images, labels = images.to(device), labels.to(device)
        for network in [*ensemble.networks, ensemble]:
            print(f"{100 * accuracy(network, images, labels, autocast):.2f} % test accuracy", flush=True)
    with torch.no_grad():
        script = torch.jit.freeze(torch.jit.script(ensemble.cpu().eval()))
        script.save(options.output + ".partial")
    os.replace(options.output + ".partial", options.output)


if __name__ == "__main__":
    main()
