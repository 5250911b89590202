"""Whether the maps of `effnet explain` find what the network looks at: deletion and insertion curves.

    deletion_curves.py EFFNET IMAGES [--count 50] [--method cam layercam occlusion] [--steps 32] [--threads 1]

needs the Python reference environment (torch, timm, Pillow). The protocol is that of Petsiuk, Das and Saenko, "RISE"
(2018). Deletion: the pixels of the network's input become grey (the mean colour), the most important ones first.
Insertion: they appear, the most important ones first, on a blurred image (Gaussian, 11 x 11 pixels, sigma 5). The
probability of the class that was best is recorded; a good map makes it fall soon or rise soon, so the area under the
curve is low for deletion and high for insertion. RISE changes 224 pixels per step, which is `--steps
224`. Networks are those of timm, with the published weights that effnet converts, so the curves are not drawn by the
program that they judge.

What the maps are compared with:

    blob      a centred blob: a strong rival, because photographers put things in the centre
    random    random numbers on a grid as coarse as that of cam (7 x 7) or of occlusion (14 x 14), enlarged like a map:
              what a map without any knowledge scores
    pixels    single pixels in random order. No rival: scattered grey pixels are unlike any photo, and the network is
              lost long before what they hide is gone. Deletion rewards that, which is its known weakness, and insertion
              punishes it; a map should be judged by both
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

# The preprocessing of lite0.
SIDE, MEAN, STD = 224, (127 / 255,) * 3, (128 / 255,) * 3
# The blur of RISE.
KERNEL, SIGMA = 11, 5.0


def seen(path, region):
    """What the network sees of a photo, `[1, 3, side, side]`."""
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    left, top = region["left"], region["top"]
    box = (left, top, left + region["width"], top + region["height"])
    image = image.resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=clipped(box, image.size))
    pixels = torch.from_numpy(numpy.array(image)).permute(2, 0, 1)[None] / 255
    return (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def clipped(box, size):
    return max(box[0], 0), max(box[1], 0), min(box[2], size[0]), min(box[3], size[1])


def blurred(image):
    at = torch.arange(KERNEL) - KERNEL // 2
    line = torch.exp(-(at**2) / (2 * SIGMA**2))
    kernel = (line[:, None] * line / line.sum() ** 2).expand(3, 1, KERNEL, KERNEL)
    return functional.conv2d(image, kernel, padding=KERNEL // 2, groups=3)


def enlarged(map_):
    return functional.interpolate(map_[None, None], (SIDE, SIDE), mode="bicubic")[0, 0]


def area(network, before, after, class_, importance, steps):
    """The mean probability of the class while pixels change from `before` to `after` in the order of importance."""
    order = importance.flatten().argsort(descending=True, stable=True)
    images = []
    for step in range(steps + 1):
        changed = order[: step * order.numel() // steps]
        image = before.clone().flatten(2)
        image[:, :, changed] = after.flatten(2)[:, :, changed]
        images.append(image.view_as(before))
    probabilities = network(torch.cat(images)).softmax(1)[:, class_]
    return torch.trapezoid(probabilities).item() / steps


def explained(call, photos, method, folder):
    """The results of effnet and the maps, enlarged."""
    names = "\0".join(map(str, photos))
    options = ["--model", "lite0", "--method", method, "--raw", "json", "--format", "json", "--output", folder]
    ran = subprocess.run(call + ["explain", "-"] + options, check=True, capture_output=True, input=names.encode())
    for line in ran.stdout.splitlines():
        record = json.loads(line)
        raw = json.loads(pathlib.Path(record["raw"]).read_text())
        yield record, enlarged(torch.tensor(raw["maps"][0]))


def rivals():
    """The orders that need no network."""
    random = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    centre = (SIDE - 1) / 2
    blob = -((y - centre) ** 2 + (x - centre) ** 2)
    return lambda: {
        "blob": blob,
        "random 7": enlarged(torch.rand(7, 7, generator=random)),
        "random 14": enlarged(torch.rand(14, 14, generator=random)),
        "pixels": torch.rand(SIDE, SIDE, generator=random),
    }


def report(areas, photos, steps):
    print(f"{len(photos)} photos, lite0, {steps} steps; areas under the curves with their standard errors", flush=True)
    print(f"{'':10} {'deletion (low is good)':>24} {'beats blob':>10} {'insertion (high is good)':>26} {'beats blob':>10}")
    for name, values in areas.items():
        values, blob = (numpy.array([areas[of][photo] for photo in values]) for of in (name, "blob"))
        cells = []
        for column, sign in ((0, 1), (1, -1)):
            wins = (sign * values[:, column] < sign * blob[:, column]).sum()
            error = values[:, column].std(ddof=1) / len(values) ** 0.5
            cells += [f"{values[:, column].mean():.3f} +- {error:.3f}", "" if name == "blob" else f"{wins}/{len(values)}"]
        print(f"{name:10} {cells[0]:>24} {cells[1]:>10} {cells[2]:>26} {cells[3]:>10}")


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("effnet")
    parser.add_argument("images", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--method", nargs="+", default=["cam", "layercam", "occlusion"])
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    photos = sorted(path for path in arguments.images.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    photos = photos[:: max(1, len(photos) // arguments.count)][: arguments.count]
    areas, differences, others = {}, [], rivals()
    with tempfile.TemporaryDirectory() as folder:
        weights = f"{folder}/lite0.safetensors"
        call = [arguments.effnet, "-q"]
        subprocess.run(call + ["convert", "lite0", weights, "--to", "timm"], check=True)
        network = timm.create_model("tf_efficientnet_lite0").eval()
        network.load_state_dict(load_file(weights))
        for method in arguments.method:
            for record, map_ in explained(call, photos, method, f"{folder}/{method}"):
                best = record["predictions"][0]
                image = seen(record["input"], record["region"])
                # Both programs see the same: they resize the photo in a different order.
                probability = network(image).softmax(1)[0, best["class"]].item()
                differences.append(abs(probability - best["probability"]))
                orders = {method: map_} | (others() if method == arguments.method[0] else {})
                for name, order in orders.items():
                    areas.setdefault(name, {})[record["input"]] = [
                        area(network, image, torch.zeros_like(image), best["class"], order, arguments.steps),
                        area(network, blurred(image), image, best["class"], order, arguments.steps),
                    ]
            # One method takes minutes.
            report(areas, photos, arguments.steps)
    print(f"mean difference between the probabilities of effnet and timm: {numpy.mean(differences):.4f}")


if __name__ == "__main__":
    main()
