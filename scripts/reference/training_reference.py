"""Whole training runs, schedules and losses in the reference packages."""

import torch
from efficientnet_pytorch import EfficientNet
from safetensors.torch import save_file
from timm.loss import AsymmetricLossMultiLabel
from timm.optim.rmsprop_tf import RMSpropTF
from timm.utils import ModelEmaV2, ModelEmaV3
from torch.nn import functional
from torchvision.ops import sigmoid_focal_loss

import network_models as models

BN = ("_bn0", "_bn1", "_bn2")


def groups(network, weight_decay):
    """No weight decay on batch normalisation and biases."""
    decayed, spared = [], []
    for name, parameter in network.named_parameters():
        exempt = name.endswith(".bias") or name.split(".")[-2] in BN
        (spared if exempt else decayed).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": spared, "weight_decay": 0.0}]


OPTIMIZERS = {
    "sgd": lambda groups, lr: torch.optim.SGD(groups, lr=lr, momentum=0.9),
    "nesterov": lambda groups, lr: torch.optim.SGD(groups, lr=lr, momentum=0.9, nesterov=True),
    "adamw": lambda groups, lr: torch.optim.AdamW(groups, lr=lr),
    "rmsprop": lambda groups, lr: RMSpropTF(groups, lr=lr, alpha=0.9, momentum=0.9, eps=1e-3),
}
AVERAGES = {"v2": ModelEmaV2, "v3": ModelEmaV3}
# Losses of several labels per image (1 or 0), and of regression.
LOSSES = {
    "bce": lambda outputs, targets: functional.binary_cross_entropy_with_logits(
        outputs, targets, pos_weight=torch.linspace(0.5, 5, targets.shape[1])),
    "focal": lambda outputs, targets: sigmoid_focal_loss(outputs, targets, reduction="mean"),
    "asymmetric": AsymmetricLossMultiLabel(reduction="mean"),
    "squared": functional.mse_loss,
    "huber": lambda outputs, targets: functional.huber_loss(outputs, targets, delta=0.5),
}


def values(name, images, outputs):
    """Targets for a loss of LOSSES."""
    generator = torch.Generator().manual_seed(6)
    if name in ("squared", "huber"):
        return torch.randn(images, outputs, generator=generator)
    return (torch.rand(images, outputs, generator=generator) < 0.3).float()


def train(folder, optimizer, lr, weight_decay, steps, batch, size, overrides, clip=None, smoothing=0.0, average=None,
          loss=None, cycle=False):
    """Trains on fixed images; writes the weights before, the images, the losses, the weights after and their
    moving average."""
    torch.manual_seed(4)
    if overrides:
        network = EfficientNet.from_name("efficientnet-b0", image_size=None, **models.DETERMINISTIC, **overrides)
    else:
        network = models.build("lukemelas", "b0", models.calibrated("lukemelas", "b0"))
    # torch's SiLU: the package's memory-efficient one rounds differently.
    network.set_swish(memory_efficient=False)
    network.train()
    torch.save(network.state_dict(), f"{folder}/start.pth")
    classes = network._fc.out_features
    images = models.smooth_images(2 * batch, 3, *size, seed=5)
    labels = values(loss, 2 * batch, classes) if loss else torch.arange(2 * batch) * 7 % classes
    ema = AVERAGES[average](network, decay=0.9) if average else None
    optimizer = OPTIMIZERS[optimizer](groups(network, weight_decay), lr)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, steps) if cycle else None
    losses = []
    for step in range(steps):
        part = slice(step % 2 * batch, (step % 2 + 1) * batch)
        optimizer.zero_grad()
        outputs = network(images[part])
        if loss:
            found = LOSSES[loss](outputs, labels[part])
        else:
            found = functional.cross_entropy(outputs, labels[part], label_smoothing=smoothing)
        found.backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(network.parameters(), clip)
        optimizer.step()
        if scheduler:
            scheduler.step()
        if ema:
            ema.update(network)
        losses.append(found.item())
    expected = {"images": images, "labels": labels, "losses": torch.tensor(losses, dtype=torch.float64).float()}
    expected |= {f"after.{name}": tensor for name, tensor in network.state_dict().items()}
    if ema:
        averaged = ema.module.state_dict()
        expected |= {f"average.{name}": tensor for name, tensor in averaged.items()}
    save_file({name: tensor.detach().clone().contiguous() for name, tensor in expected.items()},
              f"{folder}/expected.safetensors")
    return {}


def schedule(name, base, steps, arguments):
    """The learning rate and the momentum of every step under one of torch's schedulers."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=base, momentum=0.9)
    scheduler = getattr(torch.optim.lr_scheduler, name)(optimizer, **arguments)
    rates, momenta = [], []
    for step in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        momenta.append(optimizer.param_groups[0]["momentum"])
        if step + 1 < steps:
            optimizer.step()
            scheduler.step()
    return {"rates": rates, "momenta": momenta}


def cross_entropy(logits, targets, weights=None, smoothing=0.0):
    """torch.nn.CrossEntropyLoss; targets are classes or rows of probabilities."""
    loss = torch.nn.CrossEntropyLoss(
        weight=torch.tensor(weights) if weights else None, label_smoothing=smoothing)
    return {"loss": loss(torch.tensor(logits), torch.tensor(targets)).item()}


ANSWERS = (train, schedule, cross_entropy)
