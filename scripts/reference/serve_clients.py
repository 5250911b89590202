"""Calls a running `effnet serve` with the clients of Triton and KServe, and checks what comes back.

    serve_clients.py triton|kserve ADDRESS MODEL IMAGE

Prints the logits that the client got for the image, as JSON.
"""

import asyncio
import json
import sys

import numpy


def triton(address, model, image):
    import tritonclient.http as client
    from tritonclient.utils import InferenceServerException

    server = client.InferenceServerClient(address)
    assert server.is_server_live() and server.is_server_ready() and server.is_model_ready(model, "1")
    assert not server.is_model_ready("nothing")
    assert server.get_server_metadata()["extensions"] == ["binary_tensor_data", "classification"]
    metadata = server.get_model_metadata(model)
    assert [one["name"] for one in metadata["inputs"]] == ["image", "input"]
    _, _, side, _ = metadata["inputs"][1]["shape"]

    def infer(value, name, datatype, in_binary, out_binary, **output):
        given = client.InferInput(name, value.shape, datatype)
        given.set_data_from_numpy(value, binary_data=in_binary)
        wanted = [
            client.InferRequestedOutput(one, binary_data=out_binary, **output) for one in ("logits", "probabilities")
        ]
        return server.infer(model, [given], outputs=wanted, request_id="7")

    images = numpy.array([image, image], dtype=object)
    binary = infer(images, "image", "BYTES", True, True)
    assert binary.get_response()["id"] == "7"
    logits = binary.as_numpy("logits")
    assert logits.shape == (2, metadata["outputs"][0]["shape"][1]) and (logits[0] == logits[1]).all()
    probabilities = binary.as_numpy("probabilities")
    assert abs(probabilities.sum(1) - 1).max() < 1e-5
    json_out = infer(images, "image", "BYTES", True, False)
    assert (json_out.as_numpy("logits") == logits).all()
    assert (json_out.as_numpy("probabilities") == probabilities).all()
    for out_binary in (True, False):
        best = infer(images, "image", "BYTES", True, out_binary, class_count=2).as_numpy("logits")
        assert best.shape == (2, 2)
        # In JSON, the client leaves texts as they are.
        text = best[0][0] if isinstance(best[0][0], str) else best[0][0].decode()
        value, index, label = text.split(":", 2)
        assert int(index) == logits[0].argmax() and numpy.float32(value) == logits[0].max() and label

    tensor = numpy.random.default_rng(29).normal(size=(3, 3, side, side)).astype(numpy.float32)
    of_binary = infer(tensor, "input", "FP32", True, True).as_numpy("logits")
    of_text = infer(tensor, "input", "FP32", False, True).as_numpy("logits")
    alone = infer(tensor[1:2], "input", "FP32", True, True).as_numpy("logits")
    assert (of_binary == of_text).all() and (alone[0] == of_binary[1]).all()
    for wrong in (tensor[:, :2], tensor[:, :, 1:]):
        try:
            infer(wrong, "input", "FP32", True, True)
        except InferenceServerException as error:
            assert "expected numbers of the shape" in str(error), error
        else:
            raise AssertionError("a tensor of the wrong shape is accepted")
    return logits[0]


def kserve(address, model, image):
    from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

    async def call():
        client = InferenceRESTClient(RESTConfig(protocol="v2"))
        base = "http://" + address
        assert await client.is_server_live(base) and await client.is_server_ready(base)
        assert await client.is_model_ready(base, model)
        given = InferInput("image", [1], "BYTES")
        given.set_data_from_numpy(numpy.array([image], dtype=object), binary_data=True)
        answer = await client.infer(base, InferRequest(model, [given]), model_name=model)
        return next(one for one in answer.outputs if one.name == "logits").as_numpy()[0]

    return asyncio.run(call())


def main():
    client, address, model, image = sys.argv[1:]
    with open(image, "rb") as file:
        logits = {"triton": triton, "kserve": kserve}[client](address, model, file.read())
    print(json.dumps([float(value) for value in logits]))


main()
