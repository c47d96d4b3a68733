"""The launch scripts for TPU slices and for GKE, against stand-ins for gcloud and kubectl."""

import shlex

import pytest
import stand_ins
import yaml
from stand_ins import ROOT

from trsum_jax.errors import PREEMPTED


@pytest.fixture
def platform(tmp_path):
    return stand_ins.Platform(tmp_path)


# ---- a TPU pod slice

SLICE = ['--name=n', '--zone=z', '--nfs=10.0.0.2:/share']
TPU = ['gcloud', 'compute', 'tpus', 'tpu-vm']
ABSENT = {
    'code': 1,
    'err': "ERROR: (gcloud.compute.tpus.tpu-vm.describe) NOT_FOUND: Resource 'n' was not found",
}
READY, TAKEN = {'out': 'READY'}, {'out': 'PREEMPTED'}


def pod(platform, *flags, action='all'):
    return platform.run('tpu_pod.sh', action, *SLICE, *flags, '--', '--config=x.py', '--config.a=(1, 2)')


def test_all_of_a_slice_is_these_commands(platform):
    platform.answer({'describe': [ABSENT]})
    code, _, err = pod(platform, '--spot', '--accelerator=v5litepod-16', '--version=v')
    assert code == 0, err
    describe, create, archive, copy, install, run, fetch, delete = platform.calls()
    assert describe == [*TPU, 'describe', 'n', '--zone=z', '--format=value(state)']
    made = ['--accelerator-type=v5litepod-16', '--version=v', '--spot']
    assert create == [*TPU, 'create', 'n', *made, '--zone=z']
    packed = archive[4].removeprefix('--output=')
    assert archive == ['git', '-C', str(ROOT), 'archive', f'--output={packed}', 'HEAD']
    assert copy == [*TPU, 'scp', packed, 'n:trsum.tar.gz', '--worker=all', '--zone=z']
    assert install[:6] == run[:6] == [*TPU, 'ssh', 'n']
    assert 'mount -t nfs 10.0.0.2:/share /mnt/trsum' in install[7]
    assert run[6:] == ['--worker=all', run[7], '--zone=z']
    job = [
        '--distributed',
        '--start_timeout=300',
        '--workdir=/mnt/trsum/n',
        '--config=x.py',
        '--config.a=(1, 2)',
    ]
    there = ['cd', 'trsum', '&&', '../env/bin/python', '-m', 'trsum_jax.main']
    assert shlex.split(run[7].removeprefix('--command=')) == [*there, *job]
    assert fetch == [*TPU, 'scp', '--recurse', 'n:/mnt/trsum/n', '.', '--worker=0', '--zone=z']
    assert delete == [*TPU, 'delete', 'n', '--quiet', '--zone=z']


def test_a_dry_run_of_a_slice_prints_and_calls_nothing(platform):
    code, out, _ = pod(platform, '--dry-run')
    assert code == 0
    assert platform.calls() == []
    lines = [line for line in out.splitlines() if line.startswith('gcloud')]
    assert [shlex.split(line)[4] for line in lines if '$' not in line] == [
        'create',
        'scp',
        'ssh',
        'scp',
        'delete',
    ]


MADE = ['create', 'copy', 'install']
AGAIN = ['copy', 'install', 'run']
END = ['fetch', 'delete']


@pytest.mark.parametrize(('states', 'answers', 'code', 'verbs'), [
    # Exit code 75 on a slice that stayed: installed again, as it may have been restarted.
    ([ABSENT, READY], {'trsum_jax.main': [PREEMPTED, 0]}, 0, [*MADE, 'run', *AGAIN, *END]),
    # The slice was taken.
    ([ABSENT, TAKEN, TAKEN], {'trsum_jax.main': [255, 0]}, 0, [*MADE, 'run', 'delete', *MADE, 'run', *END]),
    ([ABSENT, TAKEN, TAKEN], {'apt-get': [255, 0]}, 0, [*MADE, 'delete', *MADE, 'run', *END]),
    # The job or its installation is at fault: the slice is kept for whoever looks at it.
    ([ABSENT, READY], {'trsum_jax.main': [1]}, 1, [*MADE, 'run']),
    ([ABSENT, READY], {'apt-get': [1]}, 1, MADE),
    # What the last of these left behind is installed again, not taken for whole.
    ([READY], {}, 0, [*AGAIN, *END]),
    # No capacity, twice.
    ([ABSENT], {'create': [1, 1, 0]}, 0, ['create', 'create', *MADE, 'run', *END]),
    ([ABSENT], {'create': [1]}, 1, ['create'] * 5),
    ([ABSENT], {'create': [2]}, 2, ['create']),
    # Results that were not fetched are not deleted.
    ([ABSENT], {':/mnt/trsum/': [1]}, 1, [*MADE, 'run', 'fetch']),
])  # fmt: skip
def test_what_all_does_when_something_fails(platform, states, answers, code, verbs):
    queues = {key: [{'code': one} for one in codes] for key, codes in answers.items()}
    platform.answer({'describe': states} | queues)
    ended, _, err = pod(platform, '--restarts=4', '--pause=0')
    assert ended == code, err
    assert [verb for verb in platform.verbs() if verb != 'describe'] == verbs
    kept = code == 1 and states[-1] is READY
    assert ('n is READY, kept and costs until: delete' in err) == kept


