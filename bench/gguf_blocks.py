"""Lets the PyPI package `gguf` (0.19.0) quantize numbers, for tests/fixtures/gguf-blocks.json.

    pip install gguf==0.19.0
    python bench/gguf_blocks.py tests/fixtures/gguf-blocks.json
"""

import base64
import importlib.metadata
import json
import pathlib
import sys

import numpy
from gguf import GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize


def packed(array):
    return base64.b64encode(numpy.ascontiguousarray(array).tobytes()).decode()


def blocks():
    generator = numpy.random.default_rng(0)
    rows = [
        numpy.zeros(32),
        numpy.ones(32),
        -numpy.ones(32),
        # The largest size occurs with both signs: the first decides.
        numpy.tile([-3.0, 3.0], 16),
        numpy.tile([3.0, -3.0], 16),
        # Halves between two steps of Q8_0.
        numpy.arange(32) * 8.5 - 127,
        numpy.arange(32) - 16.0,
        numpy.concatenate([[65504.0], generator.normal(size=31)]),
        generator.normal(size=32) * 1e-6,
        numpy.eye(1, 32, 17)[0],
    ]
    rows += [generator.normal(size=32) * scale for scale in numpy.geomspace(1e-4, 1e3, 16)]
    rows += [generator.standard_cauchy(size=32) * 0.02 for _ in range(16)]
    rows += [generator.integers(-128, 128, size=32) / 64 for _ in range(16)]
    return numpy.array(rows, dtype=numpy.float32)


def main():
    numbers = blocks()
    result = {"gguf": importlib.metadata.version("gguf"), "numbers": packed(numbers), "types": {}}
    for name in ("F16", "Q8_0", "Q4_0"):
        kind = Type[name]
        stored = quantize(numbers, kind)
        result["types"][name] = {
            "bytes": packed(stored),
            "numbers": packed(dequantize(stored, kind).astype("<f4")),
        }
    pathlib.Path(sys.argv[1]).write_text(json.dumps(result) + "\n")


main()
