"""Creates the small checkpoints in crates/effnet-checkpoint/tests/fixtures, and the lists of names in
crates/effnet/tests/fixtures/naming.

Run with the reference interpreter:  .venv/bin/python scripts/reference/checkpoint_fixtures.py

Each file covers one container, wrapper, prefix, dtype or stride. `expected.json` in the same folder has what a
reader must find, according to PyTorch: for each tensor its dtype, shape and the hexadecimal bytes of its
elements in row-major order, little-endian. The storage keys in legacy files are addresses, so they change with
every run.
"""

import argparse
import io
import json
import os
import pickle
import struct
import tarfile
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

warnings.filterwarnings("ignore")
CRATES = Path(__file__).resolve().parents[2] / "crates"
OUT = CRATES / "effnet-checkpoint/tests/fixtures"
NAMING = CRATES / "effnet/tests/fixtures/naming"
NAMES = {
    torch.float64: "f64", torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16",
    torch.int64: "i64", torch.int32: "i32", torch.int16: "i16", torch.int8: "i8", torch.uint8: "u8",
    torch.uint16: "u16", torch.uint32: "u32", torch.uint64: "u64", torch.bool: "bool",
}
MAGIC = 0x1950A86A20F9469CFC6C
EXPECTED = {}


def ramp(*shape, dtype=torch.float32, start=0):
    numel = 1
    for size in shape:
        numel *= size
    values = torch.arange(start, start + numel, dtype=torch.float64)
    return (values if not dtype.is_floating_point else values / 8 - 1).to(dtype).reshape(shape)


def described(tensor):
    tensor = tensor.detach().contiguous()
    raw = tensor.reshape(-1).view(torch.uint8) if tensor.numel() else torch.empty(0, dtype=torch.uint8)
    return {"dtype": NAMES[tensor.dtype], "shape": list(tensor.shape), "bytes": bytes(raw.tolist()).hex()}


def expect(name, container, tensors, wrapper=None, prefix="", whole_module=False, left_out=(), refused=()):
    EXPECTED[name] = {
        "container": container, "wrapper": wrapper, "prefix": prefix, "whole_module": whole_module,
        "left_out": list(left_out), "refused": list(refused),
        "tensors": [[key, described(value)] for key, value in tensors.items()],
    }


def save(name, value, tensors, legacy=False, protocol=2, **facts):
    torch.save(value, OUT / name, pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy)
    expect(name, "legacy" if legacy else "zip", tensors, **facts)


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 1)
        self.body = nn.Sequential(nn.BatchNorm2d(2), nn.Conv2d(2, 1, 1, bias=False))
        self.register_buffer("kept", torch.tensor([3.0]))
        self.register_buffer("scratch", torch.tensor([4.0]), persistent=False)
        for index, value in enumerate(self.state_dict().values()):
            value.copy_(ramp(*value.shape, dtype=value.dtype, start=index))


def rezip(source, name, method=zipfile.ZIP_STORED, folder="", change=lambda name, raw: (name, raw), extra=()):
    """Repacks an archive, as a zip program would."""
    with zipfile.ZipFile(OUT / source) as old, zipfile.ZipFile(OUT / name, "w", method) as new:
        for info in old.infolist():
            changed = change(info.filename, old.read(info))
            if changed:
                new.writestr(folder + changed[0], changed[1])
        for entry in extra:
            new.writestr(*entry)
    EXPECTED[name] = EXPECTED.get(source)


