"""What `effnet classify PHOTO --weights FILE` does, in Python: classify_one.py VARIANT WEIGHTS PHOTO"""

import sys

import torch
from efficientnet_pytorch import EfficientNet
from PIL import Image

MEAN = torch.tensor([0.485, 0.456, 0.406])
STD = torch.tensor([0.229, 0.224, 0.225])


def preprocess(path, size, padding=32):
    image = Image.open(path).convert("RGB")
    short = size + padding
    width, height = image.size
    if width <= height:
        resized = (short, int(short * height / width))
    else:
        resized = (int(short * width / height), short)
    image = image.resize(resized, Image.Resampling.BICUBIC)
    left, top = round((resized[0] - size) / 2.0), round((resized[1] - size) / 2.0)
    image = image.crop((left, top, left + size, top + size))
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    pixels = pixels.view(size, size, 3).float() / 255
    return ((pixels - MEAN) / STD).permute(2, 0, 1)[None]


def main():
    variant, weights, photo = sys.argv[1:4]
    name = f"efficientnet-{variant}"
    model = EfficientNet.from_name(name, image_size=None)
    model.load_state_dict(torch.load(weights, weights_only=True))
    model.eval()
    with torch.inference_mode():
        logits = model(preprocess(photo, EfficientNet.get_image_size(name)))[0]
    for value, index in zip(*torch.topk(logits.softmax(0), 5)):
        print(f"{index.item()} {value.item():.4f}")


main()
