"""`main` on disks of many sizes, each full at another moment.

    python -m tests.soak.full_disks

Each run ends with its results or in one sentence; with room it then continues to the same results.
"""

import os
import pathlib
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import conftest  # noqa: F401  (settings of the tests, before jax is imported)
from disks import on_small_disk
from tiny import write_data

from tests.soak import interruptions

FLAGS = ('--config.layout.checkpoint_every=1', '--config.evaluation.baselines=False')
KILOBYTES = (*range(40, 320, 20), 400, 1000)


def main() -> int:
    """Prints a line for every size."""
    os.environ['PYTHONPATH'] = 'tests'
    folder, failures = pathlib.Path(tempfile.mkdtemp(prefix='full-')), 0
    flags = (*FLAGS, f'--config.data.file={write_data(folder)}', '--config.data.generate=False')
    command = [sys.executable, '-m', 'trsum_jax.main', '--config=tests/tiny.py', *flags]
    place = folder / 'disk'
    place.mkdir()
    interruptions.finish(interruptions.start('tests/tiny.py', place / 'run', flags))
    shutil.move(place / 'run', folder / 'in_peace')
    for size in KILOBYTES:
        left = folder / f'left-{size}'
        done = on_small_disk(place, size, [*command, f'--workdir={place}/run'], keep=left)
        told = [line for line in done.stderr.splitlines() if line and '|' not in line]
        half = [path for path in left.rglob('*.tmp')]
        sound = done.returncode == 0 or (done.returncode == 1 and len(told) == 1 and not half)
        shutil.copytree(left / 'run', place / 'run')
        interruptions.finish(interruptions.start('tests/tiny.py', place / 'run', flags))
        different = interruptions.differences(folder / 'in_peace', place / 'run')
        shutil.rmtree(place / 'run')
        failures += not sound or bool(different)
        print(f'{size} KB: code {done.returncode}, {told}, {half}, different: {different}', flush=True)
    print(f'{len(KILOBYTES)} disks, {failures} failures')
    shutil.rmtree(folder)
    return int(failures > 0)


if __name__ == '__main__':
    sys.exit(main())
