"""Time and memory to write a network as an ONNX file: `effnet export` beside `torch.onnx.export`.

    export_model.py EFFNET [--model b7] [--size 600] [--runs 3]

needs the Python reference environment (torch, timm, onnx). Both read the same file of random weights with the names of
timm and write a file for images of one size. Reports the seconds of the whole process, of `torch.onnx.export` the
seconds of the call alone as well, and the peak resident memory, also as a multiple of the weights.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time


def measured(call):
    """Seconds, peak memory in bytes and standard output of a process."""
    start = time.perf_counter()
    process = subprocess.Popen(call, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"failed: {' '.join(map(str, call))}")
    return time.perf_counter() - start, usage.ru_maxrss * 1024, output


def network(model):
    import timm

    return timm.create_model(f"tf_efficientnet_{model}", exportable=True).eval()


def make(model, path):
    from safetensors.torch import save_file

    save_file(network(model).state_dict(), path)


def export(model, size, weights, path):
    """What a user of timm does."""
    import torch
    from safetensors.torch import load_file

    torch.set_num_threads(2)
    exported = network(model)
    exported.load_state_dict(load_file(weights))
    images = torch.zeros(1, 3, size, size)
    start = time.perf_counter()
    names = {"input_names": ["images"], "output_names": ["logits"]}
    # The other exporter (`dynamo=True`) needs onnxscript.
    options = {"dynamo": False, "opset_version": 17, "dynamic_axes": {"images": {0: "batch"}}}
    torch.onnx.export(exported, images, path, **options, **names)
    print(time.perf_counter() - start)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("effnet")
    parser.add_argument("--model", default="b7")
    parser.add_argument("--size", type=int, default=600)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        weights = f"{folder}/weights.safetensors"
        python = [sys.executable, "-W", "ignore", __file__]
        subprocess.run(python + ["make", arguments.model, weights], check=True)
        size = pathlib.Path(weights).stat().st_size
        print(f"{arguments.model}: {size / 1e6:.0f} MB of weights, {arguments.size} pixels")
        ours = [arguments.effnet, "-q", "export", weights, f"{folder}/a.onnx", "--image-size", str(arguments.size), "--force"]
        theirs = python + ["export", arguments.model, str(arguments.size), weights, f"{folder}/b.onnx"]
        for name, call in (("effnet export", ours), ("torch.onnx.export", theirs)):
            runs = [measured(call) for _ in range(arguments.runs)]
            seconds, memory, output = min(runs)
            alone = f", {float(output):.2f} s in the call" if output else ""
            print(f"{name:18} {seconds:6.2f} s{alone}, {memory / 1e6:6.0f} MB, {memory / size:.2f} x the weights")


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2], sys.argv[3])
    elif sys.argv[1] == "export":
        export(sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5])
    else:
        main()
