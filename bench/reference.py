"""Writes the fixtures that the engine is compared with: what PyTorch transformers computes in float32.

    python bench/reference.py --models DIR --text DIR --out tests/fixtures

DIR of --models has one folder per model (mixlm, stories260K), DIR of --text has NAME.held.txt. Needs torch,
transformers and safetensors. Fixtures: reference.json (perplexities and hidden states) and random/NAME/ (small random
models with the logits of given tokens).
"""

import argparse
import base64
import json
import math
import pathlib
import shutil

import numpy
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

WINDOWS = {"mixlm": 192, "stories260K": 256}
WINDOW_COUNT = 8
HIDDEN_TOKENS = 24
RANDOM_TOKENS = 20

BASE = dict(hidden_size=24, intermediate_size=36, num_hidden_layers=2, num_attention_heads=4,
            num_key_value_heads=2, head_dim=8, vocab_size=47, max_position_embeddings=128,
            rms_norm_eps=1e-5, hidden_act="silu", tie_word_embeddings=True)

LLAMA3_ROPE = dict(rope_type="llama3", rope_theta=10000.0, factor=4.0, low_freq_factor=1.0,
                   high_freq_factor=4.0, original_max_position_embeddings=16)

# name: (family, what differs from BASE, how the weights are stored)
VARIANTS = {
    "multi-head": ("llama", dict(num_key_value_heads=4), "float32"),
    "multi-query": ("llama", dict(num_key_value_heads=1), "float32"),
    "attention-bias": ("llama", dict(attention_bias=True), "float32"),
    "mlp-bias": ("llama", dict(mlp_bias=True), "float32"),
    "rope-llama3": ("llama", dict(rope_parameters=LLAMA3_ROPE), "float32"),
    "rope-linear": ("llama", dict(rope_parameters=dict(rope_type="linear", rope_theta=10000.0,
                                                       factor=2.0)), "float32"),
    "untied": ("llama", dict(tie_word_embeddings=False), "float32"),
    "head-12": ("llama", dict(head_dim=12), "float32"),
    "head-12-window": ("mistral", dict(head_dim=12, sliding_window=5), "float32"),
    "head-24": ("llama", dict(head_dim=24, num_attention_heads=2, num_key_value_heads=1), "float32"),
    "head-64": ("llama", dict(head_dim=64, num_attention_heads=2, num_key_value_heads=1,
                              num_hidden_layers=1), "float32"),
    "window": ("mistral", dict(sliding_window=7), "float32"),
    "gelu-odd": ("llama", dict(hidden_act="gelu", intermediate_size=37), "float32"),
    "gelu-tanh": ("llama", dict(hidden_act="gelu_pytorch_tanh"), "float32"),
    "relu": ("llama", dict(hidden_act="relu"), "float32"),
    "bfloat16": ("llama", dict(), "bfloat16"),
    "float16": ("mistral", dict(sliding_window=None), "float16"),
}

CLASSES = {"llama": (LlamaConfig, LlamaForCausalLM), "mistral": (MistralConfig, MistralForCausalLM)}


def packed(tensor):
    """float32 numbers, little-endian, in base64."""
    return base64.b64encode(tensor.to(torch.float32).contiguous().numpy().astype("<f4").tobytes()).decode()


def load(folder):
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager")
    return model.eval()


@torch.no_grad()
def perplexity(model, tokens, window):
    ids = torch.tensor(tokens[: WINDOW_COUNT * window]).view(WINDOW_COUNT, window)
    logits = model(ids).logits[:, :-1].double()
    losses = torch.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), ids[:, 1:].reshape(-1))
    return math.exp(losses.item())


@torch.no_grad()
def block_outputs(model, ids):
    """The residual stream after the embedding and after each block (before the final norm)."""
    outputs = []
    handles = [layer.register_forward_hook(
        lambda _module, _inputs, output: outputs.append(
            output[0] if isinstance(output, tuple) else output))
        for layer in model.model.layers]
    model(torch.tensor([ids]))
    for handle in handles:
        handle.remove()
    return [packed(output[0]) for output in outputs]


def reference(models, texts):
    result = {}
    for name, window in WINDOWS.items():
        folder = models / name
        model = load(folder)
        tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
        rows = []
        for path in sorted(texts.glob("*.held.txt")):
            text = path.read_bytes().decode()
            tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
            rows.append(dict(text=path.name, window=window, windows=WINDOW_COUNT,
                             firstTokens=tokens[:16], perplexity=perplexity(model, tokens, window)))
            if path.name.startswith("stories"):
                ids = tokens[:HIDDEN_TOKENS]
        result[name] = dict(perplexity=rows, tokens=ids, blocks=block_outputs(model, ids))
    return result


def randomize(model, seed):
    """Weights large enough that every part of the model matters to the logits."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if "norm" in name:
            parameter.data = 1 + 0.1 * noise
        elif name.endswith("bias"):
            parameter.data = 0.3 * noise
        elif "embed_tokens" in name or "lm_head" in name:
            parameter.data = 0.5 * noise
        else:
            parameter.data = 1.5 * noise / math.sqrt(parameter.shape[-1])


@torch.no_grad()
def random_variant(folder, family, differences, data_type, seed):
    config_class, model_class = CLASSES[family]
    config = config_class(**{**BASE, **differences}, bos_token_id=0, eos_token_id=0,
                          attn_implementation="eager")
    model = model_class(config).eval()
    randomize(model, seed)
    stored = {name: tensor.to(getattr(torch, data_type)).contiguous()
              for name, tensor in model.state_dict().items()
              if not (config.tie_word_embeddings and name == "lm_head.weight")}
    folder.mkdir(parents=True)
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    words = config.to_dict()
    words.update(torch_dtype=data_type, architectures=[model_class.__name__])
    (folder / "config.json").write_text(json.dumps(words, indent=1, sort_keys=True) + "\n")
    # What is compared is what the stored numbers give.
    model = load(folder)
    loaded = load_file(folder / "model.safetensors")
    for name, tensor in loaded.items():
        assert torch.equal(model.state_dict()[name], tensor.float()), name
    ids = torch.randint(0, config.vocab_size, (2, RANDOM_TOKENS), generator=torch.Generator().manual_seed(seed))
    logits = model(ids).logits
    (folder / "logits.json").write_text(json.dumps(dict(tokens=ids.tolist(), logits=packed(logits))) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", type=pathlib.Path, required=True)
    parser.add_argument("--text", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(2)
    options.out.mkdir(parents=True, exist_ok=True)
    random_folder = options.out / "random"
    if random_folder.exists():
        shutil.rmtree(random_folder)
    for seed, (name, (family, differences, data_type)) in enumerate(VARIANTS.items()):
        random_variant(random_folder / name, family, differences, data_type, seed)
    versions = dict(torch=torch.__version__, transformers=transformers.__version__,
                    numpy=numpy.__version__)
    result = dict(versions=versions, models=reference(options.models, options.text))
    (options.out / "reference.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
