#!/usr/bin/env bash
# The main job on several nodes of a Slurm cluster, one process per GPU. Never run on a real cluster.
#
#   sbatch [--nodes=N --ntasks-per-node=G --gpus-per-node=G] launch/slurm.sh --config=… --workdir=/shared/run
#   launch/slurm.sh --dry-run --config=…       prints the step's command and runs nothing
#
# Submit in the checkout; its environment is taken over. --workdir and the data lie on a shared file system.
# 120 s before the time limit or at preemption every process gets SIGTERM (no `B:`: the signal is meant for
# the step, not for this shell), saves and exits with 75; the job then puts itself into the queue again.
#SBATCH --job-name=trsum
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --signal=TERM@120
#SBATCH --open-mode=append
#SBATCH --output=trsum-%j.log
set -euo pipefail

command=(srun --kill-on-bad-exit=0 "${PYTHON:-python}" -m trsum_jax.main --distributed --start_timeout=300)
if [[ ${1:-} == --dry-run ]]; then
  shift
  printf '%q ' "${command[@]}" "$@"; echo
  exit 0
fi
if [[ -z ${SLURM_JOB_ID:-} ]]; then
  echo 'slurm.sh: expected to run inside a job; submit it: sbatch launch/slurm.sh FLAGS' >&2
  exit 2
fi
# At preemption the signal comes to this shell too, which has to outlive the step. In the foreground: the code
# that `wait` gives when a signal interrupts it is not always that of the step.
trap : TERM
code=0
"${command[@]}" "$@" || code=$?
if ((code == 75)); then scontrol requeue "$SLURM_JOB_ID"; fi
exit "$code"
