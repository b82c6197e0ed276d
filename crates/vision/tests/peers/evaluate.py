"""Evaluates COCO results with stock pycocotools.

Usage: evaluate.py < CASES
Reads one JSON object a line: `truth` and `detections` (paths) and `kind` (bbox, segm, keypoints). Prints one JSON object for
each: the `summary`, and by class id average precision, average recall, and the precision at overlaps of 0.5 and 0.75.
"""

import contextlib
import io
import json
import sys

import numpy
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def mean(values):
    known = values[values > -1]
    return float(numpy.mean(known)) if known.size else None


def evaluate(case):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(case["truth"])
        engine = COCOeval(truth, truth.loadRes(case["detections"]), case["kind"])
        engine.evaluate()
        engine.accumulate()
        engine.summarize()
    precision = engine.eval["precision"][:, :, :, 0, -1]
    recall = engine.eval["recall"][:, :, 0, -1]
    return {
        "summary": [float(value) for value in engine.stats],
        "classes": [
            {
                "id": int(class_id),
                "ap": mean(precision[:, :, index]),
                "ar": mean(recall[:, index]),
                "curves": [precision[overlap, :, index].tolist() for overlap in (0, 5)],
            }
            for index, class_id in enumerate(engine.params.catIds)
        ],
    }


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(evaluate(json.loads(line))), flush=True)
