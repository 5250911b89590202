#!/usr/bin/env python3
"""Write checkpoints of one network as training programs write them.

    trainer_checkpoints.py NETWORK.pth FOLDER

NETWORK.pth is a state_dict of timm's tf_efficientnet_b0 with ten classes. Each file in FOLDER wraps it in the manner of
a training program or script, or is a near miss that must be refused. Prints a JSON list with an object for each file:
`file`, and either `loads` (true), `refused` (words that the message must contain), or the `variant` in the file and
an `other` one that it must not be taken for.
"""

import argparse
import copy
import json
import sys
from collections import OrderedDict
from pathlib import Path

import timm
import torch
import torchvision
from efficientnet_lite_pytorch import EfficientNet as EfficientNetLite
from efficientnet_pytorch import EfficientNet
from safetensors.torch import save_file

NAME = "tf_efficientnet_b0"


def prefixed(prefix: str, state: dict) -> OrderedDict:
    return OrderedDict((prefix + name, tensor) for name, tensor in state.items())


def without_classifier(state: dict) -> OrderedDict:
    return OrderedDict((name, tensor) for name, tensor in state.items() if not name.startswith("classifier"))


def with_classifier(state: dict, layer: str) -> OrderedDict:
    """The same network with its classifier under another name."""
    renamed = without_classifier(state)
    for leaf in ("weight", "bias"):
        renamed[f"{layer}.{leaf}"] = state[f"classifier.{leaf}"]
    return renamed


def counters(state: dict, change) -> OrderedDict:
    return OrderedDict(
        (name, change(tensor) if name.endswith("num_batches_tracked") else tensor) for name, tensor in state.items()
    )


def loadable(network: torch.nn.Module):
    """Files that give the logits of the network. The file or its name says that this is a port from TensorFlow."""
    state = network.state_dict()
    arguments = argparse.Namespace(model=NAME, num_classes=10, mean=None)
    yield "train.pth.tar", {"epoch": 5, "arch": NAME, "state_dict": state, "args": arguments, "metric": 92.0}
    yield "train-ema.pth.tar", {"arch": NAME, "state_dict": {}, "state_dict_ema": state}
    yield "namespace.pth", {"model": prefixed("module.", state), "args": arguments}
    yield "config.pt", {"model_state_dict": state, "optimizer_state_dict": {}, "config": {"model_name": NAME}}
    yield "lightning.ckpt", {"state_dict": prefixed("net.encoder.", state), "hyper_parameters": {"backbone": NAME}}
    yield f"{NAME}-ddp-compile.pth", {"state_dict": prefixed("module._orig_mod.", state)}
    yield f"{NAME}-scaler.pt", {"model": prefixed("_orig_mod.module.", state), "scaler": {"scale": 65536.0}}
    yield f"{NAME}-net.pth", {"net": state, "acc": 91.0}
    yield f"{NAME}-nested.pth", {"weights": {"model": state}}
    yield f"fold0_{NAME}.pth", state
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9).state_dict()
    yield f"{NAME}-list.pth", [state, optimizer]
    yield f"{NAME}-tuple.pth", (5, {"model": prefixed("module.", state)}, optimizer)
    yield f"{NAME}-averaged.pth", torch.optim.swa_utils.AveragedModel(network).state_dict()
    yield f"{NAME}-deepspeed.pt", {"module": state, "ds_version": "0.12"}
    yield f"{NAME}-criterion.ckpt", {
        "state_dict": OrderedDict([*prefixed("model.", state).items(), ("criterion.weight", torch.ones(10))])
    }
    yield f"{NAME}-metrics.pth", OrderedDict([*state.items(), ("train_acc.correct", torch.tensor(3))])
    yield f"{NAME}-no-counters.pth", OrderedDict((n, t) for n, t in state.items() if "num_batches" not in n)
    yield f"{NAME}-int32-counters.pth", counters(state, lambda tensor: tensor.int())
    yield f"{NAME}-float-counters.pth", counters(state, lambda tensor: tensor.float())
    yield f"{NAME}-shaped-counters.pth", counters(state, lambda tensor: tensor.reshape(1))
    yield f"{NAME}-dropout-linear.pth", with_classifier(state, "classifier.1")
    yield f"{NAME}-fc.pth", with_classifier(state, "fc")
    yield f"{NAME}-mmpretrain.pth", {
        "state_dict": OrderedDict(
            [
                *prefixed("backbone.", without_classifier(state)).items(),
                ("head.fc.weight", state["classifier.weight"]),
                ("head.fc.bias", state["classifier.bias"]),
            ]
        )
    }
    whole = copy.deepcopy(network)
    yield "whole.pt", whole
    replaced = copy.deepcopy(network)
    replaced.classifier = torch.nn.Sequential(torch.nn.Dropout(0.2), network.classifier)
    yield "whole-replaced-head.pt", replaced


