"""Makes small models as exporters write them and runs them in onnxruntime.

Usage: detector.py FOLDER
Reads FOLDER/image.json, an RGB picture of 48 by 16 pixels as rows of pixels. Writes detector.onnx (Ultralytics' form and
metadata), separate.onnx (the same with outputs of their own) and classifier.onnx. Prints one JSON object: what
onnxruntime answers, with the boxes chosen and placed by the steps that are written out below.
Runs in the environment that crates/classifier/tests/peers/setup makes.
"""

import json
import sys
from pathlib import Path

import numpy
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

LABELS = ["cat", "dog's", "bird"]
WIDTH, HEIGHT = 48, 32
# The model looks at every fourth pixel each way.
PLACES = WIDTH // 4 * (HEIGHT // 4)
SCORE_THRESHOLD, IOU_THRESHOLD, MAX_BOXES = 0.25, 0.7, 300


class Graph:
    def __init__(self, seed):
        self.random = numpy.random.default_rng(seed)
        self.nodes, self.weights = [], []

    def weight(self, name, array):
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def node(self, operator, inputs, output, **attributes):
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output + ".node", **attributes))
        return output

    def conv(self, value, channels, into, output, kernel=3, stride=2):
        weights = self.random.normal(0, 1.5 / numpy.sqrt(channels * kernel**2), (into, channels, kernel, kernel))
        bias = self.random.normal(0, 0.3, into)
        names = [
            self.weight(output + ".weight", weights.astype(numpy.float32)),
            self.weight(output + ".bias", bias.astype(numpy.float32)),
        ]
        pad = kernel // 2
        return self.node(
            "Conv", [value, *names], output, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[pad] * 4
        )

    def silu(self, value):
        self.node("Sigmoid", [value], value + ".gate")
        return self.node("Mul", [value, value + ".gate"], value + ".silu")

    def features(self):
        """A backbone, and a neck that goes down and up again, as detectors have them."""
        first = self.silu(self.conv("images", 3, 8, "stem"))
        second = self.silu(self.conv(first, 8, 8, "body"))
        down = self.node(
            "MaxPool", [second], "pool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]
        )
        scales = self.weight("scales", numpy.array([1, 1, 2, 2], dtype=numpy.float32))
        up = self.node(
            "Resize",
            [down, "", scales],
            "up",
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
        return self.node("Concat", [up, second], "neck", axis=1), 16

    def save(self, path, outputs, metadata):
        given = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, HEIGHT, WIDTH])
        outputs = [helper.make_tensor_value_info(name, kind, ["batch", *shape]) for name, kind, shape in outputs]
        graph = helper.make_graph(self.nodes, path.stem, [given], outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        helper.set_model_props(model, metadata)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, path)


def detector(path, separate):
    graph = Graph(7)
    value, channels = graph.features()
    value = graph.conv(value, channels, 4 + len(LABELS), "head", kernel=1, stride=1)
    # The last two dimensions as one, by the value's own shape, as exporters of open shapes write it.
    graph.node("Shape", [value], "head.shape")
    graph.node("Slice", ["head.shape", graph.weight("zero", numpy.array([0])), graph.weight("two", numpy.array([2]))], "head.first")
    graph.node("Concat", ["head.first", graph.weight("rest", numpy.array([-1]))], "head.flat", axis=0)
    graph.node("Reshape", [value, "head.flat"], "columns")
    graph.node("Sigmoid", ["columns"], "parts")
    graph.weight("split", numpy.array([2, 2, len(LABELS)]))
    graph.nodes.append(helper.make_node("Split", ["parts", "split"], ["centres", "sizes", "scores"], axis=1))
    frame = numpy.array([WIDTH, HEIGHT], dtype=numpy.float32).reshape(1, 2, 1)
    graph.node("Mul", ["centres", graph.weight("frame", frame)], "centres.pixels")
    graph.node("Mul", ["sizes", graph.weight("half", frame / 2)], "sizes.pixels")
    metadata = {"task": "detect", "imgsz": str([HEIGHT, WIDTH]), "names": str(dict(enumerate(LABELS))), "stride": "4"}
    if not separate:
        graph.node("Concat", ["centres.pixels", "sizes.pixels", "scores"], "output0", axis=1)
        graph.save(path, [("output0", TensorProto.FLOAT, [4 + len(LABELS), PLACES])], metadata)
        return
    graph.node("Div", ["sizes.pixels", graph.weight("twice", numpy.array(2, dtype=numpy.float32))], "reach")
    graph.node("Sub", ["centres.pixels", "reach"], "corner1")
    graph.node("Add", ["centres.pixels", "reach"], "corner2")
    graph.node("Concat", ["corner1", "corner2"], "corners", axis=1)
    graph.node("Transpose", ["corners"], "boxes", perm=[0, 2, 1])
    graph.node("ReduceMax", ["scores"], "best", axes=[1], keepdims=0)
    graph.node("ArgMax", ["scores"], "labels", axis=1, keepdims=0)
    outputs = [
        ("boxes", TensorProto.FLOAT, [PLACES, 4]),
        ("best", TensorProto.FLOAT, [PLACES]),
        ("labels", TensorProto.INT64, [PLACES]),
    ]
    graph.save(path, outputs, {})


