"""The measurement of scripts/bench/classify-folder: runs alternate, memory is that of all processes."""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import threading
import time

EXTENSIONS = {".jpg", ".jpeg", ".png"}


def fill(folder, photos, count):
    """Writes `count` separate files, not links, so that the page cache behaves as with real photos."""
    folder.mkdir()
    for index in range(count):
        source = photos[index % len(photos)]
        (folder / f"{index:05}{source.suffix}").write_bytes(source.read_bytes())


def resident(process):
    """Bytes of a process and its children, with shared pages counted once."""
    total = 0
    for child in children(process):
        try:
            with open(f"/proc/{child}/smaps_rollup") as lines:
                total += sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
        except OSError:
            pass  # it has exited
    return total


def children(process):
    found = [process]
    for parent in found:
        try:
            with open(f"/proc/{parent}/task/{parent}/children") as line:
                found += [int(child) for child in line.read().split()]
        except OSError:
            pass
    return found


def run(command, environment):
    """Seconds, peak bytes, and the standard output's lines."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
    peak, done = [0], threading.Event()

    def watch():
        while not done.wait(0.2):
            peak[0] = max(peak[0], resident(process.pid))

    watcher = threading.Thread(target=watch)
    watcher.start()
    lines = process.stdout.read().splitlines()
    code = process.wait()
    seconds = time.perf_counter() - start
    done.set()
    watcher.join()
    if code != 0:
        sys.exit(f"{command[0]} exited with {code}")
    return seconds, peak[0], lines


def first_classes(lines):
    records = [json.loads(line) for line in lines]
    return [r["classes"][0] if "classes" in r else r["predictions"][0]["class"] for r in records]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--photos", required=True, type=pathlib.Path)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--many", type=int, default=10, help="how many times larger the large folder is")
    options = parser.parse_args()
    photos = sorted(p for p in options.photos.rglob("*") if p.suffix.lower() in EXTENSIONS)
    small, large = options.work / "small", options.work / "large"
    fill(small, photos, options.count)
    peer = os.path.join(os.path.dirname(os.path.abspath(__file__)), "classify_folder.py")
    ours = [options.binary, "classify", "--weights", options.weights, "--format", "json", "--device", "cpu"]
    theirs = [sys.executable, peer, options.weights]
    environment = dict(os.environ, OMP_NUM_THREADS="2")
    # The preprocessing of the Python script; torchvision's for B0 resizes to 256 too.
    ours += ["--image-size", "224", "--crop-pct", "0.875", "--interpolation", "bicubic"]
    contenders = {
        "effnet fp32": ours + ["--precision", "fp32"],
        "effnet bf16": ours + ["--precision", "bf16"],
        "Python": theirs,
    }
    results = {name: [] for name in contenders}
    classes = {}
    for _ in range(options.rounds):
        for name, command in contenders.items():
            seconds, peak, lines = run([*command, str(small)], environment)
            results[name].append((options.count / seconds, peak))
            classes[name] = first_classes(lines)
    right = sum(a == b for a, b in zip(classes["effnet fp32"], classes["Python"]))
    print(f"{options.count} photos; effnet fp32 and Python agree on the class of {right}")
    reference = statistics.median(rate for rate, _ in results["Python"])
    memory = statistics.median(peak for _, peak in results["Python"])
    for name, runs in results.items():
        rates, peaks = zip(*runs)
        rate, peak = statistics.median(rates), statistics.median(peaks)
        print(f"{name:<12} {rate:6.1f} images/s ({min(rates):.1f} to {max(rates):.1f}), {rate / reference:.2f} "
              f"times Python's; peak {peak / 2**20:.0f} MiB, {peak / memory:.2f} times Python's")
    if options.many > 1:
        large.mkdir()
        for copy in range(options.many):
            for path in small.iterdir():
                os.link(path, large / f"{copy}-{path.name}")
        seconds, peak, lines = run([*contenders["effnet fp32"], str(large)], environment)
        print(f"{len(lines)} photos: effnet fp32 {len(lines) / seconds:.1f} images/s, peak {peak / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
