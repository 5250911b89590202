"""Checks weights/manifest.json against what the installed reference packages say about their own files.

    manifest_check.py MANIFEST

Reads timm's default_cfgs, torchvision's Weights enums and EfficientNet-PyTorch's url maps. Prints one line per
difference and exits with 1 if there is any; otherwise prints how much was compared. Needs no network.
"""

import json
import math
import sys

from efficientnet_pytorch.utils import url_map, url_map_advprop
from timm.models.efficientnet import default_cfgs
from torchvision.models import efficientnet as torchvision_models

VARIANTS = [f"b{i}" for i in range(9)] + ["l2"]


def expected_entries():
    """Yields (id, facts) for every file of the B series and L2 that the packages name."""
    for tag, urls in (("imagenet", url_map), ("advprop", url_map_advprop)):
        for model, url in urls.items():
            variant = model.removeprefix("efficientnet-")
            mean = 0.5 if tag == "advprop" else 0.485
            yield f"{variant}.{tag}", {"url": url, "classes": 1000, "first_mean": mean}

    for variant in VARIANTS[:8]:
        for weights in getattr(torchvision_models, f"EfficientNet_{variant.upper()}_Weights"):
            transforms, meta = weights.transforms.keywords, weights.meta
            metrics = meta["_metrics"]["ImageNet-1K"]
            yield f"{variant}.torchvision" + ("-v2" if weights.name.endswith("V2") else ""), {
                "url": weights.url,
                "classes": len(meta["categories"]),
                "image_size": transforms["crop_size"],
                "resize_size": transforms["resize_size"],
                "interpolation": transforms["interpolation"].value,
                "top1": metrics["acc@1"],
                "top5": metrics["acc@5"],
            }

    for prefix, family in (("efficientnet_", "timm"), ("tf_efficientnet_", "tf")):
        for variant in VARIANTS:
            known = default_cfgs.get(prefix + variant)
            for tag, cfg in known.cfgs.items() if known else ():
                if not cfg.url and not cfg.hf_hub_id:
                    continue
                facts = {
                    "hub": f"https://huggingface.co/timm/{prefix}{variant}.{tag}/resolve/main/model.safetensors",
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
                if cfg.test_input_size:
                    facts["test"] = (cfg.test_input_size[1], cfg.test_crop_pct)
                yield f"{variant}.{family}-{tag}", facts


def found(entry):
    """The same facts, from the manifest."""
    preprocessing, published = entry["preprocessing"], entry["published"]
    urls = [url for file in entry["files"] for url in file["urls"]]
    facts = {
        **preprocessing,
        "classes": entry["classes"],
        "licence": entry["licence"].lower(),
        "first_mean": preprocessing["mean"][0],
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