def refused(network: torch.nn.Module):
    """Files that must be refused, with words of the message."""
    state = network.state_dict()
    torch.manual_seed(0)
    other = timm.create_model("tf_efficientnet_b1", num_classes=10).state_dict()
    yield "two-networks.ckpt", {
        "state_dict": OrderedDict([*prefixed("student.", state).items(), *prefixed("teacher.", other).items()])
    }, ["--key", "state_dict.student", "state_dict.teacher"]
    deep = without_classifier(state)
    for layer, (outputs, inputs) in {0: (512, 1280), 2: (10, 512)}.items():
        deep[f"classifier.{layer}.weight"] = torch.zeros(outputs, inputs)
        deep[f"classifier.{layer}.bias"] = torch.zeros(outputs)
    yield f"{NAME}-deep-head.pth", deep, ["classifier.0.weight", "one linear layer"]
    yield f"{NAME}-no-head.pth", without_classifier(state), ["no classifier", "effnet features"]
    grey = timm.create_model(NAME, num_classes=10, in_chans=1).state_dict()
    yield f"{NAME}-grey.pth", grey, ["1 input channel"]
    for relative, words in {
        "tf_efficientnet_es": "EfficientNet-EdgeTPU",
        "tf_efficientnet_cc_b0_4e": "EfficientNet-CondConv",
        "efficientnet_x_b3": "EfficientNet-X",
        "efficientnet_b1_pruned": "was pruned",
    }.items():
        yield f"{relative}.pth", timm.create_model(relative, num_classes=10).state_dict(), [words, "not supported"]
    resnet = torchvision.models.resnet18(num_classes=10).state_dict()
    yield "resnet18.pth", resnet, ["naming scheme"]


def relatives():
    """Networks with names like those of others: the file, its variant, and a variant that it must not be taken for."""
    torch.manual_seed(0)
    lite0 = timm.create_model("tf_efficientnet_lite0", num_classes=10)
    yield "timm.pth", lite0.state_dict(), "lite0", "b0"
    package = EfficientNetLite.from_name("efficientnet-lite0", num_classes=10)
    yield "original.pth", package.state_dict(), "lite0", "b0"
    lite0.classifier = torch.nn.Sequential(torch.nn.Dropout(0.2), torch.nn.Linear(1280, 7))
    yield "lite-head.pth", lite0.state_dict(), "lite0", "b0"
    b0 = EfficientNet.from_name("efficientnet-b0", num_classes=10).state_dict()
    yield "b0.pth", b0, "b0", "lite0"
    yield "v2-b0.pth", timm.create_model("tf_efficientnetv2_b0", num_classes=10).state_dict(), "v2-b0", "b0"
    yield "rw.pth", timm.create_model("efficientnetv2_rw_s", num_classes=10).state_dict(), "v2-rw-s", "v2-s"
    v2 = torchvision.models.efficientnet_v2_s(num_classes=10)
    yield "v2-s.pth", v2.state_dict(), "v2-s", "b3"
    v2.classifier = torch.nn.Linear(1280, 7)
    yield "v2-head.pth", v2.state_dict(), "v2-s", "v2-m"


def backbones():
    """Networks without a classifier inside larger ones: the file and words of the message."""
    b0 = EfficientNet.from_name("efficientnet-b0").state_dict()
    encoder = {f"encoder.{name}": tensor for name, tensor in b0.items() if not name.startswith("_fc")}
    decoder = {"decoder.blocks.0.conv1.0.weight": torch.zeros(3, 3, 3, 3)}
    yield "segmentation.pth", {**encoder, **decoder}, ["no classifier", "effnet features"]
    features = timm.create_model("tf_efficientnet_b0", features_only=True).state_dict()
    backbone = {f"backbone.{name}": tensor for name, tensor in features.items()}
    detector = {"fpn.resample.3.conv.conv.weight": torch.zeros(64, 320, 1, 1)}
    yield "detector.pth", {**backbone, **detector}, ["backbone without a head", "conv_head.weight"]
    grey = timm.create_model("tf_efficientnet_lite0", num_classes=10, in_chans=1).state_dict()
    yield "grey-lite.pth", grey, ["1 input channel"]


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    folder = Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    network = timm.create_model(NAME, num_classes=10).eval()
    network.load_state_dict(torch.load(sys.argv[1]))
    rows = []
    for name, value in loadable(network):
        torch.save(value, folder / name)
        rows.append({"file": name, "loads": True})
    for name, value, variant, other in relatives():
        torch.save(value, folder / name)
        rows.append({"file": name, "variant": variant, "other": other})
    for name, value, words in [*refused(network), *backbones()]:
        torch.save(value, folder / name)
        rows.append({"file": name, "refused": words})
    torch.save(network.state_dict(), folder / f"{NAME}-legacy.pth", _use_new_zipfile_serialization=False)
    rows.append({"file": f"{NAME}-legacy.pth", "loads": True})
    hub = folder / "hub"
    hub.mkdir(exist_ok=True)
    save_file(network.state_dict(), hub / "model.safetensors", metadata={"format": "pt"})
    (hub / "config.json").write_text(json.dumps({"architecture": NAME, "num_classes": 10}))
    rows.append({"file": "hub/model.safetensors", "loads": True})
    rows.append({"file": "hub", "loads": True})
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
