"""The commands of the platforms, replaced by stand-ins that record their arguments and answer as told."""

import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
LAUNCH = ROOT / 'launch'
TIMEOUT_S = 240

# Notes its arguments; the answers are those of the first key that stands in one of them, in turn.
STAND_IN = f"""#!{sys.executable} -IS
import json, os, pathlib, signal, sys, time
folder = pathlib.Path(__file__).parent
call = [pathlib.Path(__file__).name, *sys.argv[1:]]
if call[0] == 'kubectl':
    (folder / 'stdin').write_text(sys.stdin.read())
with (folder / 'calls').open('a') as file:
    file.write(json.dumps(call) + chr(10))
answers = json.loads((folder / 'answers').read_text())
for number, (key, queue) in enumerate(answers.items()):
    if any(key in text for text in call):
        taken = folder / f'taken_{{number}}'
        count = int(taken.read_text()) if taken.exists() else 0
        taken.write_text(str(count + 1))
        answer = queue[min(count, len(queue) - 1)]
        print(answer.get('out', ''), flush=True)
        print(answer.get('err', ''), file=sys.stderr, flush=True)
        while 'hold' in answer and not (folder / 'go').exists():
            time.sleep(0.01)
        if 'hold' in answer:
            (folder / 'went').touch()
        if 'signal' in answer:
            os.kill(os.getppid(), signal.SIGTERM)
        os._exit(answer.get('code', 0))
"""


class Platform:
    """A folder of stand-ins, first on the path."""

    def __init__(self, parent):
        self.folder = folder = parent / 'platform'
        folder.mkdir()
        for name in ('sbatch', 'srun', 'scontrol', 'gcloud', 'kubectl', 'git', 'python'):
            (folder / name).write_text(STAND_IN)
            (folder / name).chmod(0o755)
        self.env = os.environ | {'PATH': f'{folder}{os.pathsep}{os.environ["PATH"]}'}
        self.env.pop('PYTHON', None)
        self.answer({})

    def answer(self, answers):
        """From now on, and what was called before is forgotten."""
        for file in (*self.folder.glob('taken_*'), self.folder / 'calls'):
            file.unlink(missing_ok=True)
        (self.folder / 'answers').write_text(json.dumps(answers))

    def start(self, script, *flags, **env):
        return subprocess.Popen(
            [LAUNCH / script, *flags],
            cwd=self.folder,
            env=self.env | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, script, *flags, **env):
        """Exit code, stdout, stderr."""
        process = self.start(script, *flags, **env)
        try:
            out, err = process.communicate(timeout=TIMEOUT_S)
        finally:
            process.kill()
        return process.returncode, out, err

    def calls(self):
        file = self.folder / 'calls'
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def verbs(self):
        """gcloud's calls by what they are for."""
        names = {
            'apt-get': 'install',
            'trsum_jax.main': 'run',
            'trsum.tar.gz': 'copy',
            ':/mnt/trsum/': 'fetch',
        }
        return [
            next((name for key, name in names.items() if key in ' '.join(call)), call[4])
            for call in self.calls()
            if call[0] == 'gcloud'
        ]
