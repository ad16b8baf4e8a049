"""Lets PyTorch transformers run folders that gprune pruned, with its stock classes, in float32.

    python bench/pruned_reference.py DIR OUT          logits of every folder in DIR, for tests/fixtures/pruned.json
    python bench/pruned_reference.py --check MODEL FILE
                                                      compares with logits that bench/pruned_folders.ts --logits wrote
"""

import base64
import json
import pathlib
import sys

import numpy
import torch
import transformers


def logits_of(folder, tokens):
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32, attn_implementation="eager")
    model.eval()
    with torch.no_grad():
        return type(model).__name__, model(torch.tensor(tokens)).logits.numpy()


def check(folder, file):
    given = json.loads(pathlib.Path(file).read_text())
    name, logits = logits_of(folder, given["tokens"])
    difference = numpy.abs(logits.reshape(-1) - numpy.array(given["logits"], dtype=numpy.float32))
    print(f"{name}: largest difference {difference.max():.2e} of logits up to {numpy.abs(logits).max():.1f}")


def write(directory, out):
    result = {"transformers": transformers.__version__, "models": {}}
    tokens = [[25, 6, 42, 34, 41, 37, 4, 2, 17, 14, 0, 7], [31, 37, 9, 33, 17, 31, 40, 25, 34, 35, 29, 38]]
    for folder in sorted(pathlib.Path(directory).iterdir()):
        vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
        own = [[token % vocabulary for token in row] for row in tokens]
        name, logits = logits_of(folder, own)
        packed = base64.b64encode(numpy.ascontiguousarray(logits, dtype="<f4").tobytes()).decode()
        result["models"][folder.name] = {"class": name, "tokens": own, "logits": packed}
    pathlib.Path(out).write_text(json.dumps(result))


if sys.argv[1] == "--check":
    check(sys.argv[2], sys.argv[3])
else:
    write(sys.argv[1], sys.argv[2])
