"""The programs that are compared, each as a function from a batch to logits and a way to time it."""

import os
import subprocess
import time

import numpy as np
import torch


class Callable_:
    """A contender inside this process."""

    def __init__(self, forward):
        self.forward = forward

    def logits(self):
        return np.asarray(self.forward(), dtype=np.float32)

    def milliseconds(self):
        start = time.perf_counter()
        self.forward()
        return (time.perf_counter() - start) * 1e3

    def close(self):
        pass


class Program:
    """The project's own example, one process per contender, answering a line with a time."""

    def __init__(self, binary, folder, variant, images, precision, engine, threads):
        name = os.path.join(folder, f"{variant}-{images.shape[0]}-{precision}-{engine}")
        images.numpy().tofile(os.path.join(folder, "input.bin"))
        self.output = name + ".bin"
        environment = dict(
            os.environ,
            EFFNET_SERVE="1",
            EFFNET_THREADS=str(threads),
            EFFNET_WEIGHTS=os.path.join(folder, f"{variant}.safetensors"),
            EFFNET_INPUT=os.path.join(folder, "input.bin"),
            EFFNET_OUTPUT=self.output,
        )
        batch, _, size, _ = images.shape
        command = [binary, variant, str(batch), str(size), "1", precision, engine]
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        ready = self.process.stdout.readline()
        if not ready.startswith("ready"):
            raise RuntimeError(f"{' '.join(command)} did not start: {ready!r}")

    def logits(self):
        return np.fromfile(self.output, dtype=np.float32)

    def milliseconds(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def openvino(model, images, precision, threads):
    import openvino as ov

    compiled = ov.Core().compile_model(
        ov.convert_model(model, example_input=images),
        "CPU",
        {
            "INFERENCE_NUM_THREADS": threads,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
        },
    )
    request = compiled.create_infer_request()
    array = images.numpy()
    return Callable_(lambda: request.infer([array], share_inputs=True)[0])


def onnx_runtime(model, images, folder, threads):
    import onnxruntime

    path = os.path.join(folder, "model.onnx")
    torch.onnx.export(model, (images,), path, input_names=["x"], output_names=["y"], dynamo=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    array = images.numpy()
    return Callable_(lambda: session.run(None, {"x": array})[0])


def eager(model, images, channels_last=False, bf16=False):
    if channels_last:
        model = model.to(memory_format=torch.channels_last)
        images = images.to(memory_format=torch.channels_last)

    def forward():
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            return model(images).float()

    return Callable_(forward)


def compiled(model, images, bf16):
    import torch._inductor.config as inductor

    inductor.freezing = True
    return eager(torch.compile(model), images, channels_last=True, bf16=bf16)
