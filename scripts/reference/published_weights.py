"""Downloads published weights with effnet and checks them against the manifest and the package they are for.

For each entry: download, digest, strict loading in the package, and the logits of one photo, computed by effnet and
by the package with the entry's preprocessing. Prints a table; exits with 1 if any entry fails.
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import timm
import torch
import torchvision
from efficientnet_pytorch import EfficientNet
from PIL import Image, ImageOps
from safetensors.torch import load_file
from torchvision.transforms import functional as transforms

ROOT = Path(__file__).resolve().parents[2]

# Bound of `max |difference| / max |logit|`: f32 rounding, and JPEG decoders that differ by one in a few pixels.
TOLERANCE = 1e-3


def arguments():
    parser = argparse.ArgumentParser(
        prog="scripts/verify-published-weights",
        description="Downloads published weights and checks digest, strict loading, and the logits of a photo against "
        "the Python package of each. The files go into EFFNET_CACHE; all of them take more than 10 GB.",
    )
    parser.add_argument("photo", help="image to compare the logits of")
    parser.add_argument("ids", nargs="*", metavar="ID", help="entries to check [default: all]")
    parser.add_argument("--manifest", type=Path, metavar="FILE", help="manifest to check [default: weights/manifest.json]")
    parser.add_argument("--write", action="store_true", help="write full digests and sizes into the manifest")
    parser.add_argument("--effnet", metavar="FILE", default=ROOT / "scripts/effnet", help="the effnet to use [default: %(default)s]")
    return parser.parse_intermixed_args()


def run(*command):
    """Standard output; a failure raises with the last line that the program printed."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["failed without a message"]
        # A failed download has its cause on the second line, and advice after it.
        failed = re.search("cannot be (fetched|downloaded)|cannot (fetch|download)", lines[0]) and len(lines) > 1
        raise RuntimeError(lines[1].strip() if failed else lines[-1])
    return done.stdout


def network(entry):
    """The package's network on the meta device, so that every tensor must come from the file."""
    variant, classes = entry["variant"], entry["classes"]
    with torch.device("meta"):
        if entry["scheme"] == "lukemelas":
            return EfficientNet.from_name(f"efficientnet-{variant}", image_size=None, num_classes=classes)
        if entry["scheme"] == "torchvision":
            return getattr(torchvision.models, f"efficientnet_{variant}")(num_classes=classes)
        prefix = "tf_" if entry["profile"] == "tf" else ""
        return timm.create_model(f"{prefix}efficientnet_{variant}", num_classes=classes)


def strict_load(entry, path):
    state_dict = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
    loaded = network(entry)
    loaded.load_state_dict(state_dict, strict=True, assign=True)
    # Files from before PyTorch 0.4.1 have no BN counters, so loading leaves those on the meta device.
    for module in loaded.modules():
        counter = getattr(module, "num_batches_tracked", None)
        if counter is not None and counter.is_meta:
            module.num_batches_tracked = torch.tensor(0)
    return loaded.eval()


def prepare(photo, preprocessing):
    size = preprocessing["image_size"]
    larger = preprocessing.get("resize_size") or int(size / preprocessing["crop_pct"])
    if preprocessing["crop_mode"] == "squash":
        larger = [larger, larger]
    with Image.open(photo) as image:
        image = ImageOps.exif_transpose(image).convert("RGB")
    filter = transforms.InterpolationMode(preprocessing["interpolation"])
    image = transforms.center_crop(transforms.resize(image, larger, filter), size)
    return transforms.normalize(transforms.to_tensor(image), preprocessing["mean"], preprocessing["std"])[None]


def effnet_logits(effnet, manifest, entry, photo):
    record = json.loads(
        run(effnet, "classify", photo, "--manifest", manifest, "--model", entry["id"], "--device", "cpu",
            "--top-k", "0", "--format", "json")
    )
    logits = torch.empty(entry["classes"])
    for prediction in record["predictions"]:
        logits[prediction["class"]] = prediction["logit"]
    return logits


