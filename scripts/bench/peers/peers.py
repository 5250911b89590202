"""Latency of effnet and of its peers on this machine, in interleaved rounds.

Every contender runs in its own process with the same weights (random, with the batch statistics of
smooth images, so that the logits depend on the input), the same batch and the same number of threads,
and is checked against efficientnet_pytorch in 32 bits before it is timed. The contenders take turns in
rounds. A turn is a pause in which the threads of the previous contender go to sleep, one warm-up call,
and a few timed calls. int8 is quantized by NNCF (preset MIXED) and by ONNX Runtime (QDQ, per
channel), calibrated with 32 such images, and compared with the faster of effnet's precisions. Prints a
Markdown table, and writes it to a file if asked.
"""

import argparse
import datetime
import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np
import torch
from safetensors.torch import save_file

import contenders

# int8 is a different network: its error is shown, not judged.
TOLERANCE = {"fp32": 1e-3, "bf16": 1e-1, "int8": 10.0}
PAUSE = 0.1
NAMES = [
    ("effnet", "fp32"),
    ("effnet plain", "fp32"),
    ("OpenVINO", "fp32"),
    ("ONNX Runtime", "fp32"),
    ("torch.compile", "fp32"),
    ("timm channels_last", "fp32"),
    ("timm", "fp32"),
    ("torchvision", "fp32"),
    ("torchvision channels_last", "fp32"),
    ("efficientnet_pytorch", "fp32"),
    ("effnet", "bf16"),
    ("OpenVINO", "bf16"),
    ("torch.compile", "bf16"),
    ("timm channels_last", "bf16"),
    ("OpenVINO", "int8"),
    ("ONNX Runtime", "int8"),
]


class Contender:
    """A process that answers each line with a time."""

    def __init__(self, command, environment, output, quiet):
        self.output = output
        self.times = []
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if quiet else None, text=True
        )
        if not self.process.stdout.readline().startswith("ready"):
            self.process.wait()
            raise RuntimeError(f"exited with {self.process.returncode}")

    def logits(self):
        return np.fromfile(self.output, dtype=np.float32)

    def milliseconds(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def turn(self, budget):
        """One warm-up call, then as many as fit into `budget` milliseconds, at most five."""
        time.sleep(PAUSE)
        calls = max(1, min(5, int(budget / self.milliseconds())))
        self.times += [self.milliseconds() for _ in range(calls)]

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def busy_seconds():
    """Processor time of the whole machine, on all cores, without idle time."""
    with open("/proc/stat") as file:
        user, nice, system, _, _, interrupt, soft_interrupt, stolen = map(int, file.readline().split()[1:9])
    return (user + nice + system + interrupt + soft_interrupt + stolen) / os.sysconf("SC_CLK_TCK")


def time_in_rounds(options, contenders):
    """Gives every contender its turns; returns how many cores other processes used meanwhile."""
    def others():
        return busy_seconds() - sum(contender.cpu_seconds() for contender in contenders)

    start, before = time.monotonic(), others()
    for _ in range(options.rounds):
        for contender in contenders:
            contender.turn(options.budget)
    return (others() - before) / (time.monotonic() - start)


def smooth(count, size):
    layers = (torch.randn(count, 3, side, side) for side in (2, 5, 11))
    return sum(torch.nn.functional.interpolate(layer, (size, size), mode="bicubic") for layer in layers)


def last_norms(network):
    """The last batch norm of each residual branch."""
    if hasattr(network, "_blocks"):
        for block in network._blocks:
            arguments = block._block_args
            if block.id_skip and block._depthwise_conv.stride == (1, 1) and \
                    arguments.input_filters == arguments.output_filters:
                yield block._bn2
    else:
        for block in (block for stage in network.blocks for block in stage if block.has_skip):
            yield [module for module in block.modules() if isinstance(module, torch.nn.BatchNorm2d)][-1]


def calibrated(variant, size):
    """Random weights with measured batch statistics. Residual branches are scaled down, as training
    would do: at full strength, a deep random network amplifies rounding a hundredfold."""
    network = contenders.original(variant)
    for norm in last_norms(network):
        torch.nn.init.constant_(norm.weight, 0.2)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
            module.reset_running_stats()
    with torch.no_grad():
        network.train()(smooth(4, size))
    return network.eval()


def symmetric(variant, weights, images):
    """The expected logits of torchvision: those of timm's network with the same padding and eps."""
    import timm

    network = timm.create_model(contenders.timm_name(variant)).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 1e-3 if variant in ("b5", "b6", "b7") or variant.startswith("v2-") else 1e-5
    with torch.no_grad():
        return contenders.with_weights(network, weights)(images).numpy()


def start(options, folder, variant, batch, name, precision):
    weights, source = (os.path.join(folder, file) for file in (f"{variant}.safetensors", "input.bin"))
    output = os.path.join(folder, f"{name}-{precision}.bin".replace(" ", "-"))
    environment = dict(os.environ, OMP_NUM_THREADS=str(options.threads))
    if name.startswith("effnet") and "_" not in name:
        engine = "plain" if name.endswith("plain") else "fused"
        command = [options.binary, variant, str(batch), str(contenders.SIZES[variant]), "1", precision, engine]
        environment.update(
            EFFNET_SERVE="1", EFFNET_THREADS=str(options.threads),
            EFFNET_WEIGHTS=weights, EFFNET_INPUT=source, EFFNET_OUTPUT=output)
    else:
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "contenders.py")
        command = [sys.executable, script, name, precision, variant, weights, source, output, str(options.threads)]
    return Contender(command, environment, output, options.quiet)


