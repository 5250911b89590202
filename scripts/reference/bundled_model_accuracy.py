"""Top-1 accuracy of the bundled model in efficientnet_pytorch, with Pillow's pixels:

    scripts/effnet convert b0.cifar10 cifar10.pth
    .venv/bin/python scripts/reference/bundled_model_accuracy.py cifar10.pth TEST IMAGE_SIZE CROP_PCT

TEST has one folder of images per class. IMAGE_SIZE and CROP_PCT are those of the model in weights/manifest.json.
"""

import pathlib
import sys

import torch
from efficientnet_pytorch import EfficientNet
from torchvision import datasets, transforms


def main():
    weights, folder, size, crop_pct = sys.argv[1], pathlib.Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    transform = transforms.Compose(
        [
            transforms.Resize(int(size / crop_pct), transforms.InterpolationMode.BICUBIC),
            transforms.CenterCrop(size),
            transforms.ToTensor(),
            transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )
    images = datasets.ImageFolder(folder, transform)
    network = EfficientNet.from_name("efficientnet-b0", num_classes=len(images.classes), image_size=size)
    network.load_state_dict(torch.load(weights, weights_only=True))
    network.float().eval()
    right = 0
    with torch.inference_mode():
        for batch, labels in torch.utils.data.DataLoader(images, batch_size=100):
            right += int((network(batch).argmax(1) == labels).sum())
    print(f"top-1 {100 * right / len(images):.2f} % of {len(images)} images")


if __name__ == "__main__":
    main()
