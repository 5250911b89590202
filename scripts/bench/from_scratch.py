"""How fast networks learn from scratch on little data: effnet beside PyTorch's packages.

    from_scratch.py CIFAR10.tar [--effnet EFFNET_TORCH] [--classes 3] [--images 150] [--epochs 8] [--seeds 1 2 3]
        [--contenders NAME...] [--flags "FLAGS OF effnet train"]

CIFAR10.tar has train/CLASS/*.jpg and test/CLASS/*.jpg of 32 x 32 pixels. Each contender trains B0 at 64 pixels on the same
images: AdamW at 2e-3 with one-cycle, weight decay 0.05, batches of 16, random crops of half the area and more, flips, no
label smoothing, batch-norm momentum 0.1 (with the 0.01 of efficientnet_pytorch, statistics do not follow such short runs:
every image gets the same class), and the momentum cycle of OneCycleLR. The packages run in one loop of PyTorch; effnet runs
`effnet train` with the same settings, unless --flags change them. A contender
`PACKAGE:pytorch` or `PACKAGE:tensorflow` replaces the package's initial values by those of the other. Prints a line of
JSON per run: top-1 after the last epoch, and the seconds of the run.
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import time

import torch
import torchvision
from torch import nn
from torchvision.transforms import v2

SIDE, BATCH, RATE, DECAY = 64, 16, 2e-3, 0.05
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def unpacked(archive, folder, classes, images):
    """The first images of the first classes, as folders `train` and `val`."""
    names = {}
    with tarfile.open(archive) as file:
        for member in sorted((one for one in file.getmembers() if one.isfile()), key=lambda one: one.name):
            split, class_, name = pathlib.PurePosixPath(member.name).parts[-3:]
            most = images if split == "train" else 60 if classes < 10 else 100
            taken = names.setdefault(split, {}).setdefault(class_, [])
            if sorted(names[split]).index(class_) >= classes or len(taken) >= most:
                continue
            taken.append(name)
            to = folder / ("train" if split == "train" else "val") / class_ / name
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(file.extractfile(member).read())


def network(name, classes):
    package, _, init = name.partition(":")
    if package == "efficientnet_pytorch":
        from efficientnet_pytorch import EfficientNet

        made = EfficientNet.from_name("efficientnet-b0", num_classes=classes, image_size=SIDE)
    elif package == "timm":
        import timm

        made = timm.create_model("efficientnet_b0", num_classes=classes)
    elif package == "torchvision":
        made = torchvision.models.efficientnet_b0(num_classes=classes)
    else:
        sys.exit(f"{name}: no such contender")
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.1
        if isinstance(module, (nn.Conv2d, nn.Linear)) and init == "pytorch":
            module.reset_parameters()
        elif isinstance(module, nn.Conv2d) and init == "tensorflow":
            outputs = module.out_channels * math.prod(module.kernel_size) // module.groups
            nn.init.normal_(module.weight, 0, math.sqrt(2 / outputs))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear) and init == "tensorflow":
            nn.init.uniform_(module.weight, -(module.out_features**-0.5), module.out_features**-0.5)
            nn.init.zeros_(module.bias)
    return made


def trained(name, folder, seed, epochs):
    """The top-1 of a package after the last epoch, in percent."""
    torch.manual_seed(seed)
    tensor = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
    crop = v2.RandomResizedCrop(SIDE, scale=(0.5, 1), interpolation=v2.InterpolationMode.BICUBIC)
    train = v2.Compose([crop, v2.RandomHorizontalFlip(), *tensor])
    check = v2.Compose([v2.Resize(SIDE, interpolation=v2.InterpolationMode.BICUBIC), *tensor])
    sets = [torchvision.datasets.ImageFolder(folder / part, by) for part, by in (("train", train), ("val", check))]
    batches = torch.utils.data.DataLoader(sets[0], BATCH, shuffle=True, drop_last=True)
    model = network(name, len(sets[0].classes)).to(memory_format=torch.channels_last)
    decayed = [one for one in model.parameters() if one.ndim > 1]
    others = [one for one in model.parameters() if one.ndim <= 1]
    groups = [{"params": decayed}, {"params": others, "weight_decay": 0}]
    optimizer = torch.optim.AdamW(groups, RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, epochs * len(batches))
    for _ in range(epochs):
        model.train()
        for images, labels in batches:
            images = images.to(memory_format=torch.channels_last)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
            schedule.step()
    model.eval()
    right = 0
    with torch.inference_mode():
        for images, labels in torch.utils.data.DataLoader(sets[1], 64):
            right += (model(images).argmax(1) == labels).sum().item()
    return 100 * right / len(sets[1])


def trained_by_effnet(program, flags, folder, seed, epochs, runs):
    run = pathlib.Path(runs) / f"{seed}-{time.monotonic_ns()}"
    settings = {
        "image-size": SIDE,
        "batch-size": BATCH,
        "epochs": epochs,
        "lr": RATE,
        "weight-decay": DECAY,
        "crop-scale": 0.5,
        "crop-pct": 1,
        "label-smoothing": 0,
        "bn-momentum": 0.1,
        "cycle-momentum": "true",
        "seed": seed,
        "output": run,
    }
    given = {flag.partition("=")[0] for flag in flags}
    own = [f"--{name}={value}" for name, value in settings.items() if f"--{name}" not in given]
    subprocess.run([program, "train", folder, "--quiet", *own, *flags], check=True, stdout=subprocess.DEVNULL)
    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return 100 * [record for record in records if record["record"] == "epoch"][-1]["validation"]["top1"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("archive", type=pathlib.Path)
    parser.add_argument("--effnet", help="the program effnet-torch")
    parser.add_argument("--classes", type=int, default=3)
    parser.add_argument("--images", type=int, default=150)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--contenders", nargs="*", default=["efficientnet_pytorch", "timm", "torchvision"])
    parser.add_argument("--flags", action="append", default=[], help="one more run of effnet, with these flags")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        unpacked(arguments.archive, folder / "data", arguments.classes, arguments.images)
        effnet = [f"effnet {flags}".strip() for flags in arguments.flags] if arguments.effnet else []
        for seed in arguments.seeds:
            for name in arguments.contenders + effnet:
                start = time.monotonic()
                if name.startswith("effnet"):
                    flags = [*name.split()[1:], f"--threads={arguments.threads}"]
                    top1 = trained_by_effnet(arguments.effnet, flags, folder / "data", seed, arguments.epochs, folder)
                else:
                    top1 = trained(name, folder / "data", seed, arguments.epochs)
                line = {"contender": name, "seed": seed, "top1": round(top1, 1), "seconds": round(time.monotonic() - start)}
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
