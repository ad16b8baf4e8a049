"""Trains the tiny model from generated text: tokenizer, training, evaluation and export.

The commands, in order, are in ../README.md. Every stage reads and writes one work folder.
"""

import argparse
import copy
import hashlib
import json
import math
import time
from pathlib import Path

import numpy
import torch
import torch.nn.functional as functional
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn

KINDS = ["stories", "arithmetic", "records", "functions", "bookings", "articles"]
CONFIGURATION = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": None,
    "eos_token_id": 0,
    "head_dim": 16,
    "hidden_act": "silu",
    "hidden_size": 128,
    "initializer_range": 0.02,
    "intermediate_size": 384,
    "max_position_embeddings": 256,
    "mlp_bias": False,
    "model_type": "llama",
    "num_attention_heads": 8,
    "num_hidden_layers": 6,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0,
    "tie_word_embeddings": True,
    "torch_dtype": "float16",
    "use_cache": True,
    "vocab_size": 2048,
}
WINDOW = CONFIGURATION["max_position_embeddings"]


class Norm(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, values):
        scale = torch.rsqrt(values.pow(2).mean(-1, keepdim=True) + CONFIGURATION["rms_norm_eps"])
        return self.weight * (values * scale)


def rotate(values, cosine, sine):
    """Rotates halves against each other, the layout that Hugging Face stores Llama weights for."""
    left, right = values.chunk(2, dim=-1)
    return values * cosine + torch.cat((-right, left), dim=-1) * sine


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        hidden, head = CONFIGURATION["hidden_size"], CONFIGURATION["head_dim"]
        self.heads = CONFIGURATION["num_attention_heads"]
        self.pairs = CONFIGURATION["num_key_value_heads"]
        self.q_proj = nn.Linear(hidden, self.heads * head, bias=False)
        self.k_proj = nn.Linear(hidden, self.pairs * head, bias=False)
        self.v_proj = nn.Linear(hidden, self.pairs * head, bias=False)
        self.o_proj = nn.Linear(self.heads * head, hidden, bias=False)

    def forward(self, values, cosine, sine):
        batch, length, _ = values.shape
        query = self.q_proj(values).view(batch, length, self.heads, -1).transpose(1, 2)
        key = self.k_proj(values).view(batch, length, self.pairs, -1).transpose(1, 2)
        value = self.v_proj(values).view(batch, length, self.pairs, -1).transpose(1, 2)
        query, key = rotate(query, cosine, sine), rotate(key, cosine, sine)
        group = self.heads // self.pairs
        key, value = key.repeat_interleave(group, 1), value.repeat_interleave(group, 1)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.o_proj(mixed.transpose(1, 2).reshape(batch, length, -1))


class FeedForward(nn.Module):
    def __init__(self):
        super().__init__()
        hidden, inner = CONFIGURATION["hidden_size"], CONFIGURATION["intermediate_size"]
        self.gate_proj = nn.Linear(hidden, inner, bias=False)
        self.up_proj = nn.Linear(hidden, inner, bias=False)
        self.down_proj = nn.Linear(inner, hidden, bias=False)

    def forward(self, values):
        return self.down_proj(functional.silu(self.gate_proj(values)) * self.up_proj(values))


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.input_layernorm = Norm(CONFIGURATION["hidden_size"])
        self.self_attn = Attention()
        self.post_attention_layernorm = Norm(CONFIGURATION["hidden_size"])
        self.mlp = FeedForward()

    def forward(self, values, cosine, sine):
        values = values + self.self_attn(self.input_layernorm(values), cosine, sine)
        return values + self.mlp(self.post_attention_layernorm(values))


