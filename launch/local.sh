#!/usr/bin/env bash
# Several processes of the main job on this machine, over the loopback.
#
#   launch/local.sh --processes=2 [--gpus] [--restarts=K] [--logs=DIR] [--dry-run] -- --config=configs/tvsum.py
#
# Process 0 speaks here, the others into DIR/process-I.log. --gpus gives process I GPU I alone. SIGTERM and
# SIGINT go on to all; if one fails or is preempted (exit code 75), the rest are stopped and the same command
# starts again, up to K times (not after SIGINT). The exit code is that of the first process that failed.
# Needs bash 5.1.
set -euo pipefail

die() { echo "local.sh: $*" >&2; exit 2; }
processes=2 restarts=0 gpus='' logs=logs dry=''
while (($#)); do
  case $1 in
    --processes=*) processes=${1#*=} ;;
    --restarts=*) restarts=${1#*=} ;;
    --logs=*) logs=${1#*=} ;;
    --gpus) gpus=yes ;;
    --dry-run) dry=yes ;;
    --) shift; break ;;
    *) die "unknown flag $1; the main job's own flags come after --" ;;
  esac
  shift
done
[[ $processes =~ ^[1-9][0-9]*$ ]] || die "--processes: expected a number from 1, found '$processes'"
[[ $restarts =~ ^[0-9]+$ ]] || die "--restarts: expected a number from 0, found '$restarts'"
python=${PYTHON:-python}

pids=()
forward() { for pid in $(jobs -pr); do kill -TERM "$pid" 2>/dev/null || true; done; }
# Between two starts there is nothing to hand the signal to.
heed() { if [[ $(jobs -pr) ]]; then forward; else exit "$1"; fi; }
trap 'heed 75' TERM
# Whoever presses Ctrl-C wants no new start.
trap 'restarts=0; heed 130' INT

attempt() {
  local port code=0 status done_pid
  port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  pids=()
  for ((i = 0; i < processes; i++)); do
    local command=("$python" -m trsum_jax.main --distributed "--coordinator=127.0.0.1:$port"
      "--processes=$processes" "--process=$i" "$@")
    if [[ $gpus ]]; then command=(env "CUDA_VISIBLE_DEVICES=$i" "${command[@]}"); fi
    if [[ $dry ]]; then printf '%q ' "${command[@]}"; echo; continue; fi
    if ((i == 0)); then "${command[@]}" & else "${command[@]}" >>"$logs/process-$i.log" 2>&1 & fi
    pids+=($!)
  done
  while ((${#pids[@]})); do
    status=0 done_pid=''
    wait -n -p done_pid "${pids[@]}" || status=$?
    if [[ -z ${done_pid:-} ]]; then continue; fi
    local left=()
    for pid in "${pids[@]}"; do [[ $pid == "$done_pid" ]] || left+=("$pid"); done
    pids=("${left[@]}")
    if ((status && !code)); then code=$status; forward; fi
  done
  return "$code"
}

[[ $dry ]] || mkdir -p "$logs"
for ((try = 0; ; try++)); do
  code=0
  attempt "$@" || code=$?
  if ((code == 0 || try >= restarts)); then exit "$code"; fi
  echo "local.sh: exit code $code; start $((try + 1)) of $restarts again" >&2
done
