"""Answers the tests' requests to the reference packages, as answering.py says.

Tensors are written to files in the folder that the request names.
"""

import copy

import timm
import torch
from safetensors.torch import save_file

import answering
import conversion_reference
import metrics_reference
import network_models as models
import training_reference
from network_training import training_step

# Odd and rectangular, and far from every variant's own size.
RECTANGLE = (193, 161)


def parity(model, variant, folder):
    """Writes weights in both of PyTorch's containers, and what the package computes with them."""
    tensors = models.calibrated(model, variant)
    network = models.build(model, variant, tensors)
    state_dict = network.state_dict()
    torch.save(state_dict, f"{folder}/zip.pth")
    torch.save(state_dict, f"{folder}/legacy.pth", _use_new_zipfile_serialization=False)

    native = models.IMAGE_SIZE[variant]
    expected = {}
    for place, (height, width) in {"native": (native, native), "rectangle": RECTANGLE}.items():
        images = models.smooth_images(1, 3, height, width, seed=3)
        outputs = evaluate(model, network, images)
        expected |= {f"{place}.{name}": tensor for name, tensor in outputs.items()}
        if model == "lukemelas" and place == "rectangle":
            static = models.build("lukemelas-static", variant, tensors)
            with torch.no_grad():
                expected["static.images"] = images
                expected["static.logits"] = static(images)
    save(expected, folder)
    return {}


@torch.no_grad()
def evaluate(model, network, images):
    """Logits and features of any package, in one pass through its own layers, and endpoints if the package
    has them."""
    outputs = {"images": images}
    if isinstance(network, models.EfficientNetLite):
        outputs["features"] = network.extract_features(images)
        outputs["logits"] = network._fc(network._avg_pooling(outputs["features"]).flatten(1))
    elif model == "lukemelas":
        outputs |= network.extract_endpoints(images)
        outputs["features"] = outputs["reduction_6"]
        outputs["logits"] = network._fc(network._avg_pooling(outputs["features"]).flatten(1))
        # The package's other swish, torch.nn.SiLU, rounds like all other implementations.
        network.set_swish(memory_efficient=False)
        endpoints = network.extract_endpoints(images)
        outputs |= {f"silu_{name}": tensor for name, tensor in endpoints.items()}
        network.set_swish(memory_efficient=True)
    elif model == "torchvision":
        outputs["features"] = network.features(images)
        outputs["logits"] = network.classifier(network.avgpool(outputs["features"]).flatten(1))
    else:
        outputs["features"] = network.forward_features(images)
        outputs["logits"] = network.forward_head(outputs["features"])
        levels = features_only(network)(images)
        outputs |= {f"reduction_{level}": tensor for level, tensor in enumerate(levels, 1)}
    return outputs


def features_only(network):
    """timm's backbone of the network, with the same weights: the last activations at each of five resolutions."""
    name = network.pretrained_cfg["architecture"]
    with torch.device("meta"):
        backbone = timm.create_model(name, features_only=True)
    tensors = network.state_dict()
    backbone.load_state_dict({name: tensors[name] for name in backbone.state_dict()}, assign=True)
    assert backbone.feature_info.reduction() == [2, 4, 8, 16, 32]
    return backbone.eval()


def static_padding(variant, image_size, sizes, folder):
    """Logits of a network built for `image_size`, `[height, width]`, on images of other sizes."""
    network = models.original(variant, image_size=image_size, **models.DETERMINISTIC)
    models.fill(network, models.calibrated("lukemelas", variant)).eval()
    torch.save(network.state_dict(), f"{folder}/zip.pth")
    expected = {}
    for height, width in sizes:
        images = models.smooth_images(1, 3, height, width, seed=3)
        expected[f"{height}x{width}.images"] = images
        with torch.no_grad():
            expected[f"{height}x{width}.logits"] = network(images)
    save(expected, folder)
    return {}


def layout(variant, in_channels=3, overrides=None):
    """Names and shapes of a network's state dict, its number of parameters, and the drop connect rate of each
    block."""
    with torch.device("meta"):
        network = models.original(variant, in_channels=in_channels, **(overrides or {}))
        rates = []
        for block in network._blocks:
            block.register_forward_pre_hook(
                lambda _, args, kwargs: rates.append(kwargs["drop_connect_rate"]), with_kwargs=True
            )
        network.eval().extract_features(torch.empty(1, in_channels, 64, 64))
    return {
        "tensors": [[name, list(tensor.shape)] for name, tensor in network.state_dict().items()],
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "drop_connect_rates": rates,
    }


def training(model, variant, batch, size, folder, overrides=None, gradients_in_doubles=False, original_names=None):
    """One training step: the weights before it, and its results, with gradients computed in 64 bits on request.

    `original_names` are the names for the results in state dict order; default: those of the original."""
    if overrides:
        torch.manual_seed(4)
        network = models.original(variant, image_size=None, **models.DETERMINISTIC, **overrides)
        models.draw_batch_norm(network)
    else:
        network = models.build(model, variant, models.calibrated(model, variant))
    torch.save(network.state_dict(), f"{folder}/zip.pth")
    images = models.smooth_images(batch, 3, *size, seed=5)
    labels = torch.arange(batch) * 7 % (overrides or {}).get("num_classes", 1000)
    names = original_names
    if names is None:
        with torch.device("meta"):
            names = list(models.original(variant, **(overrides or {})).state_dict())
    in_doubles = copy.deepcopy(network).double() if gradients_in_doubles else None
    expected = training_step(network, names, images, labels)
    if in_doubles:
        exact = training_step(in_doubles, names, images.double(), labels)
        expected |= {name: exact[name].float() for name in exact if name.startswith("gradient.")}
    save(expected, folder)
    return {}


def save(tensors, folder):
    copies = {name: tensor.clone().contiguous() for name, tensor in tensors.items()}
    save_file(copies, f"{folder}/expected.safetensors")


ANSWERS = (
    parity,
    static_padding,
    layout,
    training,
    *conversion_reference.ANSWERS,
    *metrics_reference.ANSWERS,
    *training_reference.ANSWERS,
)


if __name__ == "__main__":
    # The tests compute at the same time, on one thread each: see tests/tests/network/main.rs.
    torch.set_num_threads(1)
    answering.serve(ANSWERS)
