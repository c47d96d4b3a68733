#!/usr/bin/env bash
# The main job on a TPU pod slice of Google Cloud. Never run on a real one.
#
#   launch/tpu_pod.sh create|install|run|fetch|delete|all --name=NAME --zone=ZONE --nfs=IP:/SHARE
#       [--accelerator=v5litepod-256] [--version=v2-alpha-tpuv5-lite] [--spot] [--restarts=K] [--pause=S]
#       [--dry-run] [-- FLAGS OF THE MAIN JOB]
#
# A slice costs money from `create` to `delete`. --nfs is a Filestore share in the slice's network, mounted at
# /mnt/trsum on every worker; the run goes to /mnt/trsum/NAME (NFS, as checkpoints rename directories, which
# gcsfuse does not do at once). `install` copies the last commit. `all` does everything; when the slice cannot be
# had (try again after S seconds, 60), is preempted or the job exits with 75, it makes what is missing again and
# continues, up to K times (100). It deletes the slice only once the job finished and its results were fetched.
# The same command continues in every case.
set -euo pipefail

die() { echo "tpu_pod.sh: $*" >&2; exit 2; }
action=${1:-}; shift || true
[[ $action =~ ^(create|install|run|fetch|delete|all)$ ]] ||
  die "expected create, install, run, fetch, delete or all first, found '$action'"
name='' zone='' nfs='' accelerator=v5litepod-256 version=v2-alpha-tpuv5-lite restarts=100
pause=60 spot=() dry=''
while (($#)); do
  case $1 in
    --name=*) name=${1#*=} ;;
    --zone=*) zone=${1#*=} ;;
    --nfs=*) nfs=${1#*=} ;;
    --accelerator=*) accelerator=${1#*=} ;;
    --version=*) version=${1#*=} ;;
    --restarts=*) restarts=${1#*=} ;;
    --pause=*) pause=${1#*=} ;;
    --spot) spot=(--spot) ;;
    --dry-run) dry=yes ;;
    --) shift; break ;;
    *) die "unknown flag $1; the main job's own flags come after --" ;;
  esac
  shift
done
[[ $name && $zone ]] || die 'expected --name=NAME and --zone=ZONE'
[[ $nfs || ! $action =~ ^(install|all)$ ]] || die 'expected --nfs=IP:/SHARE'
[[ $restarts =~ ^[0-9]+$ ]] || die "--restarts: expected a number from 0, found '$restarts'"
[[ $pause =~ ^[0-9]+$ ]] || die "--pause: expected seconds, found '$pause'"
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() { if [[ $dry ]]; then printf '%q ' "$@"; echo; else "$@"; fi; }
tpu() { say gcloud compute tpus tpu-vm "$1" "${@:2}" "--zone=$zone"; }
everywhere() { tpu ssh "$name" --worker=all "--command=$1"; }
# Nothing where there is no such slice; any other error of `describe` ends the script.
state() {
  local errors code=0
  errors=$(mktemp)
  gcloud compute tpus tpu-vm describe "$name" "--zone=$zone" '--format=value(state)' 2>"$errors" || code=$?
  if ((code)) && grep -q NOT_FOUND "$errors"; then code=0; elif ((code)); then cat "$errors" >&2; fi
  rm -f "$errors"
  return "$code"
}

create() { tpu create "$name" "--accelerator-type=$accelerator" "--version=$version" "${spot[@]}"; }
delete() { tpu delete "$name" --quiet; }
fetch() { tpu scp --recurse "$name:/mnt/trsum/$name" . --worker=0; }
# Chained, as all() asks for the code, and the shell does not stop at errors where it is asked for.
install() {
  local archive
  archive=$(mktemp -u).tar.gz
  say git -C "$root" archive --output="$archive" HEAD &&
    tpu scp "$archive" "$name:trsum.tar.gz" --worker=all &&
    say rm -f "$archive" &&
    everywhere "set -e; sudo apt-get install -y nfs-common; sudo mkdir -p /mnt/trsum
mountpoint -q /mnt/trsum || sudo mount -t nfs $(printf %q "$nfs") /mnt/trsum; sudo chmod 1777 /mnt/trsum
mkdir -p trsum; tar -xzf trsum.tar.gz -C trsum; python3 -m pip install --user uv
test -d env || python3 -m uv venv --python 3.11 env
python3 -m uv pip install --python env/bin/python './trsum[tpu]'"
}
run() {
  local flags='' start='../env/bin/python -m trsum_jax.main --distributed --start_timeout=300'
  if (($#)); then flags=$(printf ' %q' "$@"); fi
  everywhere "cd trsum && $start --workdir=/mnt/trsum/$name$flags"
}
# A slice that was there already is installed again: it may be half installed, or have lost its mount.
attempt() {
  if [[ $now != READY ]]; then create || return; fi
  step=install
  install && step=run && run "$@"
}
all() {
  if [[ $dry ]]; then create; install; run "$@"; fetch; delete; return; fi
  local try code now step
  for ((try = 0; ; try++)); do
    now=$(state)
    if [[ $now && $now != READY ]]; then delete; now=''; fi
    code=0 step=create
    attempt "$@" || code=$?
    if ((code == 0)); then fetch; delete; return; fi
    now=$(state)
    # 2: gcloud did not understand the command. Any other failure to create may be lack of capacity.
    if ((try >= restarts)) || [[ $step == create && $code == 2 ]] ||
      [[ $step != create && $code != 75 && $now == READY ]]; then
      echo "tpu_pod.sh: $step ended with $code; $name is ${now:-gone}${now:+, kept and costs until: delete}" >&2
      return "$code"
    fi
    echo "tpu_pod.sh: $step ended with $code, $name is ${now:-gone}; start $((try + 1)) of $restarts again" >&2
    if [[ $step == create ]]; then sleep "$pause"; fi
  done
}
"$action" "$@"
