"""Time and memory of a training step of effnet and of its peers on this machine, in interleaved rounds.

Every contender trains the same network (random weights and images; cross-entropy, SGD with momentum,
dropout and drop connect) in its own process with the same number of threads. The contenders take turns,
one step each, after a pause in which the threads of the previous one go to sleep. Memory is the peak of
the process in main memory, libraries included. tests/tests/training tests that effnet's steps compute the same as
theirs. On a CUDA device, images and labels lie there already, and each step ends with its loss in main memory.
"""

import argparse
import datetime
import importlib.metadata
import os
import statistics
import subprocess
import sys
import time

import trainer

PAUSE = 0.1
PACKAGES = ("torch", "torchvision", "timm", "efficientnet_pytorch")


class Contender:
    """A process that answers each line with a time."""

    def __init__(self, command, environment):
        self.times = []
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        answer = self.process.stdout.readline().split()
        if answer[:1] != ["ready"]:
            raise RuntimeError(f"exited with {self.process.wait()}")
        self.first = float(answer[1])

    def turn(self):
        time.sleep(PAUSE)
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.times.append(float(self.process.stdout.readline()))

    def peak(self):
        """Peak memory in MiB."""
        with open(f"/proc/{self.process.pid}/status") as lines:
            return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def start(options, name, precision):
    environment = dict(os.environ, OMP_NUM_THREADS=str(options.threads))
    shape = [options.variant, str(options.batch), str(options.size)]
    if name == "effnet":
        environment |= {"EFFNET_SERVE": "1", "EFFNET_THREADS": str(options.threads), "EFFNET_DEVICE": options.device}
        return Contender([options.binary, *shape, "1", precision], environment)
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "trainer.py")
    return Contender(
        [sys.executable, script, name, precision, *shape, str(options.threads), options.device], environment)


def cpu_name():
    with open("/proc/cpuinfo") as lines:
        fields = dict(map(str.strip, line.split(":", 1)) for line in lines if ":" in line)
    flags = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in fields.get("flags", "").split()]
    return f"{fields.get('model name', '?')} ({', '.join(flags)})"


def machine(device):
    if device == "cpu":
        return cpu_name()
    import torch

    return torch.cuda.get_device_name(device)


def version(package):
    """Empty for a package that only a contender needs that is left out."""
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return ""


def measure(options, precision, write):
    running = {}
    names = trainer.NAMES if options.device == "cpu" else trainer.DEVICE_NAMES
    for name in ("effnet", *names):
        if not any(skipped in name for skipped in options.skip):
            running[name] = start(options, name, precision)
    for _ in range(options.rounds):
        for contender in running.values():
            contender.turn()
    write(f"\n## {options.variant.upper()}, batch {options.batch}, {options.size} px, {precision}\n")
    write("| | median ms | p10 - p90 | images/s | time / effnet's | peak MiB | memory / effnet's | first step, s |")
    write("|---|---|---|---|---|---|---|---|")
    ours = running["effnet"]
    digits = 0 if statistics.median(ours.times) >= 100 else 1
    for name, contender in running.items():
        median, decile = statistics.median(contender.times), statistics.quantiles(contender.times, n=10, method="inclusive")
        write(f"| {name} | {median:.{digits}f} | {decile[0]:.{digits}f} - {decile[-1]:.{digits}f} | {1e3 * options.batch / median:.1f} "
              f"| {median / statistics.median(ours.times):.2f} | {contender.peak():.0f} "
              f"| {contender.peak() / ours.peak():.2f} | {contender.first / 1e3:.1f} |")
    for contender in running.values():
        contender.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True, help="the example `step_time`, built in release mode")
    parser.add_argument("--variant", default="b0")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu", help="cpu or cuda:N [%(default)s]")
    parser.add_argument("--skip", nargs="*", default=[], help="skip contenders whose name contains one of these")
    parser.add_argument("--output", help="file for the table")
    options = parser.parse_args()
    lines = []

    def write(line):
        lines.append(line)
        print(line, flush=True)

    versions = ", ".join(filter(None, map(version, PACKAGES)))
    write("# Training steps of effnet and its peers\n")
    write(f"Written by `scripts/bench/train-peers/run` on {datetime.date.today()}. {machine(options.device)}; "
          f"{options.threads} threads. {versions}.\n")
    write(__doc__.split("\n\n")[1].replace("\n", " "))
    for precision in options.precisions:
        measure(options, precision, write)
    if options.output:
        with open(options.output, "w") as file:
            file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
