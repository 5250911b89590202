# Runs an ONNX file for `effnet export --check`, with ONNX Runtime or else OpenVINO.
#
#   check.py                 prints which of them there is, and its version
#   check.py FILE D0 D1 ...  runs FILE on the values [D0, D1, ...] of stdin, and writes its output to stdout as 32-bit
#                            floats; 4-D input with 3 at the end is bytes, any other is 32-bit floats
import sys

# With `python -c`, modules in the current folder would come first.
sys.path = [path for path in sys.path if path]

try:
    import numpy
    import onnxruntime as runtime

    name = "ONNX Runtime"
except ImportError:
    try:
        import numpy
        import openvino as runtime

        name = "OpenVINO"
    except ImportError:
        sys.exit(3)


def run_onnxruntime(path, images):
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: images})[0]


def run_openvino(path, images):
    # Without the hint, it computes in 16 bits on processors that can.
    compiled = runtime.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled([images])[0]


if len(sys.argv) == 1:
    print(name, runtime.__version__)
    sys.exit()
path, shape = sys.argv[1], [int(side) for side in sys.argv[2:]]
type_ = numpy.uint8 if shape[-1] == 3 else numpy.float32
images = numpy.frombuffer(sys.stdin.buffer.read(), type_).reshape(shape)
run = run_onnxruntime if name == "ONNX Runtime" else run_openvino
sys.stdout.buffer.write(run(path, images).astype("<f4").tobytes())
