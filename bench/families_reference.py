"""Writes the fixtures that gprune's families are compared with: small models with random weights, and what PyTorch
transformers computes with them in float32, by its stock classes.

    python bench/families_reference.py tests/fixtures/families

Each folder NAME has config.json and model.safetensors as transformers saves them (in float16, whose numbers are what is
compared), and reference.json: tokens, logits, and the residual stream after the embedding and each block of the first text.
"""

import base64
import json
import math
import pathlib
import shutil
import sys

import torch
import transformers
from safetensors.torch import load_file

TOKENS = 14

BASE = dict(hidden_size=16, intermediate_size=28, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
            head_dim=8, vocab_size=31, max_position_embeddings=64)
OLD = dict(hidden_size=24, num_hidden_layers=2, num_attention_heads=3, vocab_size=31, max_position_embeddings=64)
LONGROPE = dict(rope_type="longrope", rope_theta=10000.0, original_max_position_embeddings=32,
                short_factor=[1.0, 1.3, 2.0], long_factor=[1.0, 4.0, 8.0])

# name: (model_type, what its config has)
VARIANTS = {
    "qwen2": ("qwen2", BASE),
    "qwen2-window": ("qwen2", dict(BASE, use_sliding_window=True, sliding_window=6, max_window_layers=1)),
    "qwen3": ("qwen3", BASE),
    "qwen3-bias": ("qwen3", dict(BASE, attention_bias=True, tie_word_embeddings=True)),
    "smollm3": ("smollm3", dict(BASE, num_hidden_layers=4, no_rope_layers=[1, 1, 0, 1])),
    "gemma3": ("gemma3_text", dict(BASE, num_hidden_layers=3, sliding_window=6, query_pre_attn_scalar=5,
                                   layer_types=["sliding_attention", "full_attention", "sliding_attention"])),
    "gemma3-linear": ("gemma3_text", dict(
        BASE, sliding_window=5, final_logit_softcapping=4.0,
        layer_types=["sliding_attention", "full_attention"],
        rope_parameters=dict(full_attention=dict(rope_type="linear", factor=8.0, rope_theta=1e6),
                             sliding_attention=dict(rope_type="default", rope_theta=5000.0)))),
    "gemma2": ("gemma2", dict(BASE, num_hidden_layers=3, sliding_window=6, query_pre_attn_scalar=9,
                              attn_logit_softcapping=2.0, final_logit_softcapping=3.0)),
    "olmo2": ("olmo2", BASE),
    "phi3": ("phi3", dict(BASE, sliding_window=9)),
    "phi4": ("phi3", dict(BASE, num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=True, original_max_position_embeddings=32,
                          partial_rotary_factor=0.75, rope_parameters=dict(LONGROPE, partial_rotary_factor=0.75))),
    "gpt_neox": ("gpt_neox", dict(OLD, intermediate_size=36, rotary_pct=0.25)),
    "gpt_neox-sequential": ("gpt_neox", dict(OLD, intermediate_size=36, rotary_pct=1.0, use_parallel_residual=False,
                                             attention_bias=False)),
    "gpt2": ("gpt2", OLD),
    "opt": ("opt", dict(OLD, ffn_dim=36)),
}


def packed(tensor):
    """float32 numbers, little-endian, in base64."""
    return base64.b64encode(tensor.to(torch.float32).contiguous().numpy().astype("<f4").tobytes()).decode()


def randomize(model, seed):
    """Weights large enough that every part of the model matters to the logits."""
    generator = torch.Generator().manual_seed(seed)
    offset = 0 if "gemma" in model.config.model_type else 1
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        norm = "norm" in name or ".ln_" in name
        if name.endswith("bias"):
            parameter.data = 0.3 * noise
        elif norm:
            parameter.data = offset + 0.2 * noise
        elif any(part in name for part in ("embed", "wte", "wpe", "lm_head")):
            parameter.data = 0.5 * noise
        else:
            parameter.data = 1.5 * noise / math.sqrt(model.config.hidden_size)


def load(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager").eval()


@torch.no_grad()
def variant(folder, model_type, settings, seed):
    tied = dict(tie_word_embeddings=model_type in ("gemma2", "gemma3_text", "smollm3", "gpt2", "opt"))
    config = transformers.AutoConfig.for_model(
        model_type, **{**tied, **settings}, bos_token_id=0, eos_token_id=0, pad_token_id=0)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    randomize(model, seed)
    model.to(torch.float16).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    model = load(folder)
    loaded = load_file(folder / "model.safetensors")
    for name, tensor in model.state_dict().items():
        if name in loaded:
            assert torch.equal(tensor, loaded[name].float()), name
    ids = torch.randint(0, config.vocab_size, (2, TOKENS), generator=torch.Generator().manual_seed(seed))
    streams = {}
    layers = next(module for name, module in model.named_modules() if name.endswith((".layers", ".h")))
    hooks = [layer.register_forward_hook(
        lambda _module, _inputs, output, number=number: streams.update(
            {number: (output[0] if isinstance(output, tuple) else output)[0]}))
        for number, layer in enumerate(layers)]
    hooks.append(layers[0].register_forward_pre_hook(
        lambda _module, inputs, named: streams.update({-1: (inputs[0] if inputs else named["hidden_states"])[0]}),
        with_kwargs=True))
    logits = model(ids).logits
    for hook in hooks:
        hook.remove()
    result = dict(model_class=type(model).__name__, tokens=ids.tolist(), logits=packed(logits),
                  streams=[packed(streams[number]) for number in range(-1, len(layers))])
    (folder / "reference.json").write_text(json.dumps(result) + "\n")


def main():
    out = pathlib.Path(sys.argv[1])
    torch.set_num_threads(2)
    if out.exists():
        shutil.rmtree(out)
    for seed, (name, (model_type, settings)) in enumerate(VARIANTS.items()):
        variant(out / name, model_type, settings, seed)
    (out / "versions.json").write_text(
        json.dumps(dict(torch=torch.__version__, transformers=transformers.__version__)) + "\n")


if __name__ == "__main__":
    main()
