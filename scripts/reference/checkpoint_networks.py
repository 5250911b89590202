"""Writes state_dicts of EfficientNets in four schemes and several containers into a folder.

checkpoint_networks.py FOLDER      the networks that the tests of effnet-checkpoint convert
checkpoint_networks.py FOLDER b7   only B7, as legacy file, zip and safetensors, for timing
"""

import sys
from pathlib import Path

import timm
import torch
import torchvision
import transformers
from efficientnet_pytorch import EfficientNet
from safetensors.torch import save_file

folder = Path(sys.argv[1])
if sys.argv[2:] == ["b7"]:
    state = EfficientNet.from_name("efficientnet-b7").state_dict()
    torch.save(state, folder / "b7_stream.pth", _use_new_zipfile_serialization=False)
    torch.save(state, folder / "b7_zip.pth")
    save_file(state, folder / "b7.safetensors")
    sys.exit()

for variant, width, depth in (("b0", 1.0, 1.0), ("b1", 1.0, 1.1), ("b3", 1.2, 1.4)):
    torch.manual_seed(0)
    networks = {
        "lukemelas": EfficientNet.from_name(f"efficientnet-{variant}", num_classes=10),
        "torchvision": getattr(torchvision.models, f"efficientnet_{variant}")(num_classes=10),
        "timm": timm.create_model(f"tf_efficientnet_{variant}", num_classes=10),
    }
    config = transformers.EfficientNetConfig(
        width_coefficient=width,
        depth_coefficient=depth,
        hidden_dim=networks["timm"].num_features,
        num_labels=10,
    )
    networks["transformers"] = transformers.EfficientNetForImageClassification(config)
    values = list(networks["lukemelas"].state_dict().values())
    for scheme, network in networks.items():
        for mine, value in zip(network.state_dict().values(), values, strict=True):
            mine.copy_(value)
        path = folder / f"{variant}_{scheme}.pth"
        torch.save(network.state_dict(), path, _use_new_zipfile_serialization=scheme != "torchvision")