def measure(options, variant, batch, write):
    size = contenders.SIZES[variant]
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(5)
        network = calibrated(variant, size)
        weights = os.path.join(folder, f"{variant}.safetensors")
        save_file({name: t.contiguous() for name, t in network.state_dict().items()}, weights)
        images = smooth(batch, size).contiguous()
        images.numpy().tofile(os.path.join(folder, "input.bin"))
        with torch.no_grad():
            expected = network(images).numpy()
        del network
        running, errors = {}, {}
        for name, precision in NAMES:
            label = f"{name} {precision}"
            if any(skipped in label for skipped in options.skip) or not contenders.has(name, variant):
                continue
            right = symmetric(variant, weights, images) if name.startswith("torchvision") else expected
            try:
                contender = start(options, folder, variant, batch, name, precision)
                found = contender.logits().reshape(right.shape)
                error = float(np.abs(found - right).mean() / np.abs(right).mean())
                if not error <= TOLERANCE[precision]:
                    contender.close()
                    raise RuntimeError(f"the error of its logits is {error:.1e}")
                running[name, precision], errors[name, precision] = contender, error
            except Exception as error:  # a peer that fails is reported, and the others continue
                write(f"{variant} x{batch}, {name} {precision}: {error}".splitlines()[0])
        others = time_in_rounds(options, list(running.values()))
        report(variant, batch, running, errors, others, write)
        for contender in running.values():
            contender.close()


def own_times(running, precision):
    """The times of effnet that a contender is compared with. effnet has no int8: a user has its faster precision."""
    precisions = ("fp32", "bf16") if precision == "int8" else (precision,)
    own = [running["effnet", name].times for name in precisions if ("effnet", name) in running]
    return min(own, key=statistics.median, default=None)


def report(variant, batch, running, errors, others, write):
    write(f"\n## {variant.upper()}, batch {batch}, {contenders.SIZES[variant]} px\n")
    write(f"Other processes used {others:.2f} of a core.\n")
    write("| | median ms | p10 - p90 | calls | median / effnet's | p10 / effnet's | logit error |")
    write("|---|---|---|---|---|---|---|")
    for (name, precision), contender in running.items():
        values = contender.times
        decile = statistics.quantiles(values, n=10, method="inclusive")
        ours = own_times(running, precision) or values
        ratio = statistics.median(values) / statistics.median(ours)
        lower = decile[0] / statistics.quantiles(ours, n=10, method="inclusive")[0]
        write(f"| {name} {precision} | {statistics.median(values):.1f} | {decile[0]:.1f} - {decile[-1]:.1f} "
              f"| {len(values)} | {ratio:.2f} | {lower:.2f} | {errors[name, precision]:.0e} |")


def cpu_name():
    with open("/proc/cpuinfo") as lines:
        pairs = (line.split(":", 1) for line in lines if ":" in line)
        fields = {key.strip(): value.strip() for key, value in pairs}
    flags = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in fields.get("flags", "").split()]
    family, model = fields.get("cpu family", "?"), fields.get("model", "?")
    return f"{fields.get('model name', platform.machine())} (family {family}, model {model}: {', '.join(flags)})"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True, help="the example `latency`, built in release mode")
    parser.add_argument("--cases", nargs="+", default=[
        "b0:1", "b0:16", "b3:1", "b3:16", "b4:1", "b4:16", "b7:1", "lite0:1", "lite0:16", "v2-b0:1", "v2-b0:16",
        "v2-s:1", "v2-s:16"])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--budget", type=float, default=300, help="milliseconds per turn")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--skip", nargs="*", default=[], help="skip contenders whose name and precision contain one of these")
    parser.add_argument("--output", help="file for the table")
    parser.add_argument("--quiet", action="store_true", help="hide the stderr of contenders")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(options.threads)
    lines = []

    def write(line):
        lines.append(line)
        print(line, flush=True)

    packages = ("torch", "torchvision", "timm", "efficientnet_pytorch", "openvino", "onnxruntime", "nncf")
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in packages)
    write("# Latency of effnet and its peers\n")
    write(f"Written by `scripts/bench/peers/run` on {datetime.date.today()}. {cpu_name()}; {options.threads} threads.")
    write(f"{versions}.\n")
    write(__doc__.split("\n\n")[1].rsplit(". Prints", 1)[0].replace("\n", " ") + ".")
    for case in options.cases:
        variant, batch = case.split(":")
        measure(options, variant, int(batch), write)
    if options.output:
        with open(options.output, "w") as file:
            file.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
