"""What `effnet classify FOLDER --weights FILE` does, in Python: classify_folder.py WEIGHTS FOLDER

torchvision's B0, channels-last, in inference mode; two workers decode and resize. Prints one JSON line per
photo. WEIGHTS is a state_dict of torchvision.
"""

import json
import pathlib
import sys

import torch
import torchvision
from PIL import Image
from torchvision import transforms

# The fastest of 16, 32 and 64 with one or two workers and threads on two cores.
BATCH = 16
WORKERS = 2
TRANSFORM = transforms.Compose([
    transforms.Resize(256, transforms.InterpolationMode.BICUBIC),
    transforms.CenterCrop(224),
    transforms.ToTensor(),
    transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
])


class Photos(torch.utils.data.Dataset):
    def __init__(self, folder):
        self.paths = sorted(path for path in pathlib.Path(folder).rglob("*") if path.is_file())

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        with Image.open(self.paths[index]) as image:
            return TRANSFORM(image.convert("RGB"))


def main():
    weights, folder = sys.argv[1:3]
    torch.set_num_threads(2)
    model = torchvision.models.efficientnet_b0()
    model.load_state_dict(torch.load(weights, weights_only=True))
    model = model.eval().to(memory_format=torch.channels_last)
    photos = Photos(folder)
    loader = torch.utils.data.DataLoader(photos, BATCH, num_workers=WORKERS)
    paths = iter(photos.paths)
    with torch.inference_mode():
        for batch in loader:
            probabilities = model(batch.to(memory_format=torch.channels_last)).softmax(1)
            for values, classes in zip(*(part.tolist() for part in probabilities.topk(5))):
                print(json.dumps({"input": str(next(paths)), "classes": classes, "probabilities": values}))


if __name__ == "__main__":
    main()
