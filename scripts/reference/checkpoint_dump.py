"""Prints what torch.load finds in each file, one JSON line per file, for the tests of effnet-checkpoint.

{"file": ..., "tensors": {"path.to.tensor": [dtype, shape, sha256 of its elements in row-major order]}}, or
"error" in place of "tensors". Unknown classes become empty modules, so that whole modules can be loaded.
Only for trusted files: this is Python's own unpickling. With --weights-only, it is PyTorch's safe one.
"""

import hashlib
import json
import pickle
import sys
import types
import warnings

import torch
from safetensors.torch import load_file
from torch import nn

warnings.filterwarnings("ignore")


class Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        try:
            return super().find_class(module, name)
        except (ImportError, AttributeError):
            return type(name, (nn.Module,), {"__module__": module})


def load(path, strictly):
    if path.endswith(".safetensors"):
        return load_file(path)
    if strictly:
        return torch.load(path, map_location="cpu", weights_only=True)
    forgiving = types.SimpleNamespace(
        Unpickler=Unpickler, load=lambda file, **options: Unpickler(file, **options).load(), __name__="forgiving"
    )
    return torch.load(path, map_location="cpu", weights_only=False, pickle_module=forgiving)


def tensors(value, path=""):
    if isinstance(value, nn.Module):
        yield from tensors(value.state_dict(), path)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from tensors(inner, f"{path}.{key}" if path else str(key))
    elif isinstance(value, torch.Tensor):
        value = value.detach().contiguous()
        raw = value.reshape(-1).view(torch.uint8).numpy().tobytes() if value.numel() else b""
        yield path, [str(value.dtype).removeprefix("torch."), list(value.shape), hashlib.sha256(raw).hexdigest()]


arguments = sys.argv[1:]
strictly = "--weights-only" in arguments
for path in (argument for argument in arguments if not argument.startswith("--")):
    answer = {"file": path}
    try:
        answer["tensors"] = dict(tensors(load(path, strictly)))
    except Exception as error:  # noqa: BLE001: whatever torch.load raises is its answer
        answer["error"] = str(error)[:200]
    print(json.dumps(answer))
