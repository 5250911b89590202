"""Weights for conversion into hub folders and Keras files, and what the receiving libraries compute with them.

    hub_folders.py make MODEL VARIANT OUT.pth                 seeded weights under the names of EfficientNet-PyTorch
    hub_folders.py timm MODEL VARIANT FOLDER IMAGE            loads the folder and compares logits and preprocessing
    hub_folders.py transformers MODEL VARIANT FOLDER IMAGE
    hub_folders.py save-transformers VARIANT FOLDER           a folder that transformers itself wrote
    hub_folders.py keras MODEL VARIANT FILE                   loads the file and compares logits
    hub_folders.py save-keras VARIANT FILE [h5py options]     a file that Keras wrote

MODEL is a model of network_models.py, whose arithmetic the weights need.
"""

import json
import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"
os.environ["HF_HUB_OFFLINE"] = "1"

import torch
from PIL import Image
from torchvision.transforms import functional

import network_models as models

CLASSES = 1000
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def side(variant):
    import timm

    return timm.create_model(f"tf_efficientnet_{variant}").pretrained_cfg["input_size"][1]


def inputs(variant):
    return models.smooth_images(1, 3, side(variant), side(variant), seed=3)


def expected(model, variant, images):
    with torch.no_grad():
        return models.build(model, variant, models.calibrated(model, variant))(images)


def same(found, wanted, what):
    wanted, found = wanted.double(), found.double()
    error = ((found - wanted).abs().max() / wanted.abs().max()).item()
    print(f"{what}: relative error {error:.1e}, spread {wanted.std().item():.2f}")
    assert error < 2e-5, f"{what}: {error}"
    assert wanted.std() > 1e-3, "the logits do not depend on the weights"


def make(model, variant, path):
    with torch.device("meta"):
        names = list(models.original(variant).state_dict())
    torch.save(dict(zip(names, models.calibrated(model, variant), strict=True)), path)


def prepared(image, size, resized):
    """The usual preprocessing: a bicubic resize of the short side, a center crop, ImageNet's statistics."""
    image = functional.resize(image, resized, functional.InterpolationMode.BICUBIC)
    tensor = functional.to_tensor(functional.center_crop(image, size))
    return functional.normalize(tensor, MEAN, STD)[None]


def check_timm(model, variant, folder, image):
    import timm

    network = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    with torch.no_grad():
        same(network(inputs(variant)), expected(model, variant, inputs(variant)), "timm")
    data = timm.data.resolve_model_data_config(network)
    print(json.dumps(data))
    size = side(variant)
    resized = int(size / data["crop_pct"])
    transform = timm.data.create_transform(**data, is_training=False)
    picture = Image.open(image).convert("RGB")
    assert torch.equal(transform(picture)[None], prepared(picture, size, resized)), "timm preprocesses otherwise"
    labels = json.loads((Path(folder) / "config.json").read_text())["label_names"]
    assert labels == [f"kind {index}" for index in range(CLASSES)]
    return resized


def check_transformers(model, variant, folder, image):
    import transformers

    pipeline = transformers.pipeline("image-classification", model=folder, device="cpu")
    network = pipeline.model.eval()
    assert type(network).__name__ == "EfficientNetForImageClassification", type(network)
    with torch.no_grad():
        same(network(inputs(variant)).logits, expected(model, variant, inputs(variant)), "transformers")
    picture = Image.open(image).convert("RGB")
    config = json.loads((Path(folder) / "preprocessor_config.json").read_text())
    resized = config["size"]["shortest_edge"]
    pixels = pipeline.image_processor(picture, return_tensors="pt")["pixel_values"]
    wanted = prepared(picture, side(variant), resized)
    # Its resize rounds otherwise than Pillow's by one level of 256 at most, and more where edges ring.
    assert (pixels - wanted).abs().mean() < 0.01, (pixels - wanted).abs().mean()
    best = expected(model, variant, pixels)[0].softmax(0)
    answer = pipeline(picture)[0]
    assert answer["label"] == f"kind {best.argmax()}", answer
    assert abs(answer["score"] - best.max().item()) < 1e-4 * best.max().item() + 1e-6
    print(answer)


def transformers_network(variant, model="lukemelas"):
    import transformers

    config = transformers.EfficientNetConfig(
        image_size=side(variant),
        width_coefficient=models.original(variant)._global_params.width_coefficient,
        depth_coefficient=models.original(variant)._global_params.depth_coefficient,
        hidden_dim=models.original(variant)._fc.in_features,
        depthwise_padding={"b0": [], "b5": [13, 27]}[variant],
        num_labels=CLASSES,
        id2label={index: f"kind {index}" for index in range(CLASSES)},
        label2id={f"kind {index}": index for index in range(CLASSES)},
    )
    network = transformers.EfficientNetForImageClassification(config)
    return models.fill(network, models.calibrated(model, variant)).eval()


def save_transformers(variant, folder):
    import transformers

    transformers_network(variant).save_pretrained(folder)
    # As published: nearest, both sides, and the square root of the deviation, by which the processor divides twice.
    transformers.EfficientNetImageProcessor(
        size={"height": side(variant), "width": side(variant)},
        resample=0,
        image_mean=MEAN,
        image_std=[value**0.5 for value in STD],
        include_top=True,
        do_center_crop=False,
    ).save_pretrained(folder)


def classify_transformers(folder, image):
    """Prints the probabilities that the pipeline computes with Pillow's resize, as JSON."""
    import transformers
    from transformers.models.efficientnet.image_processing_pil_efficientnet import EfficientNetImageProcessorPil

    network = transformers.EfficientNetForImageClassification.from_pretrained(folder).eval()
    processor = EfficientNetImageProcessorPil.from_pretrained(folder)
    pixels = processor(Image.open(image).convert("RGB"), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        scores = network(pixels).logits[0].softmax(0)
    top = scores.topk(5)
    print(json.dumps([[network.config.id2label[int(i)], float(s)] for s, i in zip(*top)]))


def main(task, *arguments):
    tasks = {
        "make": make,
        "timm": check_timm,
        "transformers": check_transformers,
        "save-transformers": save_transformers,
        "classify-transformers": classify_transformers,
    }
    tasks[task](*arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
