"""Logits of ONNX files against those of the float32 file beside them; called by bench/processors.ts."""
import os
import sys

import numpy as np
import onnxruntime

TOKENS = np.array([[(at * 37 + 11) % 257 for at in range(23)]], dtype=np.int64)


def logits(path):
    session = onnxruntime.InferenceSession(path)
    feed = {}
    for entry in session.get_inputs():
        if entry.name == "input_ids":
            feed[entry.name] = TOKENS
        elif entry.name == "attention_mask":
            feed[entry.name] = np.ones_like(TOKENS)
        elif entry.name == "position_ids":
            feed[entry.name] = np.arange(TOKENS.shape[1], dtype=np.int64)[None]
        else:
            _, heads, _, size = entry.shape
            feed[entry.name] = np.zeros((1, heads, 0, size), np.float32)
    return session.run(["logits"], feed)[0]


for model in sorted(os.listdir(sys.argv[1])):
    folder = os.path.join(sys.argv[1], model, "onnx")
    expected = logits(os.path.join(folder, "model.onnx"))
    for name in ("model_fp16", "model_quantized", "model_q4"):
        error = logits(os.path.join(folder, f"{name}.onnx")) - expected
        share = np.sqrt((error ** 2).sum() / (expected ** 2).sum())
        print(f"  {model:8}{name:18}{share:.4f}")