def containers():
    tiny = Tiny()
    state = tiny.state_dict()
    save("zip_flat.pth", state, state)
    save("zip_protocol4.pth", state, state, protocol=4)
    save("zip_whole_module.pth", tiny, state, whole_module=True)
    # Not protocol 0: it writes persistent ids as text, which torch.load cannot read either.
    for protocol in (1, 2, 3, 4, 5):
        save(f"legacy_protocol{protocol}.pth", state, state, legacy=True, protocol=protocol)
    # The stream embeds the source of each class; a placeholder keeps PyTorch's own text out of the file.
    torch.serialization.get_source_lines_and_file = lambda _: (["class Placeholder: ...\n"], "network.py", 1)
    save("legacy_whole_module.pth", tiny, state, legacy=True, whole_module=True)
    save("zip_parallel_module.pth", nn.DataParallel(tiny), state, whole_module=True, prefix="module.")

    rezip("zip_flat.pth", "zip_deflated_deeper.pth", zipfile.ZIP_DEFLATED, folder="outer/",
          extra=[("__MACOSX/._data.pkl", b"x")])
    rezip("zip_flat.pth", "zip_old.pth", change=lambda name, raw:
          (name, raw) if name.endswith("data.pkl") or "/data/" in name else None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rezip("zip_flat.pth", "bad_duplicate.pth", extra=[("zip_flat/data/0", b"\0" * 8)])
    del EXPECTED["bad_duplicate.pth"]

    metadata = {"format": "pt", "effnet.profile": "tf"}
    plain = {key: value.contiguous() for key, value in state.items()}
    save_file(plain, OUT / "flat.safetensors", metadata=metadata)
    expect("flat.safetensors", "safetensors", plain)


def dtypes_and_strides():
    all_types = {name: ramp(2, 3, dtype=dtype) for dtype, name in NAMES.items() if dtype != torch.bool}
    all_types["bool"] = torch.tensor([True, False, True])
    all_types["scalar"] = torch.tensor(7)
    all_types["empty"] = torch.empty(0, 3)
    save("zip_dtypes.pth", all_types, all_types)
    save("legacy_dtypes.pth", all_types, all_types, legacy=True)
    save_file(all_types, OUT / "dtypes.safetensors")
    expect("dtypes.safetensors", "safetensors", all_types)

    def swapped(name, raw):
        if name.endswith("byteorder"):
            return name, b"big"
        if "/data/" not in name:
            return name, raw
        size = sizes[int(name.rsplit("/", 1)[1])]
        return name, b"".join(raw[at:at + size][::-1] for at in range(0, len(raw), size))

    sizes = [value.element_size() for value in all_types.values()]
    rezip("zip_dtypes.pth", "zip_big_endian.pth", change=swapped)

    base = ramp(3, 4)
    views = {
        "base": base, "transposed": base.t(), "row": base[1], "column": base[:, 2], "corner": base[1:, 2:],
        "expanded": torch.tensor([2.5]).expand(3, 2), "channels_last": ramp(1, 2, 2, 2).to(
            memory_format=torch.channels_last), "parameter": nn.Parameter(base.t()), "element": base[2, 3],
    }
    save("zip_strides.pth", views, views)
    save("legacy_strides.pth", views, views, legacy=True)


def wrappers():
    state, average = Tiny().state_dict(), {key: value + 1 for key, value in Tiny().state_dict().items()}
    options = argparse.Namespace(lr=0.1, name="run")
    save("wrapped_average.pth", {"epoch": 3, "state_dict": state, "state_dict_ema": average, "args": options},
         average, wrapper="state_dict_ema", left_out=["epoch", "state_dict", "args"])
    save("wrapped_empty_average.pth", {"state_dict_ema": None, "model": state, "best_acc1": 0.5}, state,
         wrapper="model", left_out=["state_dict_ema", "best_acc1"])
    lightning = OrderedDict((f"model.{key}", value) for key, value in state.items())
    save("wrapped_lightning.pth", {"pytorch-lightning_version": "2.1", "state_dict": lightning}, state,
         wrapper="state_dict", prefix="model.", left_out=["pytorch-lightning_version"])
    compiled = OrderedDict((f"module._orig_mod.{key}", value) for key, value in state.items())
    save("prefixed_twice.pth", compiled, state, prefix="module._orig_mod.")
    mixed = OrderedDict((key if index else f"module.{key}", value)
                        for index, (key, value) in enumerate(state.items()))
    save("prefixed_partly.pth", mixed, mixed)
    save("wrapped_module.pth", {"model": Tiny(), "epoch": 1}, state, wrapper="model", whole_module=True,
         left_out=["epoch"])
    momentum = torch.optim.SGD(Tiny().parameters(), lr=0.1, momentum=0.9).state_dict()
    save("wrapped_list.pth", [state, momentum], state, wrapper="0", left_out=["1"])
    save("wrapped_tuple.pth", (3, state), state, wrapper="1", left_out=["0"], legacy=True)
    torch.save({"nets": ({"weights": state}, momentum), "losses": [0.5, 0.25]}, OUT / "deep_list.pth")
    torch.save({0: state, 1: average, "folds": 2}, OUT / "deep_numbers.pth")
    torch.save([state, average, momentum], OUT / "bad_list_of_two.pth")
    torch.save([ramp(2), ramp(3)], OUT / "bad_list_of_tensors.pth")
    save("flat_with_extras.pth", {**state, "epoch": 5, "classes": ["cat", "dog"]}, state,
         left_out=["epoch", "classes"])


def refused_kinds():
    odd = {
        "complex": torch.ones(2, dtype=torch.complex64), "float8": torch.ones(2, dtype=torch.float8_e4m3fn),
        "quantised": torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8),
        "sparse": torch.eye(2).to_sparse(), "conjugated": torch.ones(2, dtype=torch.complex64).conj(),
        "meta": torch.empty(2, 3, device="meta"),
    }
    dense = {"weight": ramp(2, 2)}
    save("odd_kinds.pth", {**dense, **odd}, dense, refused=list(odd))
    save("odd_optimizer.pth", {"state_dict": dense, "optimizer": odd}, dense, wrapper="state_dict",
         left_out=["optimizer"])


