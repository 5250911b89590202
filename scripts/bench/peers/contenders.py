"""One contender: runs one forward pass per line on stdin and answers with its milliseconds. peers.py starts it
in its own process:

    contenders.py NAME PRECISION VARIANT WEIGHTS INPUT OUTPUT THREADS

WEIGHTS has the original parameter names, INPUT is a batch as raw floats; the logits are written to OUTPUT likewise.
"""

import os
import sys
import tempfile
import time
import warnings

import numpy as np
import torch
from safetensors.torch import load_file

SIZES = {"b0": 224, "b1": 240, "b2": 260, "b3": 300, "b4": 380, "b5": 456, "b6": 528, "b7": 600}
SIZES |= {"lite0": 224, "lite4": 300, "v2-b0": 224, "v2-s": 384, "v2-m": 480}
# Images that int8 is calibrated with; as random as those that are timed.
CALIBRATION = 32


def original(variant):
    """efficientnet_pytorch, with torch's SiLU instead of its own, which saves memory in training and is slower;
    efficientnet_lite_pytorch for Lite, and timm for V2."""
    if variant.startswith("v2-"):
        return timm_tf(variant)
    if variant.startswith("lite"):
        from efficientnet_lite_pytorch import EfficientNet

        return EfficientNet.from_name(f"efficientnet-{variant}").eval()
    from efficientnet_pytorch import EfficientNet

    network = EfficientNet.from_name(f"efficientnet-{variant}")
    network.set_swish(memory_efficient=False)
    return network.eval()


def timm_name(variant):
    return f"efficientnet{'' if variant.startswith('v2-') else '_'}{variant.replace('-', '_')}"


def timm_tf(variant):
    import timm

    return timm.create_model(f"tf_{timm_name(variant)}").eval()


def torchvision_(variant):
    import torchvision

    return getattr(torchvision.models, f"efficientnet_{variant.replace('-', '_')}")(weights=None).eval()


def has(name, variant):
    """Whether a contender has this variant."""
    if name.startswith("torchvision"):
        return not variant.startswith("lite") and variant != "v2-b0"
    return name != "efficientnet_pytorch" or variant.startswith("b")


def with_weights(network, weights):
    """Loads the tensors of `weights` by position: the packages list the same layers in the same order."""
    own = network.state_dict()
    given = load_file(weights)
    names = list(original(variant_of(weights)).state_dict())
    if [tuple(t.shape) for t in own.values()] != [tuple(given[name].shape) for name in names]:
        raise RuntimeError("the packages list their tensors in different orders")
    network.load_state_dict({key: given[name] for key, name in zip(own, names)})
    return network


def variant_of(path):
    return os.path.basename(path).split(".")[0]


def eager(network, images, precision, channels_last):
    if channels_last:
        network = network.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)

    def forward():
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            return network(images).float().numpy()

    return forward


def compiled(network, images, precision):
    import torch._inductor.config as inductor

    inductor.freezing = True
    return eager(torch.compile(network), images, precision, channels_last=True)


def openvino(network, images, precision, threads):
    import openvino as ov

    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16", "int8": "f32"}[precision],
    }
    model = ov.convert_model(network, example_input=images, input=list(images.shape))
    if precision == "int8":
        import nncf

        batches = calibration(images)
        model = nncf.quantize(
            model, nncf.Dataset(batches), preset=nncf.QuantizationPreset.MIXED, subset_size=len(batches)
        )
    request = ov.Core().compile_model(model, "CPU", settings).create_infer_request()
    array = images.numpy()
    return lambda: request.infer([array], share_inputs=True)[0]


def calibration(images):
    """Batches, each of as many images as `images`, of images like those that are timed."""
    layers = (torch.randn(CALIBRATION, 3, side, side) for side in (2, 5, 11))
    resize = torch.nn.functional.interpolate
    rows = sum(resize(layer, images.shape[2:], mode="bicubic") for layer in layers).numpy()
    count = images.shape[0]
    return [np.resize(rows[first : first + count], images.shape) for first in range(0, len(rows), count)]


def quantized(path, images):
    """Quantizes an ONNX file to int8, in the QDQ format that ONNX Runtime recommends. Returns the new file."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.batches = iter(calibration(images))

        def get_next(self):
            batch = next(self.batches, None)
            return None if batch is None else {"x": batch}

    prepared, target = f"{path}.prepared.onnx", f"{path}.int8.onnx"
    quant_pre_process(path, prepared)
    quantize_static(
        prepared, target, Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
    )
    return target


def for_batch(path, count):
    """Changes the batch of an ONNX file with a fixed batch of one."""
    import onnx

    model = onnx.load(path)
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = count
    del model.graph.value_info[:]
    onnx.save(model, path)
    return path


def onnx_runtime(network, images, precision, threads):
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.onnx")
        # The calibration keeps every activation: with a batch of large images, more than 20 GB.
        exported = images[:1] if precision == "int8" else images
        torch.onnx.export(network, (exported,), path, input_names=["x"], output_names=["y"], dynamo=False)
        if precision == "int8":
            path = for_batch(quantized(path, exported), len(images))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    array = images.numpy()
    return lambda: session.run(None, {"x": array})[0]


def contender(name, precision, variant, weights, images, threads):
    make = {"efficientnet_pytorch": original, "torchvision": torchvision_}.get(name.split()[0], timm_tf)
    network = with_weights(make(variant), weights)
    if name == "OpenVINO":
        return openvino(network, images, precision, threads)
    if name == "ONNX Runtime":
        return onnx_runtime(network, images, precision, threads)
    if name == "torch.compile":
        return compiled(network, images, precision)
    return eager(network, images, precision, channels_last=name.endswith("channels_last"))


def main():
    name, precision, variant, weights, source, target, threads = sys.argv[1:]
    warnings.filterwarnings("ignore")
    # Keep what libraries print while converting out of the answers.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    torch.set_num_threads(int(threads))
    size = SIZES[variant]
    images = torch.from_numpy(np.fromfile(source, dtype=np.float32)).view(-1, 3, size, size)
    with torch.inference_mode(False), torch.no_grad():
        forward = contender(name, precision, variant, weights, images, int(threads))
        np.asarray(forward(), dtype=np.float32).tofile(target)
    print("ready", file=answers)
    for _ in sys.stdin:
        start = time.perf_counter()
        forward()
        print((time.perf_counter() - start) * 1e3, file=answers)


if __name__ == "__main__":
    main()
