"""A plain loop of PyTorch that fine-tunes lite0, as people write it: what `effnet finetune` is compared with.

    anchor.py WEIGHTS TRAIN VAL SEED [EPOCHS] [THREADS]

The head alone for one epoch (AdamW at 2e-3, one-cycle), then everything (AdamW, one-cycle, body 3e-4, head 1e-3, weight decay
0.01), batches of 32, the last partial one dropped, random resized crops of 35 % and more (bicubic), flips, label smoothing
0.1, channels-last. Validation: resize to 256 (bicubic), centre crop of 224. EPOCHS (5) counts the second phase. Prints a line
of JSON: whether each image of VAL, by name, was right after the last epoch, and the seconds of training.
"""

import json
import pathlib
import sys
import time

import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import nn
from torchvision.datasets import ImageFolder
from torchvision.transforms import InterpolationMode
from torchvision.transforms import v2

MEAN, STD, SIDE, BATCH = [127 / 255] * 3, [128 / 255] * 3, 224, 32


def transforms(train):
    shape = (
        [v2.RandomResizedCrop(SIDE, scale=(0.35, 1), interpolation=InterpolationMode.BICUBIC), v2.RandomHorizontalFlip()]
        if train
        else [v2.Resize(256, interpolation=InterpolationMode.BICUBIC), v2.CenterCrop(SIDE)]
    )
    to_floats = [v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    return v2.Compose(shape + to_floats)


def phase(network, parameters, rates, loader, epochs):
    groups = [{"params": list(group), "lr": rate} for group, rate in zip(parameters, rates)]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, epochs * len(loader))
    loss = nn.CrossEntropyLoss(label_smoothing=0.1)
    for _ in range(epochs):
        network.train()
        for images, labels in loader:
            images = images.to(memory_format=torch.channels_last)
            optimizer.zero_grad()
            loss(network(images), labels).backward()
            optimizer.step()
            schedule.step()


def main():
    weights, train, val, seed = sys.argv[1:5]
    epochs = int(sys.argv[5]) if len(sys.argv) > 5 else 5
    torch.manual_seed(int(seed))
    torch.set_num_threads(int(sys.argv[6]) if len(sys.argv) > 6 else 2)
    images = ImageFolder(train, transforms(True))
    held_out = ImageFolder(val, transforms(False))
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(weights, weights_only=True))
    network._fc = nn.Linear(network._fc.in_features, len(images.classes))
    network = network.to(memory_format=torch.channels_last)
    loader = torch.utils.data.DataLoader(images, BATCH, shuffle=True, drop_last=True, num_workers=2, persistent_workers=True)
    start = time.time()
    head = list(network._fc.parameters())
    body = [parameter for name, parameter in network.named_parameters() if not name.startswith("_fc.")]
    for parameter in body:
        parameter.requires_grad_(False)
    phase(network, [head], [2e-3], loader, 1)
    for parameter in body:
        parameter.requires_grad_(True)
    phase(network, [body, head], [3e-4, 1e-3], loader, epochs)
    seconds = time.time() - start
    network.eval()
    right = {}
    with torch.inference_mode():
        for (path, label), (image, _) in zip(held_out.samples, held_out):
            guess = network(image[None].to(memory_format=torch.channels_last)).argmax().item()
            right["/".join(pathlib.Path(path).parts[-2:])] = guess == label
    print(json.dumps({"seconds": seconds, "right": right}))


main()
