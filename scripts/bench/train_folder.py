"""The measurement of scripts/bench/train-folder: the contenders take turns, each in its own process."""

import argparse
import csv
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys

BATCH = 32
EPOCHS = 2


def fill(folder, photos, count):
    """`count` photos in two class folders."""
    for name in ("even", "odd"):
        (folder / name).mkdir(parents=True)
    for index in range(count):
        source = photos[index % len(photos)]
        shutil.copy(source, folder / ("even", "odd")[index % 2] / f"{index:05}{source.suffix}")


def rate(command, environment, run):
    """Images per second of the last epoch: those that the loop of PyTorch prints, or those in the folder of effnet's `run`."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode == 0 and run.exists():
        with open(run / "results.csv", newline="") as file:
            rates = [row["images_per_second"] for row in csv.DictReader(file)]
    else:
        rates = re.findall(r"([\d.]+) images/s", done.stdout)
    if done.returncode != 0 or len(rates) < EPOCHS:
        sys.exit(f"{command[0]} exited with {done.returncode}:\n{done.stderr}")
    return float(rates[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--photos", required=True, type=pathlib.Path)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--augment", choices=("none", "imagenet", "randaugment"), default="randaugment")
    options = parser.parse_args()
    photos = sorted(path for path in options.photos.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg"})
    data, output = options.work / "data", options.work / "run"
    fill(data, photos, options.images)
    peer = os.path.join(os.path.dirname(os.path.abspath(__file__)), "train_folder_peer.py")
    ours = [options.binary, "train", data, "--output", output, "--model", "b0", "--image-size", "224", "--val-split", "0",
            "--epochs", EPOCHS, "--batch-size", BATCH, "--optimizer", "sgd", "--lr", "0.01", "--augment", options.augment,
            "--mixup", "0", "--cutmix", "0", "--ema", "0", "--color-jitter", "0", "--erasing", "0"]
    theirs = [sys.executable, peer, data, options.augment, BATCH, EPOCHS]
    contenders = {
        f"{name} {precision}": [str(part) for part in [*command, *rest]]
        for precision in ("fp32", "bf16")
        for name, command, rest in (("effnet", ours, ("--precision", precision)), ("torchvision", theirs, (precision,)))
    }
    environment = dict(os.environ, OMP_NUM_THREADS="2")
    rates = {name: [] for name in contenders}
    for _ in range(options.rounds):
        for name, command in contenders.items():
            rates[name].append(rate(command, environment, output))
            shutil.rmtree(output, ignore_errors=True)
    for name, values in rates.items():
        print(f"{name:17} {statistics.median(values):6.1f} images/s ({min(values):.1f} to {max(values):.1f})")
    for precision in ("fp32", "bf16"):
        ours, theirs = (statistics.median(rates[f"{name} {precision}"]) for name in ("effnet", "torchvision"))
        print(f"{precision}: {ours / theirs:.2f} times the images/s of torchvision")


if __name__ == "__main__":
    main()
