"""torchvision's transforms in a DataLoader, measured like crates/effnet-train/examples/loader_speed.rs.

    torchvision_loader.py FOLDER BATCH_SIZE WORKERS IMAGES

Reads one epoch per line on stdin, and prints its images per second.
"""

import os
import sys
import time
from pathlib import Path

import torch
from PIL import Image
from torchvision import transforms


class Photos(torch.utils.data.Dataset):
    def __init__(self, folder, images):
        self.paths, self.images = sorted(Path(folder).rglob("*.jpg")), images
        policy = {None: [], "imagenet": [transforms.AutoAugment()], "randaugment": [transforms.RandAugment()]}
        self.transform = transforms.Compose([
            transforms.RandomResizedCrop(224), transforms.RandomHorizontalFlip(),
            *policy[os.environ.get("EFFNET_AUGMENT") or None], transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])])

    def __len__(self):
        return self.images

    def __getitem__(self, index):
        with open(self.paths[index % len(self.paths)], "rb") as file:
            return self.transform(Image.open(file).convert("RGB")), 0


def main():
    folder, batch_size, workers, images = sys.argv[1], *map(int, sys.argv[2:])
    # Persistent workers, so that their start is not measured.
    loader = torch.utils.data.DataLoader(
        Photos(folder, images), batch_size, shuffle=True, num_workers=workers, persistent_workers=True)
    for _ in sys.stdin:
        start, seen = time.perf_counter(), 0
        for batch, _ in loader:
            seen += len(batch)
        print(f"{seen / (time.perf_counter() - start):.1f}", flush=True)


if __name__ == "__main__":
    main()
