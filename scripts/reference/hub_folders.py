"""Weights for conversion into hub folders and Keras files, and what the receiving libraries compute with them.

Answers requests as answering.py says: `{"request": "run", "folder": FOLDER, "task": [TASK, ARGUMENT...]}`, with paths
relative to the folder, by what the task returns.

    make MODEL VARIANT OUT.pth                 seeded weights under the names of EfficientNet-PyTorch, or of MODEL's
                                               package for V2, which the former lacks
    named MODEL VARIANT FILE [STATISTICS]      loads the file by name and compares logits with the same weights loaded by
                                               position, with the statistics of another model where those are in the file
    timm MODEL VARIANT FOLDER IMAGE            loads the folder and compares logits and preprocessing
    transformers MODEL VARIANT FOLDER IMAGE
    save-transformers VARIANT FOLDER           a folder that transformers itself wrote
    classify-transformers FOLDER IMAGE         returns the most probable classes of the image
    keras MODEL VARIANT FILE                   loads the file and compares logits
    save-keras MODEL VARIANT FOLDER            files that Keras itself wrote

MODEL is a model of network_models.py, whose arithmetic the weights need.
"""

import contextlib
import io
import json
import os
import sys
from pathlib import Path

os.environ["KERAS_BACKEND"] = "torch"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TQDM_DISABLE"] = "1"

import torch
from PIL import Image
from torchvision.transforms import functional

import answering
import network_models as models

CLASSES = 1000
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


# Of networks that are normalised otherwise: the package of Lite's original weights, and timm's port.
LITE = {"mean": [127 / 255] * 3, "std": [128 / 255] * 3}
NORMALISATION = {("lukemelas", "lite0"): LITE, ("timm-tf", "v2-s"): {"mean": [0.5] * 3, "std": [0.5] * 3}}


def side(variant):
    import timm

    return timm.create_model(f"tf_{models.named(variant)}").pretrained_cfg["input_size"][1]


def inputs(variant, size=None):
    size = size or side(variant)
    return models.smooth_images(1, 3, size, size, seed=3)


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
        has_original = not variant.startswith("v2-")
        network = models.original(variant) if has_original else models.BUILDERS[model](variant)
        names = list(network.state_dict())
    torch.save(dict(zip(names, models.calibrated(model, variant), strict=True)), path)


def check_named(model, variant, path, statistics=None):
    tensors = safetensors_or_pickle(path)
    weights = models.calibrated(statistics or model, variant)
    with torch.device("meta"):
        network = models.BUILDERS[model](variant)
    counters = {name: torch.tensor(0) for name in network.state_dict() if name.endswith("num_batches_tracked")}
    network.load_state_dict({**counters, **tensors}, assign=True)
    with torch.no_grad():
        wanted = models.build(model, variant, weights)(inputs(variant))
        same(network.eval()(inputs(variant)), wanted, model)


def safetensors_or_pickle(path):
    import safetensors.torch

    is_pickle = path.endswith(".pth")
    return torch.load(path, weights_only=True) if is_pickle else safetensors.torch.load_file(path)


def prepared(image, size, resized, interpolation="bicubic", mean=MEAN, std=STD):
    """A resize of the short side, a center crop and a normalisation: by default, bicubic and ImageNet's statistics."""
    image = functional.resize(image, resized, functional.InterpolationMode(interpolation))
    tensor = functional.to_tensor(functional.center_crop(image, size))
    return functional.normalize(tensor, mean, std)[None]