class ByTable(pickle._Pickler):
    """A pickler with the persistent ids of a table, from object id to persistent id."""

    table = {}

    def persistent_id(self, value):
        return self.table.get(id(value))


def dumped(value, table=None, protocol=2):
    out = io.BytesIO()
    pickler = ByTable(out, protocol)
    pickler.table = table or {}
    pickler.dump(value)
    return out.getvalue()


class Rebuilt:
    def __init__(self, *args):
        self.args = args

    def __reduce__(self):
        return torch._utils._rebuild_tensor_v2, self.args


def rebuilt(storage, offset, size, stride):
    return Rebuilt(storage, offset, size, stride, False, OrderedDict())


def legacy_by_hand():
    """What present-day PyTorch no longer writes: views of storages, and Python 2 strings."""
    system = dumped({"protocol_version": 1001, "little_endian": True, "type_sizes": {}})
    whole, view = object(), object()
    table = {
        id(whole): ("storage", torch.FloatStorage, "900", "cuda:3", 6, None),
        id(view): ("storage", torch.FloatStorage, "900", "cuda:3", 6, ("901", 2, 4)),
    }
    value = {"all": rebuilt(whole, 0, (6,), (1,)), "view": rebuilt(view, 1, (3,), (1,))}
    values = ramp(6)
    raw = struct.pack("<q6f", 6, *values.tolist())
    head = dumped(MAGIC) + dumped(1001) + system
    (OUT / "legacy_views.pth").write_bytes(head + dumped(value, table) + dumped(["900"]) + raw)
    expect("legacy_views.pth", "legacy", {"all": values, "view": values[3:6]})

    def text(string):
        return b"U" + bytes([len(string)]) + string

    pickled = (b"\x80\x02ccollections\nOrderedDict\nq\x01]\x85R(" + text(b"w\xe9ight") +
               b"ctorch._utils\n_rebuild_tensor\n((" + text(b"storage") + b"ctorch\nDoubleStorage\n" +
               text(b"7") + text(b"cpu") + b"K\x02NtQK\x00K\x02\x85K\x01\x85tR" +
               b"T\x05\x00\x00\x00epochK\x09u.")
    raw = struct.pack("<q2d", 2, 1.5, -2.5)
    (OUT / "legacy_python2.pth").write_bytes(head + pickled + b"\x80\x02]U\x017a." + raw)
    expect("legacy_python2.pth", "legacy", {"w\xe9ight": torch.tensor([1.5, -2.5], dtype=torch.float64)},
           left_out=["epoch"])
    big = dumped({"protocol_version": 1001, "little_endian": False, "type_sizes": {}})
    bad = dumped(MAGIC) + dumped(1001) + big + dumped(value, table) + dumped(["900"]) + struct.pack("<q6f", 6, *[0] * 6)
    (OUT / "bad_big_endian_legacy.pth").write_bytes(bad)


