"""What a Python user writes to rename the tensors of an EfficientNet-PyTorch file and save it as safetensors:

    convert_checkpoint.py FILE OUT NAMES       NAMES has the new names, one per line, in the order of the file
    convert_checkpoint.py --names VARIANT      prints torchvision's names
    convert_checkpoint.py --same ONE OTHER     exits with 1 unless two safetensors files have the same tensors

The names are printed in advance, so that the time of importing torchvision is not part of the conversion.
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
    # effnet syncs the file to disk too.
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
