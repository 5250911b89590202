"""Times torch.load(mmap=True) + load_state_dict: load_checkpoint.py VARIANT FILE [RUNS]

Prints milliseconds, one line per run. mmap needs the zip container; a legacy file is read without it.
"""

import sys
import time
import zipfile

import torch
from efficientnet_pytorch import EfficientNet


def main():
    variant, path, runs = sys.argv[1], sys.argv[2], int((sys.argv[3:] or [1])[0])
    model = EfficientNet.from_name(f"efficientnet-{variant}", image_size=None)
    mmap = zipfile.is_zipfile(path)
    for _ in range(runs):
        start = time.perf_counter()
        model.load_state_dict(torch.load(path, mmap=mmap, weights_only=True))
        print(f"{(time.perf_counter() - start) * 1e3:.1f}")


main()
