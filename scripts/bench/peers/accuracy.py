"""Classes of lite0's published weights on photos, in every precision of effnet and of its peers.

    accuracy.py EFFNET FOLDER

Prints a Markdown table: how many photos have the right class first, and how many the class that effnet has in fp32.
"""

import json
import os
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import torch
from PIL import Image, ImageOps

SIZE, RESIZE = 224, 256


def wnids():
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "../../../weights/imagenet-classes.json"), encoding="utf-8") as file:
        return [row["wnid"] for row in json.load(file)]


def pixels(path):
    """The preprocessing of the weights: Pillow's bicubic filter, the middle, `(x - 127) / 128`."""
    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened).convert("RGB")
    short = min(image.size)
    width, height = (int(RESIZE * side / short) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = round((width - SIZE) / 2), round((height - SIZE) / 2)
    array = np.asarray(image.crop((left, top, left + SIZE, top + SIZE)), dtype=np.float32)
    return ((array - 127) / 128).transpose(2, 0, 1)[None].copy()


def of_effnet(effnet, photos, precision):
    command = [effnet, "classify", *photos, "--model", "lite0", "-k", "1", "--format", "json", "--precision", precision]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [json.loads(line)["predictions"][0]["class"] for line in lines]


def network(effnet):
    from efficientnet_lite_pytorch import EfficientNet

    path = subprocess.run([effnet, "download", "lite0"], check=True, capture_output=True, text=True).stdout.split()[-1]
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(path, weights_only=True))
    return network.eval()


def of_openvino(model, inputs, precision):
    import openvino as ov

    model = ov.convert_model(model, example_input=torch.zeros(1, 3, SIZE, SIZE), input=[1, 3, SIZE, SIZE])
    if precision == "int8":
        import nncf

        samples = nncf.Dataset(inputs)
        model = nncf.quantize(model, samples, preset=nncf.QuantizationPreset.MIXED, subset_size=len(inputs))
    hint = "bf16" if precision == "bf16" else "f32"
    request = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint}).create_infer_request()
    return [int(request.infer([array])[0].argmax()) for array in inputs]


def of_onnx_runtime(model, inputs, precision):
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def __init__(self):
            self.inputs = iter(inputs)

        def get_next(self):
            array = next(self.inputs, None)
            return None if array is None else {"x": array}

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.onnx")
        zeros = torch.zeros(1, 3, SIZE, SIZE)
        torch.onnx.export(model, (zeros,), path, input_names=["x"], output_names=["y"], dynamo=False)
        if precision == "int8":
            prepared, path = os.path.join(folder, "prepared.onnx"), os.path.join(folder, "int8.onnx")
            quant_pre_process(os.path.join(folder, "model.onnx"), prepared)
            quantize_static(
                prepared, path, Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
                activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            )
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return [int(session.run(None, {"x": array})[0].argmax()) for array in inputs]


def main():
    effnet, folder = sys.argv[1:]
    warnings.filterwarnings("ignore")
    classes = {wnid: index for index, wnid in enumerate(wnids())}
    photos = sorted(os.path.join(folder, name) for name in os.listdir(folder) if name.split("_")[0] in classes)
    right = [classes[os.path.basename(photo).split("_")[0]] for photo in photos]
    inputs = [pixels(photo) for photo in photos]
    model = network(effnet)
    rows = [(f"effnet {precision}", of_effnet(effnet, photos, precision)) for precision in ("fp32", "bf16")]
    with torch.no_grad():
        rows.append(("PyTorch fp32", [int(model(torch.from_numpy(array)).argmax()) for array in inputs]))
    rows += [(f"OpenVINO {precision}", of_openvino(model, inputs, precision)) for precision in ("fp32", "bf16", "int8")]
    rows += [(f"ONNX Runtime {precision}", of_onnx_runtime(model, inputs, precision)) for precision in ("fp32", "int8")]
    print(f"\n| lite0, {len(photos)} photos | right class first | effnet's class in fp32 |\n|---|---|---|")
    same = lambda found, expected: sum(a == b for a, b in zip(found, expected, strict=True))
    for name, found in rows:
        print(f"| {name} | {same(found, right)} | {same(found, rows[0][1])} |")


if __name__ == "__main__":
    main()
