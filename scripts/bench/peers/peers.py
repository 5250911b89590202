"""Latency of this project and of its peers on this machine, in interleaved rounds.

Every contender gets the same weights (random, with batch statistics of smooth images, so that the
logits depend on the input), the same batch and the same number of threads, and is held against
efficientnet_pytorch in 32 bits before it is timed. Prints a Markdown table.
"""

import argparse
import copy
import importlib.metadata
import os
import platform
import statistics
import sys
import tempfile
import warnings

import numpy as np
import torch
from safetensors.torch import save_file

import contenders

SIZES = {"b0": 224, "b1": 240, "b2": 260, "b3": 300, "b4": 380, "b5": 456, "b6": 528, "b7": 600}
TOLERANCE = {"fp32": 1e-3, "bf16": 5e-2}


def smooth(count, size):
    layers = (torch.randn(count, 3, side, side) for side in (2, 5, 11))
    return sum(torch.nn.functional.interpolate(layer, (size, size), mode="bicubic") for layer in layers)


def networks(variant, size, folder):
    """efficientnet_pytorch and timm with the same calibrated weights, which are also saved."""
    import timm
    from efficientnet_pytorch import EfficientNet

    reference = EfficientNet.from_name(f"efficientnet-{variant}")
    reference.set_swish(memory_efficient=False)
    for block in reference._blocks:
        if block.id_skip and block._block_args.stride == 1 and \
                block._block_args.input_filters == block._block_args.output_filters:
            torch.nn.init.constant_(block._bn2.weight, 0.2)
    for module in reference.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
            module.reset_running_stats()
    with torch.no_grad():
        reference.train()(smooth(4, size))
    reference.eval()
    state = reference.state_dict()
    save_file({name: t.contiguous() for name, t in state.items()}, os.path.join(folder, f"{variant}.safetensors"))
    other = timm.create_model(f"tf_efficientnet_{variant}").eval()
    names = list(other.state_dict())
    if [tuple(t.shape) for t in state.values()] != [tuple(t.shape) for t in other.state_dict().values()]:
        raise RuntimeError("timm lists its tensors in another order")
    other.load_state_dict(dict(zip(names, state.values())))
    return reference, other


def makers(options, variant, reference, timm_model, images, folder):
    fresh = lambda: copy.deepcopy(timm_model)
    own = lambda precision, engine: contenders.Program(
        options.binary, folder, variant, images, precision, engine, options.threads)
    return {
        ("effnet", "fp32"): lambda: own("fp32", "fused"),
        ("effnet", "bf16"): lambda: own("bf16", "fused"),
        ("effnet, plain", "fp32"): lambda: own("fp32", "plain"),
        ("OpenVINO", "fp32"): lambda: contenders.openvino(fresh(), images, "fp32", options.threads),
        ("OpenVINO", "bf16"): lambda: contenders.openvino(fresh(), images, "bf16", options.threads),
        ("ONNX Runtime", "fp32"): lambda: contenders.onnx_runtime(fresh(), images, folder, options.threads),
        ("timm channels_last", "fp32"): lambda: contenders.eager(fresh(), images, True),
        ("timm channels_last", "bf16"): lambda: contenders.eager(fresh(), images, True, True),
        ("efficientnet_pytorch", "fp32"): lambda: contenders.eager(reference, images),
        ("torch.compile", "fp32"): lambda: contenders.compiled(fresh(), images, False),
        ("torch.compile", "bf16"): lambda: contenders.compiled(fresh(), images, True),
    }


def checked(maker, precision, expected):
    contender = maker()
    found = contender.logits().reshape(expected.shape)
    error = float(np.abs(found - expected).mean() / np.abs(expected).mean())
    if not error <= TOLERANCE[precision]:
        contender.close()
        raise RuntimeError(f"its logits are off by {error:.1e}")
    return contender, error


def measure(options, variant, batch):
    size = SIZES[variant]
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(5)
        reference, timm_model = networks(variant, size, folder)
        images = smooth(batch, size).contiguous()
        with torch.no_grad():
            expected = reference(images).numpy()
        running = {}
        for (name, precision), maker in makers(options, variant, reference, timm_model, images, folder).items():
            if any(skipped in name for skipped in options.skip):
                continue
            try:
                running[name, precision] = checked(maker, precision, expected)
            except Exception as error:  # a peer that does not run is a row, not the end
                print(f"{variant} x{batch} {name} {precision}: {error}".splitlines()[0], file=sys.stderr)
        times = {key: [] for key in running}
        for turn in range(options.rounds + 2):
            for key, (contender, _) in running.items():
                elapsed = contender.milliseconds()
                if turn >= 2:
                    times[key].append(elapsed)
        report(options, variant, batch, running, times)
        for contender, _ in running.values():
            contender.close()


def report(options, variant, batch, running, times):
    print(f"\n{variant.upper()}, batch {batch}, {SIZES[variant]} px; load {os.getloadavg()[0]:.1f}\n")
    print("| | median ms | p10 | p90 | best | peer / effnet (medians) | (p10) | logits off by |")
    print("|---|---|---|---|---|---|---|---|")
    for (name, precision), values in times.items():
        decile = statistics.quantiles(values, n=10, method="inclusive")
        median = statistics.median(values)
        ours = times.get(("effnet", precision), values)
        ratios = (median / statistics.median(ours),
                  decile[0] / statistics.quantiles(ours, n=10, method="inclusive")[0])
        print(f"| {name} {precision} | {median:.1f} | {decile[0]:.1f} | {decile[-1]:.1f} | {min(values):.1f} "
              f"| {ratios[0]:.2f} | {ratios[1]:.2f} | {running[name, precision][1]:.0e} |", flush=True)


def cpu_name():
    with open("/proc/cpuinfo") as lines:
        return next((l.split(":")[1].strip() for l in lines if l.startswith("model name")), platform.machine())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", required=True, help="the example `latency`, built in release mode")
    parser.add_argument("--cases", nargs="+", default=["b0:1", "b0:16", "b3:1", "b3:16", "b4:1", "b4:16", "b7:1"])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--skip", nargs="*", default=[], help="parts of names of contenders to leave out")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(options.threads)
    packages = ("torch", "timm", "efficientnet_pytorch", "openvino", "onnxruntime")
    versions = ", ".join(f"{p} {importlib.metadata.version(p)}" for p in packages)
    print(f"{cpu_name()}, {options.threads} threads, {options.rounds} rounds; {versions}")
    for case in options.cases:
        variant, batch = case.split(":")
        measure(options, variant, int(batch))


if __name__ == "__main__":
    main()
