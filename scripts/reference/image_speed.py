"""Times Pillow on the JPEGs of a folder, for comparison with `cargo run --release --example measure`.

    image_speed.py FOLDER [ROUNDS]
"""

import io
import sys
import time
from pathlib import Path

from PIL import Image
from timm.data import create_transform
import torch


def best_of(name, rounds, items, step):
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        for item in items:
            step(item)
        best = min(best, time.perf_counter() - start)
    print(f"{name:34} {best / len(items) * 1e3:7.3f} ms per image")


def main():
    torch.set_num_threads(1)
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    paths = sorted(p for p in Path(sys.argv[1]).rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
    files = [path.read_bytes() for path in paths]
    decode = lambda data: Image.open(io.BytesIO(data)).convert("RGB")
    images = [decode(data) for data in files]
    transform = create_transform(224, interpolation="bicubic", crop_pct=0.875)
    best_of("decode", rounds, files, decode)
    for name in ("BILINEAR", "BICUBIC"):
        kernel = Image.Resampling[name]
        best_of(f"resize to 341 x 256, {name}", rounds, images, lambda i: i.resize((341, 256), kernel))
    best_of("resize and crop for B0", rounds, images,
            lambda i: transform.transforms[1](transform.transforms[0](i)))
    best_of("bytes to B0's input", rounds, files, lambda data: transform(decode(data)))


if __name__ == "__main__":
    main()
