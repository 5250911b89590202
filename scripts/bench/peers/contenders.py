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


def original(variant):
    """efficientnet_pytorch, with torch's SiLU instead of its own, which saves memory in training and is slower."""
    from efficientnet_pytorch import EfficientNet

    network = EfficientNet.from_name(f"efficientnet-{variant}")
    network.set_swish(memory_efficient=False)
    return network.eval()


def timm_tf(variant):
    import timm

    return timm.create_model(f"tf_efficientnet_{variant}").eval()


def torchvision_(variant):
    import torchvision

    return getattr(torchvision.models, f"efficientnet_{variant}")(weights=None).eval()


def with_weights(network, weights):
    """Loads the tensors of `weights` by position: the packages list the same layers in the same order."""
    own = network.state_dict()
    given = load_file(weights)
    from efficientnet_pytorch import EfficientNet

    names = list(EfficientNet.from_name(f"efficientnet-{variant_of(weights)}").state_dict())
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
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
    }
    model = ov.convert_model(network, example_input=images, input=list(images.shape))
    request = ov.Core().compile_model(model, "CPU", settings).create_infer_request()
    array = images.numpy()
    return lambda: request.infer([array], share_inputs=True)[0]


def onnx_runtime(network, images, threads):
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.onnx")
        torch.onnx.export(network, (images,), path, input_names=["x"], output_names=["y"], dynamo=False)
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
        return onnx_runtime(network, images, threads)
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
