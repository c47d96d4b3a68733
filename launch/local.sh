#!/usr/bin/env bash
# Several processes of the main job on this machine, over the loopback.
#
#   launch/local.sh --processes=2 [--gpus] [--restarts=K] [--logs=DIR] [--dry-run]
#       -- --config=configs/tvsum.py
#
# Process 0 speaks here, the others into DIR/process-I.log. --gpus gives process I GPU I alone. SIGTERM,
# SIGINT and SIGHUP go on to all; if one fails, or is preempted (exit code 75) and the rest do not follow within
# half a minute, the rest are stopped; then the same command starts again, up to K times (only after SIGTERM). The
# exit code is that of the first process that failed.
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
free_port='import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'

# Codes come through a pipe: what `wait` gives when a signal interrupts it is not always the process's own.
exec 3<> <(:)
one() {
  local code=0
  trap : TERM
  "$@" 3>&- || code=$?
  echo "$code" >&3
}
forward() { for group in $(jobs -pr); do kill -TERM -- "-$group" 2>/dev/null || true; done; }
# Between two starts there is nothing to hand the signal to.
heed() { if [[ $(jobs -pr) ]]; then forward; else exit "$1"; fi; }
trap 'heed 75' TERM
# Whoever presses Ctrl-C, or closes the terminal, wants no new start.
trap 'restarts=0; heed 130' INT
trap 'restarts=0; heed 75' HUP

attempt() {
  local port=PORT code=0 status patience=()
  if [[ ! $dry ]]; then port=$("$python" -c "$free_port"); fi
  # Each in a process group of its own, which is what signals go to.
  set -m
  for ((i = 0; i < processes; i++)); do
    local command=("$python" -m trsum_jax.main --distributed "--coordinator=127.0.0.1:$port"
      "--processes=$processes" "--process=$i" "$@")
    if [[ $gpus ]]; then command=(env "CUDA_VISIBLE_DEVICES=$i" "${command[@]}"); fi
    if [[ $dry ]]; then printf '%q ' "${command[@]}"; echo; continue; fi
    if ((i == 0)); then one "${command[@]}" & else one "${command[@]}" >>"$logs/process-$i.log" 2>&1 & fi
  done
  set +m
  if [[ $dry ]]; then return; fi
  for ((i = 0; i < processes; i++)); do
    if ! read -r ${patience[@]+"${patience[@]}"} -u 3 status; then patience=(); forward; read -r -u 3 status; fi
    if ((!status || code)); then continue; fi
    code=$status
    # Preempted processes stop together: a second signal would cut short what the others still save.
    if ((code == 75)); then patience=(-t 30); else forward; fi
  done
  wait
  return "$code"
}

[[ $dry ]] || mkdir -p "$logs"
for ((try = 0; ; try++)); do
  code=0
  attempt "$@" || code=$?
  if ((code == 0 || try >= restarts)); then exit "$code"; fi
  echo "local.sh: exit code $code; start $((try + 1)) of $restarts again" >&2
done