class Llama(nn.Module):
    """A Llama whose parameter names, after the prefix "model.", are those of transformers."""

    def __init__(self):
        super().__init__()
        self.embed_tokens = nn.Embedding(CONFIGURATION["vocab_size"], CONFIGURATION["hidden_size"])
        self.layers = nn.ModuleList(Layer() for _ in range(CONFIGURATION["num_hidden_layers"]))
        self.norm = Norm(CONFIGURATION["hidden_size"])
        head = CONFIGURATION["head_dim"]
        rates = CONFIGURATION["rope_theta"] ** (-torch.arange(0, head, 2).float() / head)
        angles = torch.outer(torch.arange(WINDOW).float(), rates).repeat(1, 2)
        self.register_buffer("cosine", angles.cos(), persistent=False)
        self.register_buffer("sine", angles.sin(), persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                depth = 2 * CONFIGURATION["num_hidden_layers"]
                narrow = name.endswith(("o_proj.weight", "down_proj.weight"))
                deviation = 0.02 if "embed" in name else parameter.shape[1] ** -0.5 / 2
                nn.init.normal_(parameter, std=deviation / (depth**0.5 if narrow else 1))

    def forward(self, tokens, targets, reduction="mean"):
        length = tokens.shape[1]
        values = self.embed_tokens(tokens)
        for layer in self.layers:
            values = layer(values, self.cosine[:length], self.sine[:length])
        logits = functional.linear(self.norm(values), self.embed_tokens.weight)
        return functional.cross_entropy(
            logits.flatten(0, 1), targets.flatten(), reduction=reduction
        )


def orthogonalise(matrices):
    """Newton-Schulz iterations that push all singular values of stacked matrices towards 1."""
    wide = matrices.transpose(-1, -2) if matrices.shape[-2] > matrices.shape[-1] else matrices
    wide = wide / (wide.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        square = wide @ wide.transpose(-1, -2)
        wide = 3.4445 * wide + (-4.7750 * square + 2.0315 * square @ square) @ wide
    return wide.transpose(-1, -2) if matrices.shape[-2] > matrices.shape[-1] else wide


class Muon(torch.optim.Optimizer):
    """Momentum orthogonalised; matrices of one shape share the iterations to save overhead."""

    def __init__(self, parameters, lr, momentum=0.95, weight_decay=0.02):
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "decay": weight_decay})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            shapes = {}
            for parameter in group["params"]:
                shapes.setdefault(parameter.shape, []).append(parameter)
            for shape, parameters in shapes.items():
                updates = []
                for parameter in parameters:
                    state = self.state[parameter]
                    if "momentum" not in state:
                        state["momentum"] = torch.zeros_like(parameter)
                    state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                    updates.append(parameter.grad.lerp(state["momentum"], group["momentum"]))
                scale = max(1, shape[0] / shape[1]) ** 0.5
                for parameter, update in zip(parameters, orthogonalise(torch.stack(updates))):
                    parameter.mul_(1 - group["lr"] * group["decay"])
                    parameter.add_(update, alpha=-group["lr"] * scale)


