#!/usr/bin/env bash
# A Slurm cluster of one node on this machine, in a folder of its own, without touching /etc: munged, slurmctld, slurmd.
# Needs Debian's slurm-wlm and munge, and root (slurmd starts tasks as their users).
#   cluster.sh start FOLDER   then:  export SLURM_CONF=FOLDER/slurm.conf
#   cluster.sh stop FOLDER
set -euo pipefail
action=${1:?start or stop} folder=$(realpath -m "${2:?a folder}")

start() {
  mkdir -p "$folder"/{state,spool,log}
  chmod 755 "$folder"
  dd if=/dev/urandom of="$folder/munge.key" bs=1024 count=1 status=none
  chmod 600 "$folder/munge.key"
  munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" \
    --pid-file="$folder/munged.pid" --log-file="$folder/log/munged.log" --seed-file="$folder/munge.seed"
  local host; host=$(hostname -s)
  local cores memory
  cores=$(nproc)
  memory=$(slurmd -C | sed -nE 's/.*RealMemory=([0-9]+).*/\1/p')
  cat >"$folder/slurm.conf" <<CONF
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
SlurmctldPort=${SLURMCTLD_PORT:-26817}
SlurmdPort=${SLURMD_PORT:-26818}
# Containers seldom lend out their cgroups: processes are followed by their parents.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
# So that the demonstration need not wait long for the scheduler.
SchedulerParameters=sched_interval=1,batch_sched_delay=0
NodeName=$host NodeAddr=127.0.0.1 CPUs=$cores RealMemory=$memory State=UNKNOWN
PartitionName=all Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
  export SLURM_CONF="$folder/slurm.conf"
  slurmctld -f "$SLURM_CONF"
  slurmd -f "$SLURM_CONF"
  for _ in $(seq 30); do
    if [ "$(sinfo --noheader --format=%t 2>/dev/null)" = idle ]; then return; fi
    sleep 1
  done
  echo "The node did not become idle; see $folder/log" >&2
  sinfo >&2 || true
  return 1
}

stop() {
  # Only what this folder's cluster started, by number.
  for daemon in slurmd slurmctld munged; do
    if [ -e "$folder/$daemon.pid" ]; then kill "$(cat "$folder/$daemon.pid")" 2>/dev/null || true; fi
  done
}

case $action in
start) start ;;
stop) stop ;;
*) echo "cluster.sh start FOLDER, or cluster.sh stop FOLDER" >&2; exit 2 ;;
esac
