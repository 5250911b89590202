"""What a Python user writes to bring a file of EfficientNet-PyTorch to other names and to safetensors:

    convert_checkpoint.py FILE OUT NAMES       NAMES holds the new names, one a line, in the order of the file
    convert_checkpoint.py --names VARIANT      prints torchvision's names
    convert_checkpoint.py --same ONE OTHER     exits with 1 unless two safetensors files hold the same tensors

The names are made beforehand, so that the import of torchvision does not count as a part of the conversion.
"""

import os
import sys
import zipfile

import torch
from safetensors.torch import load_file, save_file


def print_names(variant):
    from torchvision import models

    with torch.device("meta"):
        print("\n".join(getattr(models, f"efficientnet_{variant}")().state_dict()))


def convert(path, out, names):
    with open(names, encoding="utf-8") as file:
        names = file.read().split()
    # mmap needs the zip container.
    state_dict = torch.load(path, weights_only=True, mmap=zipfile.is_zipfile(path))
    renamed = dict(zip(names, state_dict.values(), strict=True))
    save_file(renamed, out, metadata={"format": "pt"})
    # effnet makes sure that the file is on the disk too.
    with open(out, "rb+") as file:
        os.fsync(file.fileno())


def same(one, other):
    one, other = load_file(one), load_file(other)
    equal = one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    return 0 if equal else "the results differ: nothing to compare"


if sys.argv[1] == "--names":
    print_names(sys.argv[2])
elif sys.argv[1] == "--same":
    sys.exit(same(*sys.argv[2:]))
else:
    convert(*sys.argv[1:])
