"""PyTorch with the weights of check.py, in its own process: prints one JSON object.

    contender.py VARIANT WEIGHTS IMAGES PRECISION BATCH RUNS DEVICE eager|compile

IMAGES is a safetensors file with `images` [N, 3, H, W], of which the first BATCH are used. Latency is
measured from images in pageable memory to logits in memory, like that of `effnet bench`. For the
throughput, PyTorch gets images that are pinned already, and runs ahead of the device.
"""

import json
import statistics
import sys
import time
import warnings

import torch
from safetensors.torch import load_file

from network import EfficientNet

KINDS = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
WARM_UP = 5


def main():
    variant, weights, images, precision, batch, runs, device, mode = sys.argv[1:]
    warnings.filterwarnings("ignore")
    tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    cuda = device.startswith("cuda")
    kind = KINDS[precision]
    network = EfficientNet(variant).eval()
    network.load_state_dict(torch.load(weights, weights_only=True))
    network = network.to(device, kind, memory_format=torch.channels_last)
    if mode == "compile":
        network = torch.compile(network, mode="max-autotune")
    images = load_file(images)["images"][: int(batch)].clone()

    def forward(images):
        there = images.to(device, non_blocking=True).to(kind, memory_format=torch.channels_last)
        return network(there).float()

    def synchronize():
        if cuda:
            torch.cuda.synchronize()

    with torch.inference_mode():
        for _ in range(WARM_UP):
            logits = forward(images).cpu()
        if cuda:
            torch.cuda.reset_peak_memory_stats()
        times = []
        for _ in range(int(runs)):
            start = time.perf_counter()
            forward(images).cpu()
            times.append(time.perf_counter() - start)
        ready = images.pin_memory() if cuda else images
        start = time.perf_counter()
        results = [forward(ready).to("cpu", non_blocking=True) for _ in range(int(runs))]
        synchronize()
        seconds = time.perf_counter() - start
    del results
    memory = torch.cuda.max_memory_reserved() if cuda else None
    print(json.dumps({
        "ms": statistics.median(times) * 1e3,
        "images_per_second": int(batch) * int(runs) / seconds,
        "device_memory": memory,
        "logits": logits.tolist(),
    }))


if __name__ == "__main__":
    main()
