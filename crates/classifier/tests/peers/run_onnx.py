"""Checks an ONNX file with the `onnx` package and runs it in onnxruntime.

Usage: run_onnx.py MODEL IMAGES
IMAGES is a JSON list of images, each 64 numbers from 0 to 16. Prints one JSON object: the graph's inputs and outputs
as onnxruntime sees them, the probabilities of each image run as one batch, and of the first image run alone.
"""

import json
import sys

import numpy
import onnx
import onnxruntime


def main(model_path, images_path):
    model = onnx.load(model_path)
    onnx.checker.check_model(model, full_check=True)

    with open(images_path, encoding="utf-8") as file:
        images = numpy.array(json.load(file), dtype=numpy.float32)
    session = onnxruntime.InferenceSession(model_path, providers=["CPUExecutionProvider"])
    (batch,) = session.run(None, {"pixels": images})
    (single,) = session.run(["probabilities"], {"pixels": images[:1]})

    def signature(values):
        return [[value.name, value.type, value.shape] for value in values]

    with open(model_path, "rb") as file:
        rewritten_same = model.SerializeToString(deterministic=True) == file.read()
    json.dump(
        {
            "inputs": signature(session.get_inputs()),
            "outputs": signature(session.get_outputs()),
            "batch": batch.tolist(),
            "single": single.tolist(),
            "rewritten_same": rewritten_same,
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
