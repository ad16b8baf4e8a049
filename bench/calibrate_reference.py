"""The sums of gprune's calibration with PyTorch: hooks on the model of transformers. Takes orders from bench/calibrate.ts
line by line (`sgemm N`, `pass sums|gram`, `peak`) and answers each with a line of JSON.

    python bench/calibrate_reference.py MODEL TOKENS.json THREADS float32|bfloat16
"""

import json
import sys
import time

import torch
import transformers

model_path, tokens_path, threads, dtype = sys.argv[1:]
torch.set_num_threads(int(threads))
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


class Sums:
    """Sums over tokens of the inputs of one projection, in float32."""

    def __init__(self, channels):
        self.sum = torch.zeros(channels)
        self.sum_of_squares = torch.zeros(channels)
        self.gram = None

    def hook(self, module, inputs):
        x = inputs[0].reshape(-1, inputs[0].shape[-1]).float()
        self.sum += x.sum(0)
        self.sum_of_squares += x.square().sum(0)
        if gram:
            if self.gram is None:
                self.gram = torch.zeros(x.shape[1], x.shape[1])
            self.gram.addmm_(x.T, x)


gram = False
# Without the output head: calibration does not need it.
model = transformers.AutoModel.from_pretrained(model_path, dtype=getattr(torch, dtype)).eval()
tokens = torch.tensor(json.load(open(tokens_path)))


def run():
    sums, hooks = [], []
    for layer in model.layers:
        for projection in (layer.mlp.down_proj, layer.self_attn.o_proj):
            sums.append(Sums(projection.in_features))
            hooks.append(projection.register_forward_pre_hook(sums[-1].hook))
    start = time.perf_counter()
    with torch.inference_mode():
        model(input_ids=tokens, use_cache=False)
    seconds = time.perf_counter() - start
    for hook in hooks:
        hook.remove()
    energies = [float(s.sum_of_squares.sum()) for s in sums]
    firsts = [float(s.gram[0, 1]) for s in sums if s.gram is not None]
    return {"seconds": seconds, "energies": energies, "firsts": firsts}


def sgemm(size):
    a = torch.rand(size, size)
    a @ a
    start = time.perf_counter()
    for _ in range(4):
        a @ a
    return {"flops": 8 * size**3 / (time.perf_counter() - start)}


def peak():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return {"bytes": 1024 * int(line.split()[1])}


print(json.dumps({"torch": torch.__version__, "transformers": transformers.__version__}), flush=True)
for line in sys.stdin:
    order, *rest = line.split()
    if order == "pass":
        gram = rest[0] == "gram"
        answer = run()
    elif order == "sgemm":
        answer = sgemm(int(rest[0]))
    else:
        answer = peak()
    print(json.dumps(answer), flush=True)