@torch.no_grad()
def check(entry, options, manifest):
    """A row of the table, and name, digest and size of the file."""
    row = dict(id=entry["id"], bytes="-", digest="-", load="-", difference="-", top1="-", problem="")
    found = None
    try:
        line = run(options.effnet, "download", entry["id"], "--manifest", manifest)
        path = Path(line.strip().removeprefix(f"{entry['id']} "))
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        found = dict(name=path.name, sha256=digest, bytes=path.stat().st_size)
        row["bytes"] = found["bytes"]
        of_name = (file for file in entry["files"] if path.name in (file["name"], *file.get("former_names", ())))
        # A file from Hugging Face's cache has that cache's name, and an entry has at most one from there.
        published = next(of_name, entry["files"][0])
        known = published.get("sha256")
        row["digest"] = ("ok" if digest.startswith(known) else "WRONG") if known else "none"
        if published.get("bytes") not in (None, found["bytes"]):
            row["problem"] = f"the manifest says {published['bytes']} bytes"
        found["name"] = published["name"]

        row["load"] = "FAILED"
        package = strict_load(entry, path)
        row["load"] = "ok"
        theirs = package(prepare(options.photo, entry["preprocessing"]))[0]
        ours = effnet_logits(options.effnet, manifest, entry, options.photo)
        difference = ((ours - theirs).abs().max() / theirs.abs().max()).item()
        row["difference"] = f"{difference:.1e}"
        row["top1"] = "equal" if ours.argmax() == theirs.argmax() else "DIFFERS"
        if not difference <= TOLERANCE:
            row["problem"] = f"the logits differ by more than {TOLERANCE:.0e}"
    except Exception as error:
        row["problem"] = str(error).splitlines()[0] if str(error) else repr(error)
    wrong = row["problem"] or row["digest"] == "WRONG" or row["top1"] == "DIFFERS"
    return row, found, bool(wrong)


def fill_in(manifest, found):
    """Writes digest and size into the object of one file, and keeps the rest of the text."""
    text = manifest.read_text(encoding="utf-8")
    name = re.search(r'"name":\s*' + re.escape(json.dumps(found["name"])), text)
    start, end = text.rindex("{", 0, name.start()), text.index("}", name.end()) + 1
    old = json.loads(text[start:end])
    new = old | {"sha256": found["sha256"], "bytes": found["bytes"]}
    block = text[start:end]
    for key in ("sha256", "bytes"):
        member = f'"{key}": {json.dumps(new[key])}'
        if key in old:
            block = re.sub(rf'"{key}":\s*("[^"]*"|\d+)', member, block)
        else:
            last = block[:-1].rstrip()
            gap = re.search(r"\{(\s*)", block).group(1) or " "
            block = last + "," + gap + member + block[len(last):]
    assert json.loads(block) == new
    new_file = manifest.with_name(f".{manifest.name}.new")
    new_file.write_text(text[:start] + block + text[end:], encoding="utf-8")
    os.replace(new_file, manifest)


def main():
    options = arguments()
    manifest = (options.manifest or ROOT / "weights/manifest.json").resolve()
    entries = json.loads(manifest.read_text(encoding="utf-8"))["entries"]
    unknown = set(options.ids) - {entry["id"] for entry in entries}
    if unknown:
        print(f"{manifest.name} has no {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    if options.ids:
        entries = [entry for entry in entries if entry["id"] in options.ids]
    width = max((len(entry["id"]) for entry in entries), default=2)
    line = "{id:<%d}  {bytes:>11}  {digest:<6}  {load:<6}  {difference:>9}  {top1:<7}  {problem}" % width
    print(line.format(id="id", bytes="bytes", digest="digest", load="load", difference="max diff", top1="top-1",
                      problem="").rstrip())
    failed = 0
    for entry in entries:
        row, found, wrong = check(entry, options, manifest)
        print(line.format(**row).rstrip(), flush=True)
        failed += wrong
        if options.write and found and not wrong:
            fill_in(manifest, found)
    print(f"{len(entries) - failed} of {len(entries)} right")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
