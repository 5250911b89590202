"""Networks of the reference packages for the tests of exported ONNX files, and what runtimes compute with the files.

    onnx_reference.py make FOLDER CASE...   writes weights, images and expected outputs; a case is `model:variant`
    onnx_reference.py run FOLDER            answers jobs, one JSON object per line on stdin

A case becomes `CASE.pth` and `CASE.safetensors` in the folder, with `-` in place of the colon. A job names an ONNX
file, the tensors to run it on and those to expect, and optionally the number of images per call; its answer, one line
of JSON on stdout, has the largest difference per runtime as a fraction of the largest expected value, and the
metadata of the file. OpenVINO takes part if it is installed.
"""

import functools
import json
import sys

import numpy
from safetensors.numpy import load_file, save_file

SIZES = ((223, 223), (224, 224), (225, 225), (300, 217))
IMAGES = 3
# Networks that are evaluated in 64 bits, which takes long.
DEEP = ("b3", "b4", "b5", "b6", "b7")


def make(folder, cases):
    import torch

    import network_models as models
    from network_reference import evaluate

    torch.set_num_threads(2)
    for case in cases:
        model, variant = case.split(":")
        tensors = models.calibrated(model, variant)
        network = models.build(model, variant, tensors)
        path = f"{folder}/{model}-{variant}"
        torch.save(network.state_dict(), f"{path}.pth")
        expected = photographs(network) if case == "timm:b0" else {}
        # A package rounds as much as a runtime, which shows in deep networks.
        type_ = torch.float64 if variant in DEEP else torch.float32
        network.to(type_)
        for height, width in SIZES:
            images = models.smooth_images(IMAGES, 3, height, width, seed=6)
            outputs = evaluate(model, network, images.to(type_))
            size = f"{height}x{width}"
            expected[f"{size}.images"] = images
            expected[f"{size}.logits"] = outputs["logits"].float()
            expected[f"{size}.probabilities"] = outputs["logits"].softmax(1).float()
            expected[f"{size}.features"] = outputs["features"].mean((2, 3)).float()
        save_file({name: tensor.contiguous().numpy() for name, tensor in expected.items()}, f"{path}.safetensors")


def photographs(network):
    """Bytes, `[1, height, width, 3]`, and the logits after the transforms of torchvision and Pillow."""
    import torch
    import torchvision.transforms.v2.functional as transforms
    from PIL import Image

    import network_models as models

    expected = {}
    # For one of them, Pillow begins with the rows.
    for height, width in ((224, 224), (480, 641), (641, 481), (150, 999), (881, 304), (97, 61)):
        bytes_ = models.smooth_images(1, 3, height, width, seed=7)
        bytes_ = ((bytes_ + 2.0) * 64).clamp(0, 255).byte().permute(0, 2, 3, 1).contiguous()
        image = Image.fromarray(bytes_[0].numpy())
        name = f"{height}x{width}"
        expected[f"{name}.bytes"] = bytes_
        for filter_, side in (("bilinear", 256), ("bicubic", 232)):
            mode = transforms.InterpolationMode(filter_)
            if height == 97:  # both sides
                resized = transforms.resize(image, [side, side], interpolation=mode)
            else:
                resized = transforms.resize(image, side, interpolation=mode)
            pixels = transforms.pil_to_tensor(transforms.center_crop(resized, 224))[None] / 255
            pixels = transforms.normalize(pixels, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
            with torch.no_grad():
                expected[f"{name}.{filter_}"] = network(pixels)
    return expected


def run(folder):
    import onnx

    tensors = functools.lru_cache(maxsize=2)(load_file)
    runtime = functools.lru_cache(maxsize=1)(open_runtimes)
    for line in sys.stdin:
        job = json.loads(line)
        path = f"{folder}/{job['file']}"
        is_new = runtime.cache_info().misses
        runtimes = runtime(path)
        if runtime.cache_info().misses > is_new:
            onnx.checker.check_model(path, full_check=True)
        answer = {"metadata": {entry.key: entry.value for entry in onnx.load(path).metadata_props}}
        arrays = tensors(f"{folder}/{job['tensors']}")
        images, expected = arrays[job["images"]], arrays[job["expected"]]
        batch = job.get("batch", len(images))
        for name, call in runtimes.items():
            found = numpy.concatenate([call(images[start : start + batch]) for start in range(0, len(images), batch)])
            assert found.shape == expected.shape and found.dtype == expected.dtype, (found.shape, found.dtype)
            answer[name] = float(numpy.abs(found - expected).max() / numpy.abs(expected).max())
        print(json.dumps(answer), flush=True)


def open_runtimes(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (name,) = (value.name for value in session.get_inputs())
    runtimes = {"onnxruntime": lambda images: session.run(None, {name: images})[0]}
    try:
        import openvino
    except ImportError:
        return runtimes
    # Without the hint, it computes in 16 bits on processors that can.
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    runtimes["openvino"] = lambda images: compiled([images])[0].copy()
    return runtimes


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(sys.argv[2], sys.argv[3:])
    else:
        run(sys.argv[2])
