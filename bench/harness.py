"""Scores a multiple-choice file with EleutherAI's lm-evaluation-harness, to hold gprune's numbers against.

    python bench/harness.py MODEL QUIZ.jsonl                 accuracies with the harness's own code, in float32
    python bench/harness.py MODEL QUIZ.jsonl REPORT.json     and their differences from `gprune evaluate --json`

Needs lm-eval, torch and transformers. QUIZ.jsonl is what `--task` takes; the report's task is the one named `quiz`.
"""
import json
import pathlib
import sys
import tempfile

import lm_eval
import lm_eval.tasks
from lm_eval.models.huggingface import HFLM

source, quiz = sys.argv[1], pathlib.Path(sys.argv[2]).resolve()
config = {
    "task": "quiz",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": str(quiz)}},
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "{{context}}",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": "{{answer}}",
    "target_delimiter": "",
    "metric_list": [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm", "acc_bytes")],
}
with tempfile.TemporaryDirectory() as folder:
    pathlib.Path(folder, "quiz.yaml").write_text(json.dumps(config))
    model = HFLM(pretrained=source, dtype="float32", device="cpu", batch_size=16, add_bos_token=False)
    manager = lm_eval.tasks.TaskManager(include_path=folder, include_defaults=False)
    found = lm_eval.simple_evaluate(model=model, tasks=["quiz"], task_manager=manager)["results"]["quiz"]

print(f"lm-eval {lm_eval.__version__}:", {name: value for name, value in found.items() if "," in name})
if len(sys.argv) > 3:
    report = json.loads(pathlib.Path(sys.argv[3]).read_text())
    [task] = [row for row in report["tasks"] if row["name"] == "quiz"]
    own = task["dense"]
    print("gprune:", own)
    pairs = {"acc": "acc,none", "accNorm": "acc_bytes,none", "stderr": "acc_stderr,none"}
    for ours, theirs in pairs.items():
        if theirs in found:
            print(f"{ours}: {own[ours] - found[theirs]:+.2e}")
