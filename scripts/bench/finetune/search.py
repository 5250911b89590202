"""Accuracy of `effnet finetune` with different settings, and of the tools it is compared with: a line of JSON per run.

    search.py --effnet EFFNET_TORCH --weights LITE0 --data FLOWERS INSECTS... --output RESULTS.jsonl
        [--cifar CIFAR10.tar --images 20 100] [--half search|final|folds] [--seeds 1 2 3] [--epochs 6] [--contenders anchor "effnet" "effnet --lr 0.001"...]
        [--threads 2] [--timm-weights LITE0_TIMM] [--timm TRAIN_PY] [--fastai PYTHON]

The contenders, each with flags of its own if wanted: `effnet` is `effnet finetune`; `anchor` the plain loop in anchor.py;
`fastai` the one of its documentation (fastai_loop.py, run by the Python that --fastai names); `timm` its repository's
train.py (--timm), with batches of 32, one epoch of warm-up and its maintainer's advice for another data set (issue 25 of
pytorch-image-models): RMSProp as for training from scratch at a tenth of its rate, 0.1 * 0.016 * batch / 256, unless the
flags say otherwise. The last two read the weights in timm's names (`effnet convert --to timm`).

Each of --data is a folder with train/ and val/, each with a folder per class. --cifar adds CIFAR-10 with the first IMAGES
of each class to train on, and 100 of each in val/ (from_scratch.py has its layout). Every other image of val/ is for the search,
the others for the final comparison, which the choice of settings never sees. In both, the images of the search serve as
validation images of effnet's runs (for the best epoch and for early stopping); the others have none; accuracy is measured on the half that --half
names, for effnet by `effnet evaluate` with the best weights of the run, for the others after the last epoch. `--half folds`
measures on images of train/ instead, which none of the choices saw: seed 1 on every fifth from the first on, without
training on them, seed 2 on every fifth from the second on, and so on to seed 5, after which each was measured once. All have
the same number of epochs; the first of anchor and fastai trains only the head. A run that is in RESULTS already is skipped, so
an interrupted search continues: runs.jsonl has the latest ones. The processor's seconds (cpu_seconds) grow less than the
clock's when something else runs; compare them on an idle machine all the same.

    search.py --report RESULTS.jsonl

prints the mean accuracy of each contender and data set, with the pairs of images that only one of it and the first
contender has right.
"""

import argparse
import collections
import csv
import json
import math
import os
import pathlib
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent


FOLDS = 5


def halves(data, folder, fold):
    """Links the images of `data`: train, search and final, and those of the fold, if there is one, which train lacks."""
    for split in ("train", "val"):
        for class_ in sorted(path for path in (data / split).iterdir() if path.is_dir()):
            for number, image in enumerate(sorted(class_.iterdir())):
                if split == "train":
                    to = "folds" if number % FOLDS == fold else "train"
                else:
                    to = ("search", "final")[number % 2]
                link = folder / to / class_.name / image.name
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(image.resolve())
    # What `finetune` sees.
    (folder / "seen").mkdir()
    (folder / "seen/train").symlink_to(folder / "train")
    (folder / "seen/val").symlink_to(folder / "search")


def first_of_cifar(archive, folder, images):
    """The first images of each class of CIFAR-10."""
    # Here, since it imports torch, which --report does not need.
    sys.path.insert(0, str(HERE.parent))
    from from_scratch import unpacked

    unpacked(archive, folder, 10, images)


def effnet(arguments, flags, folder, seed):
    run = folder / "run"
    environment = os.environ | {"OMP_NUM_THREADS": str(arguments.threads)}
    start = time.time()
    weights = [] if "--weights" in flags else ["--weights", arguments.weights]
    command = [arguments.effnet, "finetune", folder / "seen", *weights, "--output", run]
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
    records = [json.loads(line) for line in open(run / "log.jsonl")]
    history = [record["validation"]["top1"] for record in records if record["record"] == "epoch"]
    likelihood = [-math.log(max(float(row["probability " + row["label"]]), 1e-9)) for row in rows]
    return {"seconds": seconds, "right": right, "history": history, "nll": statistics.mean(likelihood)}