def check_timm(model, variant, folder, image):
    import timm

    network = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    with torch.no_grad():
        same(network(inputs(variant)), expected(model, variant, inputs(variant)), "timm")
    data = timm.data.resolve_model_data_config(network)
    print(json.dumps(data))
    is_torchvision_v2 = model == "torchvision" and variant.startswith("v2-")
    size = models.IMAGE_SIZE[variant] if is_torchvision_v2 else side(variant)
    resized = int(size / data["crop_pct"])
    transform = timm.data.create_transform(**data, is_training=False)
    photo = Image.open(image).convert("RGB")
    wanted = prepared(
        photo,
        size,
        resized,
        "bilinear" if is_torchvision_v2 else "bicubic",
        **NORMALISATION.get((model, variant), {}),
    )
    assert torch.equal(transform(photo)[None], wanted), "timm preprocesses otherwise"
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
    photo = Image.open(image).convert("RGB")
    config = json.loads((Path(folder) / "preprocessor_config.json").read_text())
    resized = config["size"]["shortest_edge"]
    pixels = pipeline.image_processor(photo, return_tensors="pt")["pixel_values"]
    wanted = prepared(photo, side(variant), resized)
    # Its resize rounds otherwise than Pillow's by one level of 256 at most, and more where edges ring.
    assert (pixels - wanted).abs().mean() < 0.01, (pixels - wanted).abs().mean()
    # Its own logits: on a photo, seeded weights of B5 amplify the rounding of one order of additions or another.
    with torch.no_grad():
        best = network(pixels).logits[0].softmax(0)
    answer = pipeline(photo)[0]
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
    """Returns names and probabilities that the pipeline computes with Pillow's resize."""
    import transformers
    from transformers.models.efficientnet.image_processing_pil_efficientnet import EfficientNetImageProcessorPil

    network = transformers.EfficientNetForImageClassification.from_pretrained(folder).eval()
    processor = EfficientNetImageProcessorPil.from_pretrained(folder)
    pixels = processor(Image.open(image).convert("RGB"), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        scores = network(pixels).logits[0].softmax(0)
    top = scores.topk(5)
    return [[network.config.id2label[int(i)], float(s)] for s, i in zip(*top)]


KERAS = {
    "b0": "EfficientNetB0",
    "b5": "EfficientNetB5",
    "v2-b0": "EfficientNetV2B0",
    "v2-s": "EfficientNetV2S",
}


def is_rescaled(variant):
    """Whether Keras's network maps levels of 256 to -1 to 1, rather than normalise with the numbers in its file."""
    return variant in ("v2-s", "v2-m", "v2-l")


def keras_network(variant, weights=None):
    """The first network of a session, since Keras numbers layers of the same kind on."""
    import keras

    keras.backend.clear_session()
    build = getattr(keras.applications, KERAS[variant])
    return build(weights=weights, classes=CLASSES, classifier_activation=None)


def check_keras(model, variant, path):
    """Keras normalises images of 0 to 255 itself, with the numbers in the file or those of its own."""
    network = keras_network(variant, weights=path)
    # Keras builds a network with a classifier for one size.
    images = inputs(variant, models.IMAGE_SIZE[variant])
    rescaling = [128 / 255] * 3
    statistics = (rescaling, rescaling) if is_rescaled(variant) else (MEAN, STD)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in statistics)
    pixels = (images * std + mean) * 255
    with torch.no_grad():
        found = network(pixels.permute(0, 2, 3, 1), training=False)
    same(found.cpu(), expected(model, variant, images), "keras")


def fill_keras(network, model, variant):
    """Gives a network of Keras the seeded weights, layer by layer in the order of PyTorch's state dict."""
    import numpy

    tensors = [tensor.numpy() for tensor in models.calibrated(model, variant) if tensor.ndim]
    for layer in network.layers:
        if not layer.weights:
            continue
        if layer.name.startswith("normalization"):
            variance = numpy.array(STD, "float32") ** 2
            layer.set_weights([numpy.array(MEAN, "float32"), variance, *layer.get_weights()[2:]])
            continue
        values = [tensors.pop(0) for _ in layer.weights]
        if values[0].ndim == 4:
            values[0] = values[0].transpose((2, 3, 0, 1) if "dwconv" in layer.name else (2, 3, 1, 0))
        elif values[0].ndim == 2:
            values[0] = values[0].T
        layer.set_weights(values)
    assert not tensors


def save_keras(model, variant, folder):
    """Files that Keras and h5py write, in every layout, and one with compressed chunks."""
    import h5py
    import keras

    folder = Path(folder)
    network = keras_network(variant)
    fill_keras(network, model, variant)
    network.save(folder / "whole.keras")
    network.save(folder / "whole.h5")
    network.save_weights(folder / "only.weights.h5")
    # As Keras 2 names variables, and as published.
    with h5py.File(folder / "named.h5", "w") as file:
        for layer in network.layers:
            for variable in layer.weights:
                kind = variable.name
                kind = "depthwise_kernel" if kind == "kernel" and "dwconv" in layer.name else kind
                value = keras.ops.convert_to_numpy(variable)
                value = value**0.5 if kind == "variance" else value
                file[f"{layer.name}/{layer.name}/{kind}:0"] = value
    compression = {"compression": "gzip", "shuffle": True, "fletcher32": True}
    with h5py.File(folder / "only.weights.h5") as source, h5py.File(folder / "packed.weights.h5", "w") as target:

        def copy(name, item):
            if isinstance(item, h5py.Dataset):
                target.create_dataset(name, data=item[()], **(compression if item.ndim else {}))

        source.visititems(copy)
    # Others' layers around the network.
    base = getattr(keras.applications, KERAS[variant])(weights=None, include_top=False, pooling="avg")
    for mine, other in zip(base.layers, network.layers):
        mine.set_weights(other.get_weights())
    inside = keras.Sequential([base, keras.layers.Dropout(0.2), keras.layers.Dense(CLASSES)])
    inside.build((None, None, None, 3))
    inside.layers[-1].set_weights(network.layers[-1].get_weights())
    inside.save_weights(folder / "nested.weights.h5")
    inside.save(folder / "nested.keras")


TASKS = {
    "make": make,
    "named": check_named,
    "timm": check_timm,
    "transformers": check_transformers,
    "save-transformers": save_transformers,
    "classify-transformers": classify_transformers,
    "keras": check_keras,
    "save-keras": save_keras,
}


def run(folder, task):
    os.chdir(folder)
    name, *arguments = task
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        try:
            return {"returned": TASKS[name](*arguments)}
        except Exception:
            print(printed.getvalue(), file=sys.stderr)
            raise


if __name__ == "__main__":
    answering.serve([run])
