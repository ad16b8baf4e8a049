#!/usr/bin/env bash
# A calibration shared out by Slurm, with a task that is lost and run again, against the same calibration in one run.
# Prints what it does; README.md beside it is what it printed.
#   bench/slurm/demo.sh [FOLDER]     needs root, slurm-wlm and munge
set -euo pipefail
here=$(realpath "$(dirname "$0")")
folder=$(realpath -m "${1:-$(mktemp -d)}")
mkdir -p "$folder/work"
cluster="$folder/cluster"
export NO_COLOR=1 GPRUNE="deno run -A $here/../../main.ts"
options=(--samples 48 --seq-len 256)
show() { printf '\n$ %s\n' "$*"; "$@"; }
# The jobs of an array that have not ended.
wait_for() { while [ -n "$(squeue --noheader --jobs="$1" 2>/dev/null)" ]; do sleep 1; done; }
submit() { sbatch --parsable "$@"; }

trap '"$here/cluster.sh" stop "$cluster"' EXIT
"$here/cluster.sh" start "$cluster"
export SLURM_CONF="$cluster/slurm.conf"
cd "$folder/work"
show sinfo --version
show sinfo

printf '\n$ sbatch --array=1-4 --export=ALL,PARTS=4 calibrate.sbatch %s\n' "${options[*]}"
array=$(submit --array=1-4 --export=ALL,PARTS=4 "$here/calibrate.sbatch" "${options[@]}")
# The second task is lost in the middle: the kernel would do the same to it for want of memory.
until compgen -G 'parts/2.part.unfinished/sums-of-layer-2-*.safetensors' >/dev/null; do
  [ -n "$(squeue --noheader --jobs="$array" 2>/dev/null)" ] || { echo "the task ended before it could be lost" >&2; exit 1; }
  sleep 0.05
done
squeue --array --format='%.8i %.10j %.8T %.6M'
lost=$(pgrep -f -- "--shard 2/4 --save parts/2.part" | head -n 1)
printf '\n$ kill -9 %s     # the process of task 2\n' "$lost"
kill -9 "$lost"
wait_for "$array"
show scontrol show job --oneliner "${array}_2" | sed -nE 's/.*(JobId=[0-9]+).*(ArrayTaskId=[0-9]+).*(JobState=[A-Z]+).*(ExitCode=[0-9:]+).*/\1 \2 \3 \4/p'
show ls parts
printf '\n$ gprune merge parts/*.part --out merged/model.stats\n'
$GPRUNE merge parts/*.part --out merged/model.stats --quiet && exit 1

printf '\n$ sbatch --array=2 --export=ALL,PARTS=4 calibrate.sbatch %s\n' "${options[*]}"
again=$(submit --array=2 --export=ALL,PARTS=4 "$here/calibrate.sbatch" "${options[@]}")
wait_for "$again"
show ls parts
show tail -n 4 gprune-2.log
printf '\n$ gprune merge parts/*.part --out merged/model.stats\n'
$GPRUNE merge parts/*.part --out merged/model.stats --quiet

printf '\n$ gprune calibrate %s --save whole/model.stats     # the same in one run\n' "${options[*]}"
$GPRUNE calibrate "${options[@]}" --save whole/model.stats --quiet | tail -n 1
for each in merged whole; do
  printf '\n$ gprune plan --stats %s/model.stats --sparsity 0.5 --shape adaptive --save %s/model.plan.json\n' "$each" "$each"
  $GPRUNE plan --stats "$each/model.stats" --sparsity 0.5 --shape adaptive --save "$each/model.plan.json" --quiet | tail -n 2
done
show sha256sum {merged,whole}/model.{stats,plan.json}
show cmp merged/model.stats whole/model.stats
show cmp merged/model.plan.json whole/model.plan.json
printf '\nStatistics and plan are the same, byte for byte\n'