def classifier(path):
    graph = Graph(8)
    value, channels = graph.features()
    graph.node("GlobalAveragePool", [value], "mean")
    graph.node("Flatten", ["mean"], "flat", axis=1)
    weights = graph.random.normal(0, 1, (len(LABELS), channels)).astype(numpy.float32)
    graph.node("Gemm", ["flat", graph.weight("fc", weights)], "logits", transB=1)
    graph.node("Softmax", ["logits"], "output0", axis=1)
    metadata = {"task": "classify", "imgsz": str([HEIGHT, WIDTH]), "names": str(dict(enumerate(LABELS)))}
    graph.save(path, [("output0", TensorProto.FLOAT, [len(LABELS)])], metadata)


def run(path, tensor):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [output for output in session.run(None, {"images": tensor})]


def as_tensor(picture):
    return (picture.astype(numpy.float64) / 255).astype(numpy.float32).transpose(2, 0, 1)[None]


def overlap(a, b):
    across = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    down = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(across, 0) * max(down, 0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def choose(columns, width, height, top):
    """Threshold, then of overlapping boxes of a class the surest; cut to the picture, which begins `top` rows down."""
    found = []
    for x, y, w, h, *scores in columns.T.astype(numpy.float64):
        label = int(numpy.argmax(scores))
        if scores[label] >= SCORE_THRESHOLD:
            found.append((scores[label], label, (x - w / 2, y - h / 2, w, h)))
    found.sort(key=lambda one: -one[0])
    kept = []
    for one in found:
        if all(other[1] != one[1] or overlap(other[2], one[2]) <= IOU_THRESHOLD for other in kept):
            kept.append(one)
    told = []
    for score, label, (x, y, w, h) in kept:
        left, right = max(x, 0), min(x + w, width)
        above, below = max(y - top, 0), min(y - top + h, height)
        if right > left and below > above:
            told.append({"class": label, "score": score, "bbox": [left, above, right - left, below - above]})
    return told[:MAX_BOXES]


def main(folder):
    picture = numpy.array(json.loads((folder / "image.json").read_text()), dtype=numpy.uint8)
    height, width, _ = picture.shape
    top = (HEIGHT - height) // 2
    letterbox = numpy.full((HEIGHT, WIDTH, 3), 114, dtype=numpy.uint8)
    letterbox[top : top + height] = picture
    detector(folder / "detector.onnx", separate=False)
    detector(folder / "separate.onnx", separate=True)
    classifier(folder / "classifier.onnx")
    (columns,) = run(folder / "detector.onnx", as_tensor(letterbox))
    (scores,) = run(folder / "classifier.onnx", as_tensor(letterbox))
    json.dump(
        {
            "columns": columns.tolist(),
            "separate": [output.tolist() for output in run(folder / "separate.onnx", as_tensor(letterbox))],
            "found": choose(columns[0], width, height, top),
            "letterbox": letterbox.tolist(),
            "scores": scores.tolist(),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