def loop(command, weights, arguments, folder, seed):
    """Runs one of the loops in Python beside this file, which print the line that is wanted."""
    command = [*command, weights, folder / "train", folder / arguments.half, str(seed)]
    command += [str(arguments.epochs - 1), str(arguments.threads)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def timm(arguments, flags, folder, seed):
    environment = os.environ | {"OMP_NUM_THREADS": str(arguments.threads), "PYTHONPATH": str(arguments.timm.parent)}
    classes = sorted(path.name for path in (folder / "train").iterdir())
    command = [sys.executable, arguments.timm, "--data-dir", folder, "--train-split", "train", "--val-split", arguments.half]
    command += ["--model", "tf_efficientnet_lite0", "--pretrained", "--pretrained-path", arguments.timm_weights]
    command += ["--num-classes", str(len(classes)), "--device", "cpu", "--workers", "2", "-b", "32", "--seed", str(seed)]
    command += ["--epochs", str(arguments.epochs), "--warmup-epochs", "1", "--crop-pct", "0.875", "--channels-last"]
    command += ["--val-interval", "1000", "--output", folder / "timm", "--experiment", "run"]
    command += flags or ["--opt", "rmsproptf", "--opt-eps", "0.001", "--lr", str(0.1 * 0.016 * 32 / 256)]
    start = time.time()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds = time.time() - start
    command = [sys.executable, HERE / "timm_answers.py", folder / "timm/run/last.pth.tar", folder / arguments.half]
    done = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    return {"seconds": seconds, "right": json.loads(done.stdout.splitlines()[-1])}


def contend(contender, arguments, folder, seed):
    name, *flags = shlex.split(contender)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    if name == "anchor":
        result = loop([sys.executable, HERE / "anchor.py"], arguments.weights, arguments, folder, seed)
    elif name == "fastai":
        result = loop([arguments.fastai, HERE / "fastai_loop.py"], arguments.timm_weights, arguments, folder, seed)
    elif name == "timm":
        result = timm(arguments, flags, folder, seed)
    else:
        result = effnet(arguments, flags, folder, seed)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    right = result.pop("right")
    result |= {"images": len(right), "wrong": sorted(image for image, is_right in right.items() if not is_right)}
    result |= {"cpu_seconds": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}
    return {key: round(value, 4) if isinstance(value, float) else value for key, value in result.items()}


def report(path):
    runs = [json.loads(line) for line in open(path)]
    by = collections.defaultdict(dict)
    for run in runs:
        by[run["data"], run["half"], run["epochs"]].setdefault(run["contender"], {})[run["seed"]] = run
    for (data, half, epochs), contenders in by.items():
        print(f"\n{data}, {half}, {epochs} epochs")
        first = next(iter(contenders.values()))
        for name, seeds in contenders.items():
            scores = [100 * (1 - len(run["wrong"]) / run["images"]) for run in seeds.values()]
            seconds = statistics.median(run.get("cpu_seconds", run["seconds"]) for run in seeds.values())
            pairs = [0, 0]
            for seed in seeds.keys() & first.keys():
                wrong, other = set(seeds[seed]["wrong"]), set(first[seed]["wrong"])
                pairs[0] += len(other - wrong)
                pairs[1] += len(wrong - other)
            shown = " ".join(f"{score:.1f}" for score in scores)
            likelihoods = [run["nll"] for run in seeds.values() if "nll" in run]
            likelihood = f"NLL {statistics.mean(likelihoods):.3f}" if likelihoods else ""
            print(
                f"{statistics.mean(scores):6.2f}  {seconds:6.1f} s of processors  +{pairs[0]} -{pairs[1]}  {name}  ({shown})"
                f"  {likelihood}"
            )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--report", type=pathlib.Path)
    parser.add_argument("--effnet")
    parser.add_argument("--weights")
    parser.add_argument("--timm-weights")
    parser.add_argument("--timm", type=pathlib.Path)
    parser.add_argument("--fastai", default=sys.executable)
    parser.add_argument("--data", nargs="+", action="extend", type=pathlib.Path, default=[])
    parser.add_argument("--cifar", type=pathlib.Path)
    parser.add_argument("--images", nargs="+", type=int, default=[20, 100])
    parser.add_argument("--output", type=pathlib.Path)
    parser.add_argument("--half", choices=["search", "final", "folds"], default="search")
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
    sets = {data.name: data for data in arguments.data}
    if arguments.cifar:
        sets |= {f"cifar10-{images}": images for images in arguments.images}
    for seed in arguments.seeds:
        for name, data in sets.items():
            for contender in arguments.contenders:
                this = dict(zip(key, (name, arguments.half, seed, arguments.epochs, contender)))
                if tuple(this.values()) in done:
                    continue
                with tempfile.TemporaryDirectory() as folder:
                    folder = pathlib.Path(folder)
                    images = data
                    if isinstance(data, int):
                        images = folder / name
                        first_of_cifar(arguments.cifar, images, data)
                    halves(images, folder, (seed - 1) % FOLDS if arguments.half == "folds" else None)
                    result = contend(contender, arguments, folder, seed)
                with open(arguments.output, "a") as file:
                    file.write(json.dumps(this | result) + "\n")


main()
