"""What `effnet train` does, as a PyTorch user would write it.

    train_folder_peer.py DATA none|imagenet|randaugment BATCH EPOCHS fp32|bf16

torchvision's B0, channels-last, SGD with momentum, two workers that decode and augment. Prints the images
per second of each epoch.
"""

import sys
import time

import torch
import torchvision
from torchvision import transforms

POLICIES = {"none": [], "imagenet": [transforms.AutoAugment()], "randaugment": [transforms.RandAugment()]}
WORKERS = 2


def main():
    folder, policy, batch, epochs, precision = sys.argv[1:]
    torch.set_num_threads(2)
    photos = torchvision.datasets.ImageFolder(folder, transforms.Compose([
        transforms.RandomResizedCrop(224, interpolation=transforms.InterpolationMode.BICUBIC),
        transforms.RandomHorizontalFlip(), *POLICIES[policy], transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]))
    loader = torch.utils.data.DataLoader(
        photos, int(batch), shuffle=True, num_workers=WORKERS, persistent_workers=True, drop_last=True)
    model = torchvision.models.efficientnet_b0(num_classes=len(photos.classes))
    model = model.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
    for _ in range(int(epochs)):
        start, seen = time.perf_counter(), 0
        for images, labels in loader:
            images = images.to(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                loss = torch.nn.functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()
            seen += len(images)
        print(f"{seen / (time.perf_counter() - start):.1f} images/s", flush=True)


if __name__ == "__main__":
    main()
