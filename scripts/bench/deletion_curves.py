"""Whether the maps of `effnet explain` find what the network looks at: deletion curves, beside a centred blob.

    deletion_curves.py EFFNET IMAGES [--count 50] [--method cam layercam occlusion]

needs the Python reference environment (torch, timm, Pillow). For each photo the pixels of the network's input are
replaced by the mean colour, the most important ones first, and the probability of the class that was best is recorded.
The sooner it falls, the better the map: the area under the curve is reported, lower is better. A blob in the centre
is a strong rival, because photographers put things there; random order is the floor. Networks are those of timm, with
the published weights that effnet converts, so the curves are not drawn by the program that they judge.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

import numpy
import timm
import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file
from torch.nn import functional

STEPS = 32
# The preprocessing of lite0.
SIDE, MEAN, STD = 224, (127 / 255,) * 3, (128 / 255,) * 3


def seen(path, region, side, mean, std):
    """What the network sees of a photo, `[1, 3, side, side]`."""
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    left, top = region["left"], region["top"]
    box = (left, top, left + region["width"], top + region["height"])
    image = image.resize((side, side), Image.Resampling.BICUBIC, box=clipped(box, image.size))
    pixels = torch.from_numpy(numpy.array(image)).permute(2, 0, 1)[None] / 255
    return (pixels - mean[:, None, None]) / std[:, None, None]


def clipped(box, size):
    return max(box[0], 0), max(box[1], 0), min(box[2], size[0]), min(box[3], size[1])


@torch.no_grad()
def area(network, image, class_, importance):
    """The mean probability of the class while pixels are deleted in the order of their importance."""
    order = importance.flatten().argsort(descending=True, stable=True)
    count = order.numel()
    steps = []
    for step in range(STEPS + 1):
        deleted = image.clone().flatten(2)
        deleted[:, :, order[: step * count // STEPS]] = 0
        steps.append(deleted.view_as(image))
    probabilities = network(torch.cat(steps)).softmax(1)[:, class_]
    return torch.trapezoid(probabilities).item() / STEPS, probabilities[0].item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("effnet")
    parser.add_argument("images", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--method", nargs="+", default=["cam", "layercam", "occlusion"])
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    photos = sorted(path for path in arguments.images.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    photos = photos[:: max(1, len(photos) // arguments.count)][: arguments.count]
    with tempfile.TemporaryDirectory() as folder:
        weights = f"{folder}/lite0.safetensors"
        call = [arguments.effnet, "-q"]
        subprocess.run(call + ["convert", "lite0", weights, "--to", "timm"], check=True)
        network = timm.create_model("tf_efficientnet_lite0").eval()
        network.load_state_dict(load_file(weights))
        side, mean, std = SIDE, torch.tensor(MEAN), torch.tensor(STD)
        y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
        blob = -((y - (side - 1) / 2) ** 2 + (x - (side - 1) / 2) ** 2)
        noise = torch.rand(side, side, generator=torch.Generator().manual_seed(0))
        areas, differences = {}, []
        for method in arguments.method:
            names = "\0".join(map(str, photos))
            out = f"{folder}/{method}"
            options = ["--model", "lite0", "--method", method, "--raw", "json", "--format", "json", "--output", out]
            explained = subprocess.run(
                call + ["explain", "-"] + options, check=True, capture_output=True, input=names.encode()
            )
            for line in explained.stdout.splitlines():
                record = json.loads(line)
                raw = json.loads(pathlib.Path(record["raw"]).read_text())
                map_ = torch.tensor(raw["maps"])[None]
                map_ = functional.interpolate(map_, (side, side), mode="bicubic")[0, 0]
                class_ = record["predictions"][0]["class"]
                image = seen(record["input"], record["region"], side, mean, std)
                areas.setdefault(method, {})[record["input"]], probability = area(network, image, class_, map_)
                # Both programs see the same: they resize the photo in a different order.
                differences.append(abs(probability - record["predictions"][0]["probability"]))
                if method == arguments.method[0]:
                    for name, order in (("blob", blob), ("random", noise)):
                        areas.setdefault(name, {})[record["input"]] = area(network, image, class_, order)[0]
    print(f"mean difference between the probabilities of effnet and timm: {numpy.mean(differences):.4f}")
    print(f"{len(photos)} photos, lite0; area under the deletion curve, lower is better")
    for name, values in areas.items():
        wins = sum(values[photo] < areas["blob"][photo] for photo in values)
        versus = "" if name == "blob" else f", below the blob's on {wins} of {len(values)}"
        print(f"{name:10} {numpy.mean(list(values.values())):.3f}{versus}")


if __name__ == "__main__":
    main()
