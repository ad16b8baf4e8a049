"""Prunes FFN neurons of a Llama with another project's own method, to a given width, and writes a Hugging Face folder.

    python prune.py METHOD MODEL WINDOWS.json WIDTH OUT

WINDOWS.json is a list of token windows, all of one length: the calibration that gprune had. The method runs as its
project recommends; nothing of it is here but the call.
"""
import json
import pathlib
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def load(path):
    model = AutoModelForCausalLM.from_pretrained(path, torch_dtype=torch.float32, attn_implementation="eager")
    model.config.use_cache = False
    return model.eval()


def save(model, source, width, out):
    """In the type of the source, so that every output is stored alike."""
    widths = {layer.mlp.down_proj.in_features for layer in model.model.layers}
    if widths != {width}:
        raise SystemExit(f"asked for FFN width {width}, got {sorted(widths)}")
    model.config.intermediate_size = width
    model.to(torch.float16).save_pretrained(out)
    AutoTokenizer.from_pretrained(source).save_pretrained(out)


def torch_pruning(source, windows, width, out, taylor):
    """Torch-Pruning: dependency graph, group importance, local ratios, as its example for language models has it."""
    import torch_pruning as tp

    model = load(source)
    linears = {module for layer in model.model.layers for module in layer.mlp.modules()}
    ignored = [module for module in model.modules() if isinstance(module, torch.nn.Linear) and module not in linears]
    kind = tp.importance.GroupTaylorImportance if taylor else tp.importance.GroupMagnitudeImportance
    importance = kind() if taylor else kind(p=2, group_reduction="mean")
    before = model.config.intermediate_size
    pruner = tp.pruner.BasePruner(
        model,
        example_inputs={"input_ids": torch.tensor(windows[:1])},
        importance=importance,
        global_pruning=False,
        # A little more than asked for, so that rounding down gives the width.
        pruning_ratio=1 - (width + 0.5) / before,
        ignored_layers=[*ignored, model.model.embed_tokens],
    )
    if taylor:
        for start in range(0, len(windows), 16):
            batch = torch.tensor(windows[start : start + 16])
            model(input_ids=batch, labels=batch).loss.backward()
    pruner.step()
    save(model, source, width, out)


def optipfair(source, windows, width, out, data):
    """OptiPFair: peak-to-peak magnitude of gate and up, with activations of the calibration where `data` is set."""
    from optipfair import prune_model

    model = load(source)
    before = model.config.intermediate_size
    batches = torch.utils.data.DataLoader([{"input_ids": torch.tensor(window)} for window in windows], batch_size=16)
    model = prune_model(
        model,
        pruning_type="MLP_GLU",
        neuron_selection_method="MAW",
        pruning_percentage=100 * (before - width + 0.01) / before,
        dataloader=batches if data else None,
        show_progress=False,
    )
    save(model, source, width, out)


def osscar(source, windows, width, out):
    """fmchisel (LinkedIn): OSSCAR, combinatorial one-shot pruning with least squares, through llmcompressor."""
    from datasets import Dataset
    from fmchisel.pruning.osscar.base import OSSCARModifier
    from fmchisel.pruning.osscar.utils.helpers import cleanup_after_prune, pack
    from llmcompressor import oneshot

    drop = AutoModelForCausalLM.from_pretrained(source).config.intermediate_size - width
    rows = Dataset.from_dict({"input_ids": windows, "attention_mask": [[1] * len(window) for window in windows]})
    unpacked = f"{out}-unpacked"
    oneshot(
        model=source,
        precision="float32",
        dataset=rows,
        recipe=OSSCARModifier(num_drop_mlp_neuron=drop, num_drop_attn_group=0, ignore=["re:.*lm_head"]),
        max_seq_length=len(windows[0]),
        num_calibration_samples=len(windows),
        shuffle_calibration_samples=False,
        output_dir=unpacked,
    )
    cleanup_after_prune(unpacked)
    # llmcompressor notes how it would compress zeroes, which stops loaders; packing removes them.
    config = pathlib.Path(unpacked, "config.json")
    fields = json.loads(config.read_text())
    fields.pop("quantization_config", None)
    config.write_text(json.dumps(fields))
    pack(unpacked, drop, 0, original_model_path=source)
    model = load(unpacked)
    save(model, source, width, out)


methods = {
    "torch-pruning": lambda *args: torch_pruning(*args, taylor=False),
    "torch-pruning-taylor": lambda *args: torch_pruning(*args, taylor=True),
    "optipfair": lambda *args: optipfair(*args, data=False),
    "optipfair-data": lambda *args: optipfair(*args, data=True),
    "osscar": osscar,
}

if __name__ == "__main__":
    method, source, windows, width, out = sys.argv[1:]
    torch.manual_seed(0)
    with open(windows) as file:
        calibration = json.load(file)
    methods[method](source, calibration, int(width), out)