def prepare(arguments):
    """Trains the tokenizer and writes the token numbers of every text."""
    work = Path(arguments.work)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=CONFIGURATION["vocab_size"],
        special_tokens=["<|endoftext|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    texts = {kind: (work / "text" / f"{kind}.train.txt").read_text() for kind in KINDS}
    tokenizer.train_from_iterator((text[:1_000_000] for text in texts.values()), trainer)
    tokenizer.save(str(work / "tokenizer.json"))
    for kind in KINDS:
        # Documents are encoded in chunks because one huge text would not use all cores.
        documents = [part + "\n\n" for part in texts[kind].split("\n\n")[:-1]]
        chunks = ["".join(documents[start : start + 50]) for start in range(0, len(documents), 50)]
        numbers = [n for encoding in tokenizer.encode_batch(chunks) for n in encoding.ids]
        numpy.save(work / f"{kind}.train.npy", numpy.array(numbers, dtype=numpy.uint16))
        held_out = tokenizer.encode((work / "text" / f"{kind}.held-out.txt").read_text()).ids
        numpy.save(work / f"{kind}.held-out.npy", numpy.array(held_out, dtype=numpy.uint16))
        print(kind, len(numbers), "train tokens,", len(held_out), "held-out tokens", flush=True)


@torch.no_grad()
def evaluate(model, work, window=WINDOW):
    """The perplexity of each kind over all whole windows of its held-out text."""
    result = {}
    for kind in KINDS:
        numbers = torch.from_numpy(numpy.load(work / f"{kind}.held-out.npy").astype(numpy.int64))
        windows = numbers[: len(numbers) // window * window].view(-1, window)
        total = sum(
            model(part[:, :-1], part[:, 1:], reduction="sum").item() for part in windows.split(16)
        )
        result[kind] = math.exp(total / windows[:, 1:].numel())
    return result


def train(arguments):
    """Trains one trunk and branches off a decay for every total that was asked for.

    A run that was interrupted continues from the last kept state of the trunk.
    """
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
    work = Path(arguments.work)
    texts = [
        torch.from_numpy(numpy.load(work / f"{kind}.train.npy").astype(numpy.int32))
        for kind in KINDS
    ]
    model = Llama()
    run = torch.compile(model) if arguments.compile else model
    matrices = [p for name, p in model.named_parameters() if p.dim() == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.dim() != 2 or "embed" in name]
    optimizers = [
        Muon(matrices, lr=arguments.matrix_rate),
        torch.optim.AdamW(others, lr=arguments.rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    rates = [arguments.matrix_rate, arguments.rate]
    random = numpy.random.default_rng(arguments.seed)
    log = (work / "log.txt").open("a")

    def say(text):
        print(text, flush=True)
        print(text, file=log, flush=True)

    def batch():
        rows = []
        for text, windows in zip(texts, arguments.windows):
            starts = random.integers(0, len(text) - WINDOW - 1, windows)
            rows.extend(text[start : start + WINDOW + 1] for start in starts)
        return torch.stack(rows).long()

    def step(factor):
        for optimizer, rate in zip(optimizers, rates):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor
        rows = batch()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=arguments.bfloat16):
            loss = run(rows[:, :-1], rows[:, 1:])
        loss.backward()
        nn.utils.clip_grad_norm_(others, 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        return loss.item()

    started, per_step, done, smooth = time.time(), sum(arguments.windows) * WINDOW, 0, None
    restart = 0
    if (work / "trunk.pt").exists():
        kept = torch.load(work / "trunk.pt", weights_only=False)
        done = restart = kept["done"]
        for target, state in zip([model, *optimizers], kept["states"]):
            target.load_state_dict(state)
        if "random" in kept:
            random.bit_generator.state = kept["random"]
    say(f"{sum(p.numel() for p in model.parameters())} parameters, {per_step} tokens per step")
    for total in arguments.totals:
        if (work / f"model-{total}.json").exists():
            continue
        trunk = round(total * (1 - arguments.decay))
        while done < trunk:
            loss = step(min(1, (done - restart + 1) / arguments.warmup))
            smooth = loss if smooth is None else 0.98 * smooth + 0.02 * loss
            done += 1
            if done % 50 == 0:
                speed = per_step * (done - restart) / (time.time() - started)
                say(f"trunk {done} loss {smooth:.4f} seconds {time.time() - started:.0f} {speed:.0f}/s")
            if done % 50 == 0 or done == trunk:
                states = [model.state_dict(), *(o.state_dict() for o in optimizers)]
                kept = {"done": done, "states": states, "random": random.bit_generator.state}
                torch.save(kept, work / "trunk.new.pt")
                (work / "trunk.new.pt").rename(work / "trunk.pt")
        kept = copy.deepcopy([model.state_dict(), *(o.state_dict() for o in optimizers)])
        for index in range(trunk, total):
            loss = step((total - index) / (total - trunk))
            smooth = loss if smooth is None else 0.98 * smooth + 0.02 * loss
            if (index + 1) % 100 == 0:
                say(f"decay {index + 1} of {total} loss {smooth:.4f}")
        torch.save(model.state_dict(), work / f"model-{total}.pt")
        result = {"steps": total, "tokens": total * per_step, "perplexity": evaluate(model, work)}
        (work / f"model-{total}.json").write_text(json.dumps(result))
        say(f"{json.dumps(result)} seconds {time.time() - started:.0f}")
        for target, state in zip([model, *optimizers], kept):
            target.load_state_dict(state)


def export(arguments):
    """Writes the model folder from one checkpoint."""
    work, folder = Path(arguments.work), Path(arguments.folder)
    state = torch.load(work / f"model-{arguments.total}.pt")
    weights = {f"model.{name}": value.half().contiguous() for name, value in state.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    special = "<|endoftext|>"
    texts = {
        "config.json": CONFIGURATION,
        "generation_config.json": {"eos_token_id": 0, "pad_token_id": 0},
        "tokenizer_config.json": {
            "add_prefix_space": False,
            "clean_up_tokenization_spaces": False,
            "eos_token": special,
            "model_max_length": WINDOW,
            "pad_token": special,
            "tokenizer_class": "PreTrainedTokenizerFast",
            "unk_token": None,
        },
    }
    for name, value in texts.items():
        (folder / name).write_text(json.dumps(value, indent=2) + "\n")
    (folder / "tokenizer.json").write_text((work / "tokenizer.json").read_text())


def verify(arguments):
    """Evaluates the exported folder with transformers and writes the fixture of the tests."""
    from transformers import AutoTokenizer, LlamaForCausalLM

    work = Path(arguments.work)
    model = LlamaForCausalLM.from_pretrained(arguments.folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(arguments.folder)

    @torch.no_grad()
    def perplexity(numbers, window, most):
        windows = numbers[: len(numbers) // window * window].view(-1, window)[:most]
        total = 0.0
        for part in windows.split(16):
            logits = model(part).logits[:, :-1].flatten(0, 1)
            total += functional.cross_entropy(logits, part[:, 1:].flatten(), reduction="sum").item()
        return math.exp(total / windows[:, 1:].numel()), len(windows)

    kinds = {}
    for kind in KINDS:
        text = (work / "text" / f"{kind}.held-out.txt").read_text()
        numbers = torch.tensor(tokenizer(text, add_special_tokens=False)["input_ids"])
        short, windows = perplexity(numbers, 128, 32)
        whole, _ = perplexity(numbers, WINDOW, None)
        print(f"{kind}: {short:.4f} in 32 windows of 128, {whole:.4f} in all windows of {WINDOW}")
        kinds[kind] = {
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
            "tokens": len(numbers),
            "windows": windows,
            "perplexity": short,
        }
        if arguments.samples:
            start = numbers[:40].unsqueeze(0)
            more = model.generate(start, max_new_tokens=90, do_sample=True, temperature=0.7)
            print(tokenizer.decode(more[0]), "\n" + "-" * 40)
    if arguments.fixture:
        import transformers

        fixture = {
            "conditions": {
                "text": 'generateEmbeddedText(kind, "held-out", 60000, 0)',
                "tokens": "the whole text tokenised at once, without special tokens",
                "windows": "consecutive windows of 128 tokens, the rest dropped, the first 32",
                "perplexity": "exp(summed negative log-likelihood / predicted tokens); every token "
                "of a window but the first is predicted",
                "arithmetic": "float32 from the stored float16 weights",
                "reference": f"transformers {transformers.__version__}, torch {torch.__version__}",
            },
            "model": "models/tiny",
            "modelSha256": hashlib.sha256(
                (Path(arguments.folder) / "model.safetensors").read_bytes()
            ).hexdigest(),
            "kinds": kinds,
        }
        Path(arguments.fixture).write_text(json.dumps(fixture, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    stages = parser.add_subparsers(dest="stage", required=True)
    for name, stage in [
        ("prepare", prepare), ("train", train), ("export", export), ("verify", verify),
    ]:
        sub = stages.add_parser(name, description=stage.__doc__)
        sub.set_defaults(run=stage)
        sub.add_argument("work", help="the folder that holds text/ and all results")
        if name == "train":
            sub.add_argument("--totals", type=int, nargs="+", required=True, help="rising steps")
            sub.add_argument(
                "--windows", type=int, nargs=len(KINDS), default=[4, 2, 1, 1, 2, 2],
                help=f"windows of each kind per step: {', '.join(KINDS)}",
            )
            sub.add_argument("--matrix-rate", type=float, default=0.02)
            sub.add_argument("--rate", type=float, default=4e-3)
            sub.add_argument("--decay", type=float, default=0.25, help="part of the steps")
            sub.add_argument("--warmup", type=int, default=50)
            sub.add_argument("--seed", type=int, default=0)
            sub.add_argument("--threads", type=int, default=2)
            sub.add_argument("--compile", action="store_true")
            sub.add_argument(
                "--bfloat16", action="store_true", help="products in bfloat16, weights in float32"
            )
        if name == "export":
            sub.add_argument("total", type=int, help="which checkpoint, by its total steps")
        if name in ("export", "verify"):
            sub.add_argument("folder", help="the model folder")
        if name == "verify":
            sub.add_argument("--fixture", help="where to write the fixture")
            sub.add_argument("--samples", action="store_true", help="print continuations")
    arguments = parser.parse_args()
    arguments.run(arguments)


if __name__ == "__main__":
    main()