def test_a_slice_whose_state_is_unknown_is_left_alone(platform):
    platform.answer({'describe': [{'code': 1, 'err': 'ERROR: Reauthentication failed'}]})
    code, _, err = pod(platform)
    assert code == 1
    assert 'Reauthentication failed' in err
    assert platform.verbs() == ['describe']


def test_a_slice_needs_a_name_and_a_share(platform):
    for flags, told in [
        ([], "found ''"),
        (['run', '--name=n'], '--zone=ZONE'),
        (['all', *SLICE[:2]], '--nfs='),
    ]:
        code, _, err = platform.run('tpu_pod.sh', *flags)
        assert code == 2
        assert told in err
    assert platform.calls() == []


# ---- Google Kubernetes Engine

NEEDED = ['--name=n', '--image=europe-docker.pkg.dev/p/r/trsum:1', '--claim=files']


def test_the_manifest_that_gke_gets(platform):
    flags = [*NEEDED, '--spot', '--topology=2x2x4', '--hosts=4', '--chips=4', '--accelerator=tpu-v4-podslice']
    job = ['--', '--config=x.py', "--config.a='it''s: #1'"]
    code, out, err = platform.run('gke.sh', *flags, '--dry-run', *job)
    assert code == 0, err
    assert platform.calls() == []
    code, _, err = platform.run('gke.sh', *flags, *job)
    assert code == 0, err
    assert platform.calls() == [['kubectl', 'apply', '-f', '-']]
    assert (platform.folder / 'stdin').read_text() == out
    whole = yaml.safe_load(out)
    assert (whole['apiVersion'], whole['kind']) == ('jobset.x-k8s.io/v1alpha2', 'JobSet')
    assert whole['metadata']['name'] == 'n'
    assert whole['spec']['failurePolicy'] == {
        'maxRestarts': 3,
        'rules': [{
            'name': 'preempted',
            'action': 'RestartJobSetAndIgnoreMaxRestarts',
            'onJobFailureReasons': ['PodFailurePolicy'],
        }],
    }  # fmt: skip
    (replicated,) = whole['spec']['replicatedJobs']
    spec = replicated['template']['spec']
    assert (spec['parallelism'], spec['completions'], spec['backoffLimit']) == (4, 4, 0)
    assert spec['podFailurePolicy']['rules'] == [
        {
            'action': 'FailJob',
            'onExitCodes': {'containerName': 'main', 'operator': 'In', 'values': [PREEMPTED]},
        },
        {'action': 'FailJob', 'onPodConditions': [{'type': 'DisruptionTarget', 'status': 'True'}]},
    ]
    inner = spec['template']['spec']
    assert inner['restartPolicy'] == 'Never'
    assert inner['nodeSelector'] == {
        'cloud.google.com/gke-tpu-accelerator': 'tpu-v4-podslice',
        'cloud.google.com/gke-tpu-topology': '2x2x4',
        'cloud.google.com/gke-spot': 'true',
    }
    (container,) = inner['containers']
    start = [
        'python',
        '-m',
        'trsum_jax.main',
        '--distributed',
        '--start_timeout=300',
        '--workdir=/mnt/trsum/n',
    ]
    assert container['command'] == [*start, *job[1:]]
    assert container['resources'] == {'limits': {'google.com/tpu': 4}}
    assert container['image'] == 'europe-docker.pkg.dev/p/r/trsum:1'
    assert inner['volumes'] == [{'name': 'shared', 'persistentVolumeClaim': {'claimName': 'files'}}]


@pytest.mark.parametrize('flags', [
    ['--topology=4x4', '--hosts=2'],
    ['--topology=a[$(touch pwned)]x1'],
    ['--hosts=a[$(touch pwned)]'],
    ['--chips=04'],
    ['--name=Upper'],
    ['--image=a: {b}'],
    ['--claim=a\nb'],
    ['--', '--config=x\ny'],
    ['--image='],
])  # fmt: skip
def test_gke_flags_that_would_break_the_manifest_are_refused(platform, flags):
    code, out, err = platform.run('gke.sh', *NEEDED, *flags)
    assert (code, out) == (2, '')
    assert 'gke.sh: ' in err
    assert 'expected' in err
    assert platform.calls() == []
    assert not (platform.folder / 'pwned').exists()
