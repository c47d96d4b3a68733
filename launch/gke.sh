#!/usr/bin/env bash
# The main job on a TPU slice of Google Kubernetes Engine, as a JobSet. Never run on a real cluster.
#
#   launch/gke.sh --name=NAME --image=IMAGE --claim=PVC [--accelerator=tpu-v5-lite-podslice]
#       [--topology=4x4] [--hosts=4] [--chips=4] [--spot] [--dry-run] -- --config=configs/tvsum.py
#
# Needs the JobSet controller, an image with the checkout as working directory and `.[tpu]` installed, and a
# ReadWriteMany claim (Filestore), mounted at /mnt/trsum: the run goes to /mnt/trsum/NAME. HOSTS times CHIPS
# is the topology's product. A preempted job (exit code 75, or a pod that the platform takes) starts again
# without limit, any other failure 3 times. --dry-run prints the manifest. Afterwards:
#   kubectl logs -f -l jobset.sigs.k8s.io/jobset-name=NAME;  kubectl delete jobset NAME
set -euo pipefail

die() { echo "gke.sh: $*" >&2; exit 2; }
name='' image='' claim='' accelerator=tpu-v5-lite-podslice topology=4x4 hosts=4 chips=4 spot='' dry=''
while (($#)); do
  case $1 in
    --name=*) name=${1#*=} ;;
    --image=*) image=${1#*=} ;;
    --claim=*) claim=${1#*=} ;;
    --accelerator=*) accelerator=${1#*=} ;;
    --topology=*) topology=${1#*=} ;;
    --hosts=*) hosts=${1#*=} ;;
    --chips=*) chips=${1#*=} ;;
    --spot) spot=yes ;;
    --dry-run) dry=yes ;;
    --) shift; break ;;
    *) die "unknown flag $1; the main job's own flags come after --" ;;
  esac
  shift
done
[[ $name && $image && $claim ]] || die 'expected --name=NAME, --image=IMAGE and --claim=PVC'
# What follows goes into YAML, a path and arithmetic as it is.
[[ $name =~ ^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$ ]] ||
  die "--name: expected at most 40 of a-z, 0-9 and -, from a letter, found '$name'"
for text in "$image" "$claim" "$accelerator"; do
  [[ $text =~ ^[A-Za-z0-9][A-Za-z0-9._/:@-]*$ ]] ||
    die "expected the name of an image, a claim, a TPU, found '$text'"
done
[[ $topology =~ ^[1-9][0-9]{0,3}(x[1-9][0-9]{0,3}){1,2}$ ]] ||
  die "--topology: expected 4x4 or 2x2x4, found '$topology'"
for text in "$hosts" "$chips"; do
  [[ $text =~ ^[1-9][0-9]{0,4}$ ]] || die "--hosts and --chips: expected a number from 1, found '$text'"
done
((hosts * chips == ${topology//x/*})) || die "--topology=$topology: expected $hosts hosts of $chips chips"
[[ $* != *$'\n'* ]] || die 'expected flags of one line each'

quoted() { for text in "$@"; do printf "                - '%s'\n" "${text//\'/\'\'}"; done; }
manifest() {
  cat <<YAML
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: $name
  annotations:
    alpha.jobset.sigs.k8s.io/exclusive-topology: cloud.google.com/gke-nodepool
spec:
  failurePolicy:
    maxRestarts: 3
    rules:
    - name: preempted
      action: RestartJobSetAndIgnoreMaxRestarts
      onJobFailureReasons: [PodFailurePolicy]
  replicatedJobs:
  - name: slice
    replicas: 1
    template:
      spec:
        parallelism: $hosts
        completions: $hosts
        backoffLimit: 0
        podFailurePolicy:
          rules:
          - action: FailJob
            onExitCodes: {containerName: main, operator: In, values: [75]}
          - action: FailJob
            onPodConditions: [{type: DisruptionTarget, status: 'True'}]
        template:
          spec:
            restartPolicy: Never
            terminationGracePeriodSeconds: 120
            nodeSelector:
              cloud.google.com/gke-tpu-accelerator: $accelerator
              cloud.google.com/gke-tpu-topology: $topology
${spot:+              cloud.google.com/gke-spot: 'true'
}            containers:
            - name: main
              image: $image
              command:
$(quoted python -m trsum_jax.main --distributed --start_timeout=300 "--workdir=/mnt/trsum/$name" "$@")
              resources: {limits: {google.com/tpu: $chips}}
              volumeMounts: [{name: shared, mountPath: /mnt/trsum}]
            volumes:
            - name: shared
              persistentVolumeClaim: {claimName: $claim}
YAML
}
if [[ $dry ]]; then manifest "$@"; else manifest "$@" | kubectl apply -f -; fi