def tar_by_hand():
    """The container of the first releases, as described in torch/serialization.py."""
    storages = io.BytesIO()
    storages.write(dumped(1) + dumped((11, "cpu", torch.FloatStorage)))
    storages.write(struct.pack("<q12f", 12, *ramp(12).tolist()))
    storages.write(dumped([(12, 11, 4, 6)]))
    tensors = io.BytesIO()
    tensors.write(dumped(2))
    for key, storage, size, stride, offset in ((21, 11, (3, 4), (4, 1), 0), (22, 12, (2, 3), (1, 2), 0)):
        tensors.write(dumped((key, storage, torch.FloatTensor)))
        tensors.write(struct.pack("<ii", len(size), 0) + struct.pack(f"<{2 * len(size)}q", *size, *stride))
        tensors.write(struct.pack("<q", offset))
    first, second = object(), object()
    value = OrderedDict([("module.a", first), ("module.b", second)])
    members = {
        "sys_info": dumped({"protocol_version": 1000}), "pickle": dumped(value, {id(first): 21, id(second): 22}),
        "tensors": tensors.getvalue(), "storages": storages.getvalue(),
    }
    with tarfile.open(OUT / "tar.pth", "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, raw in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            tar.addfile(info, io.BytesIO(raw))
    expect("tar.pth", "tar", {"a": ramp(12).reshape(3, 4), "b": ramp(12)[4:10].reshape(3, 2).t()},
           prefix="module.")


def keras_files():
    """Files in the layouts of Keras, small enough to be cut and damaged everywhere."""
    import h5py

    def stored(value, order):
        return value.permute(order).contiguous().numpy() if order else value.numpy()

    # PyTorch's name and value, and the dataset of Keras with its order of dimensions.
    conv, depthwise, dense = ramp(4, 2, 3, 3), ramp(4, 1, 3, 3, start=3), ramp(3, 4, dtype=torch.float16)
    norms = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    named = {
        "block1a_dwconv/block1a_dwconv/depthwise_kernel:0": ("block1a_dwconv.weight", depthwise, (2, 3, 0, 1)),
        "normalization/normalization/count:0": ("normalization.count", torch.tensor(7), ()),
        "predictions/predictions/bias:0": ("predictions.bias", ramp(3, dtype=torch.float64), ()),
        "predictions/predictions/kernel:0": ("predictions.weight", dense, (1, 0)),
        "stem_conv/net/stem_conv/kernel:0": ("stem_conv.weight", conv, (2, 3, 1, 0)),
    }
    for place, (keras, leaf) in enumerate(norms.items()):
        named[f"stem_bn/stem_bn/{keras}:0"] = (f"stem_bn.{leaf}", ramp(4, start=place), ())
    numbered = {
        "layers/depthwise_conv2d/vars/0": ("depthwise_conv2d.weight", depthwise, (2, 3, 0, 1)),
        "layers/dense/vars/0": ("dense.weight", dense, (1, 0)),
        "layers/functional/layers/conv2d/vars/1": ("functional.conv2d.bias", ramp(4), ()),
    }
    # More layers than one node of a group's B-tree holds.
    for number in range(20):
        name = f"conv2d_{number}" if number else "conv2d"
        numbered[f"layers/{name}/vars/0"] = (f"{name}.weight", ramp(2, 1, 1, 1, start=number), (2, 3, 1, 0))

    def write(name, datasets, container="hdf5", left_out=(), **options):
        with h5py.File(OUT / name, "w", **options) as file:
            for path, (_, value, order) in datasets.items():
                array = stored(value, order)
                packed = {"compression": "gzip", "shuffle": True, "fletcher32": True, "chunks": (2, 2, 1, 1)}
                file.create_dataset(path, data=array, **(packed if array.shape == (3, 3, 4, 1) else {}))
            for path in left_out:
                file.create_dataset(path, data="a text")
            order = []
            file.visititems(lambda path, item: order.append(path) if isinstance(item, h5py.Dataset) else None)
        tensors = {datasets[path][0]: datasets[path][1] for path in order if path in datasets}
        expect(name, container, tensors, left_out=left_out)

    write("keras_named.h5", named)
    write("keras_numbered.weights.h5", numbered, left_out=["optimizer"])
    write("keras_latest.h5", {path: named[path] for path in list(named)[1:5]}, libver=("v108", "v108"))
    for name, method in (("keras.keras", zipfile.ZIP_STORED), ("keras_deflated.keras", zipfile.ZIP_DEFLATED)):
        with zipfile.ZipFile(OUT / name, "w", method) as archive:
            for entry, content in (
                ("metadata.json", b"{}"),
                ("config.json", b"{}"),
                ("model.weights.h5", (OUT / "keras_numbered.weights.h5").read_bytes()),
            ):
                # A fixed date, so that the file is the same each time.
                archive.writestr(zipfile.ZipInfo(entry), content, compress_type=method)
        EXPECTED[name] = EXPECTED["keras_numbered.weights.h5"] | {"container": "keras"}
    with h5py.File(OUT / "bad_dense_links.h5", "w", libver="latest") as file:
        for number in range(20):
            file[f"conv2d_{number}"] = [0.0]


def naming():
    os.environ["KERAS_BACKEND"] = "torch"
    import keras
    import timm
    import torchvision
    import transformers
    from efficientnet_pytorch import EfficientNet

    networks = {
        "lukemelas": EfficientNet.from_name("efficientnet-b0"),
        "torchvision": torchvision.models.efficientnet_b0(),
        "timm": timm.create_model("tf_efficientnet_b0"),
        "transformers": transformers.EfficientNetForImageClassification(
            transformers.EfficientNetConfig(
                width_coefficient=1.0, depth_coefficient=1.0, hidden_dim=1280, num_labels=1000
            )
        ),
    }
    for scheme, network in networks.items():
        list_names(f"b0_{scheme}", network)
    for relative in ("cc_b0_4e", "x_b3", "b1_pruned"):
        list_names(f"{relative}_timm", timm.create_model(f"efficientnet_{relative}"))
    list_keras(keras.applications.EfficientNetB0(weights=None))


def list_names(name, network):
    lines = [f"{name} {'x'.join(map(str, tensor.shape))}" for name, tensor in network.state_dict().items()]
    (NAMING / f"{name}.txt").write_text("\n".join(lines) + "\n")


def list_keras(network):
    """Lists Keras's variables as effnet-checkpoint reads them: in PyTorch's order of dimensions, under its names. A
    batch norm of Keras has no counter; the list has those of the other schemes, so that all have equal length."""
    norm = ("weight", "bias", "running_mean", "running_var")
    lines = []
    for layer in network.layers:
        shapes = [tuple(value.shape) for value in layer.weights]
        if layer.name.startswith("normalization"):
            continue
        for place, shape in enumerate(shapes):
            if len(shape) == 4:
                height, width, into, out = shape
                shape = (into, out, height, width) if "dwconv" in layer.name else (out, into, height, width)
            name = norm[place] if len(shapes) == 4 else ("weight", "bias")[place]
            shape = shape[::-1] if len(shape) == 2 else shape
            lines.append(f"{layer.name}.{name} {'x'.join(map(str, shape))}")
        if len(shapes) == 4:
            lines.append(f"{layer.name}.num_batches_tracked ")
    (NAMING / "b0_keras.txt").write_text("\n".join(lines) + "\n")


def main():
    NAMING.mkdir(parents=True, exist_ok=True)
    containers()
    dtypes_and_strides()
    wrappers()
    refused_kinds()
    legacy_by_hand()
    tar_by_hand()
    torch.jit.script(nn.Linear(2, 1)).save(OUT / "bad_torchscript.pt")
    keras_files()
    naming()
    lines = [f"{json.dumps(name)}: {json.dumps(facts)}" for name, facts in sorted(EXPECTED.items())]
    (OUT / "expected.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
