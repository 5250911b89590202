"""Accuracy of `effnet finetune` with different settings, and of the loop in anchor.py: a line of JSON per run.

    search.py --effnet EFFNET_TORCH --weights LITE0 --data FLOWERS INSECTS... --output RESULTS.jsonl
        [--half search|final] [--seeds 1 2 3] [--epochs 6] [--contenders anchor "effnet" "effnet --lr 0.001"...]
        [--threads 2]

Each of --data is a folder with train/ and val/, each with a folder per class. Every other image of val/ is for the search,
the others for the final comparison, which the choice of settings never sees. In both, the images of the search serve as
validation images of the runs (for the best epoch and for early stopping); accuracy is measured on the half that --half
names, by `effnet evaluate` with the best weights of the run. The anchor's epochs are the same number, of which the first
trains only its head. A run that is in RESULTS already is skipped, so an interrupted search continues.

    search.py --report RESULTS.jsonl

prints the mean accuracy of each contender and data set, with the pairs of images that only one of it and the first
contender has right.
"""

import argparse
import collections
import csv
import json
import os
import pathlib
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent


def halves(data, folder):
    """Links the images of `data`: train, search and final."""
    for split in ("train", "val"):
        for class_ in sorted(path for path in (data / split).iterdir() if path.is_dir()):
            for number, image in enumerate(sorted(class_.iterdir())):
                to = "train" if split == "train" else ("search", "final")[number % 2]
                link = folder / to / class_.name / image.name
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(image.resolve())
    # What `finetune` sees.
    (folder / "seen").mkdir()
    (folder / "seen/train").symlink_to(folder / "train")
    (folder / "seen/val").symlink_to(folder / "search")


def effnet(arguments, flags, folder, seed):
    run = folder / "run"
    environment = os.environ | {"OMP_NUM_THREADS": str(arguments.threads)}
    start = time.time()
    command = [arguments.effnet, "finetune", folder / "seen", "--weights", arguments.weights, "--output", run]
    command += ["--epochs", str(arguments.epochs), "--seed", str(seed), "--report", "false", "--quiet", *flags]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    seconds = time.time() - start
    predictions = folder / "predictions.csv"
    command = [arguments.effnet, "evaluate", folder / arguments.half, "--weights", run / "best.safetensors", "--all"]
    command += ["--predictions", predictions, "--quiet"]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    with open(predictions, newline="") as file:
        rows = list(csv.DictReader(file))
    right = {"/".join(pathlib.Path(row["input"]).parts[-2:]): row["label"] == row["prediction"] for row in rows}
    epochs = [json.loads(line) for line in open(run / "log.jsonl") if '"epoch"' in line]
    history = [record["val_top1"] for record in epochs if "val_top1" in record]
    return {"seconds": seconds, "right": right, "history": history}


def anchor(arguments, folder, seed):
    command = [sys.executable, HERE / "anchor.py", arguments.weights, folder / "train", folder / arguments.half, str(seed)]
    command += [str(arguments.epochs - 1), str(arguments.threads)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def report(path):
    runs = [json.loads(line) for line in open(path)]
    by = collections.defaultdict(dict)
    for run in runs:
        by[run["data"], run["half"], run["epochs"]].setdefault(run["contender"], {})[run["seed"]] = run
    for (data, half, epochs), contenders in by.items():
        print(f"\n{data}, {half}, {epochs} epochs")
        first = next(iter(contenders.values()))
        for name, seeds in contenders.items():
            scores = [100 * sum(run["right"].values()) / len(run["right"]) for run in seeds.values()]
            seconds = statistics.median(run["seconds"] for run in seeds.values())
            pairs = [0, 0]
            for seed, run in seeds.items():
                for image, right in run["right"].items():
                    other = first.get(seed, {"right": {}})["right"].get(image, right)
                    pairs[0] += right and not other
                    pairs[1] += other and not right
            shown = " ".join(f"{score:.1f}" for score in scores)
            print(f"{statistics.mean(scores):6.2f}  {seconds:6.1f} s  +{pairs[0]} -{pairs[1]}  {name}  ({shown})")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--report", type=pathlib.Path)
    parser.add_argument("--effnet")
    parser.add_argument("--weights")
    parser.add_argument("--data", nargs="+", type=pathlib.Path, default=[])
    parser.add_argument("--output", type=pathlib.Path)
    parser.add_argument("--half", choices=["search", "final"], default="search")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--contenders", nargs="+", default=["anchor", "effnet"])
    arguments = parser.parse_args()
    if arguments.report:
        return report(arguments.report)
    done = set()
    key = ("data", "half", "seed", "epochs", "contender")
    if arguments.output.exists():
        done = {tuple(json.loads(line)[part] for part in key) for line in open(arguments.output)}
    for seed in arguments.seeds:
        for data in arguments.data:
            for contender in arguments.contenders:
                this = dict(zip(key, (data.name, arguments.half, seed, arguments.epochs, contender)))
                if tuple(this.values()) in done:
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    folder = pathlib.Path(folder)
                    halves(data, folder)
                    if contender == "anchor":
                        result = anchor(arguments, folder, seed)
                    else:
                        result = effnet(arguments, shlex.split(contender)[1:], folder, seed)
                with open(arguments.output, "a") as file:
                    file.write(json.dumps(this | result) + "\n")


main()
