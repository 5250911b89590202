"""A classifier behind LitServe with ONNX Runtime and Pillow: litserve_server.py MODEL.onnx PORT WORKERS THREADS BATCH

The way its documentation serves images: a form with a file, decoded in the worker, batches formed by the server.
`effnet export` writes the model; resize, crop and normalisation are those of b0 (bicubic, 256, 224) in Pillow and NumPy.
"""

import io
import sys

import litserve
import numpy
import onnxruntime
from PIL import Image

MODEL, PORT, WORKERS, THREADS, BATCH = sys.argv[1], *map(int, sys.argv[2:])
MEAN = numpy.array([0.485, 0.456, 0.406], numpy.float32)
STD = numpy.array([0.229, 0.224, 0.225], numpy.float32)


class Classifier(litserve.LitAPI):
    def setup(self, device):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        self.session = onnxruntime.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])
        self.input = self.session.get_inputs()[0].name

    def decode_request(self, request):
        image = Image.open(io.BytesIO(request["image"].file.read())).convert("RGB")
        scale = 256 / min(image.size)
        width, height = (round(side * scale) for side in image.size)
        left, top = (width - 224) // 2, (height - 224) // 2
        image = image.resize((width, height), Image.BICUBIC).crop((left, top, left + 224, top + 224))
        pixels = (numpy.asarray(image, numpy.float32) / 255 - MEAN) / STD
        return pixels.transpose(2, 0, 1)

    def batch(self, inputs):
        return numpy.stack(inputs)

    def predict(self, pixels):
        if BATCH == 1:
            pixels = pixels[None]
        logits = self.session.run(None, {self.input: numpy.ascontiguousarray(pixels)})[0]
        return logits if BATCH > 1 else logits[0]

    def unbatch(self, output):
        return list(output)

    def encode_response(self, logits):
        best = numpy.argsort(-logits)[:5]
        odds = numpy.exp(logits - logits.max())
        odds /= odds.sum()
        return {"predictions": [{"class": int(one), "probability": float(odds[one])} for one in best]}


if __name__ == "__main__":
    api = Classifier(max_batch_size=BATCH, batch_timeout=0.002)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=WORKERS, timeout=120)
    server.run(host="127.0.0.1", port=PORT, generate_client_file=False, log_level="warning")
