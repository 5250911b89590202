"""Compares effnet on a CUDA device with the CPU and with PyTorch, and measures its speed.

Needs programs that were built elsewhere (`scripts/gpu-check --pack` puts them into a folder) and a python3
with torch 2.11, safetensors and numpy; no Rust, no network. Everything else is generated, weights too unless fine-tuning is asked for (--photos, --weights).
Results are written after every measurement, so an interruption loses at most one. With `--work FOLDER`, a
later run adds to the results of an earlier one, with the same or other --parts.
"""

import argparse
import os

import table

HERE = os.path.dirname(os.path.abspath(__file__))
PARTS = ["tests", "logits", "gradients", "training", "finetune", "speed", "compile"]


def first(*paths):
    """The first that exists, or the last."""
    return next((path for path in paths if os.path.exists(path)), paths[-1])


def arguments():
    root = os.path.dirname(HERE)
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(os.path.dirname(root), "target"))
    parser = argparse.ArgumentParser(
        prog="gpu-check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--binary", default=first(f"{root}/effnet", f"{target}/release/effnet"), help="effnet [%(default)s]")
    add("--gradients", default=first(f"{root}/gradients", f"{target}/release/examples/gradients"),
        help="the example `gradients` of effnet-core [%(default)s]")
    add("--tests", default=first(f"{root}/cuda-tests", ""), help="the device tests [%(default)s]")
    add("--libtorch", help="the folder with libtorch_cpu.so [the one of torch]")
    add("--device", default="cuda:0")
    add("--cpu-only", action="store_true", help="dry run of the script, with the CPU in place of the device")
    add("--parts", nargs="+", choices=PARTS, default=PARTS)
    add("--variants", nargs="+", choices=table.VARIANTS, default=table.VARIANTS)
    add("--gradient-variants", nargs="+", choices=table.VARIANTS, default=["b0", "b4"])
    add("--compile-variants", nargs="+", choices=table.VARIANTS, default=table.VARIANTS)
    add("--precisions", nargs="+", choices=table.PRECISIONS,
        help="[all; with --cpu-only, fp32 and bf16]")
    add("--batches", nargs="+", type=int, default=[1, 32])
    add("--images", type=int, default=24, help="images to compare the logits of [%(default)s]")
    add("--gradient-images", type=int, default=8)
    add("--photos", help="a data set to fine-tune on, with images for validation")
    add("--weights", help="published weights to fine-tune, such as those of `effnet download lite0`")
    add("--seeds", type=int, default=3, help="runs of fine-tuning on each device [%(default)s]")
    add("--runs", type=int, default=50, help="batches to time [%(default)s]")
    add("--minutes", type=float, default=1e9, help="start no new measurement after this many minutes")
    add("--timeout", type=float, default=900, help="timeout of each program in seconds [%(default)s]")
    add("--work", help="folder to keep generated files and results in [a temporary one]")
    add("--output", help="file for the tables [GPU.md in scripts/bench, or next to the packed programs; "
                         "with --cpu-only, in the work folder]")
    options = parser.parse_args()
    if options.precisions is None:
        options.precisions = ["fp32", "bf16"] if options.cpu_only else table.PRECISIONS
    if options.output is None and not options.cpu_only:
        bench = os.path.join(root, "bench")
        options.output = os.path.join(bench if os.path.isdir(bench) else root, "GPU.md")
    for name, path in (("--binary", options.binary), ("--gradients", options.gradients)):
        if not os.path.exists(path):
            parser.error(f"{path} does not exist: build it on a machine with Rust, or pass {name}")
    return options


# Not at the top: without torch, --help works and a wrong option is refused.
if __name__ == "__main__":
    chosen = arguments()
    try:
        import check
    except ImportError as error:
        raise SystemExit(f"gpu-check: {error}: python3 needs torch 2.11, safetensors and numpy") from error
    check.main(chosen)
