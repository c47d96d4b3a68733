"""Every file of a finished workdir, damaged in every way, one at a time; then the commands that read it.

    python -m tests.soak.damaged_workdirs

Each case ends in the results as they were, or in one sentence; anything else is a failure, and told.
"""

import collections
import contextlib
import io
import pathlib
import shutil
import sys
import tempfile
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import conftest  # noqa: F401  (settings of the tests, before jax is imported)
from tiny import tiny_config, write_data

from tests.experiment.test_workdirs import DAMAGES, contents, damage, in_its_place_a_folder
from trsum_jax.data import datasets
from trsum_jax.errors import InputError
from trsum_jax.experiment import scorer
from trsum_jax.experiment.run import run_experiment


def outcome_of(act) -> str:
    """`same`, `sentence`, or what went wrong."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return 'same' if act() else 'DIFFERENT'
    except InputError as error:
        return 'sentence' if len(str(error)) < 1500 else 'LONG'
    except BaseException:
        return traceback.format_exc()


def main() -> int:
    """Prints a line for every case and the counts at the end."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix='damaged-'))
    data = write_data(folder)
    flat = {'data.file': str(data), 'data.generate': False, 'evaluation.baselines': False, 'model.layers': 1}
    config, workdir, kept = tiny_config(**flat), folder / 'run', folder / 'kept'
    text = run_experiment(config, workdir)
    before = contents(workdir)
    shutil.copytree(workdir, kept)
    dataset = datasets.read_dataset(data)

    def again() -> bool:
        return run_experiment(config, workdir) == text and contents(workdir) == before

    def score() -> bool:
        return set(scorer.score(scorer.load_trained(workdir), dataset)) == set(dataset.videos)

    counts = collections.Counter()
    for path in sorted(kept.rglob('*')):
        if not path.is_file():
            continue
        for how in (*DAMAGES, 'folder'):
            shutil.rmtree(workdir)
            shutil.copytree(kept, workdir)
            target = workdir / path.relative_to(kept)
            if how == 'folder':
                in_its_place_a_folder(target)
            else:
                damage(target, how)
            # The log and what people may edit are not made again while the results are there.
            kept_out = target.name == 'metrics.jsonl'
            for act in (score, (lambda: run_experiment(config, workdir) == text) if kept_out else again):
                found = outcome_of(act)
                counts[found if found in ('same', 'sentence') else 'FAILURE'] += 1
                print(f'{path.relative_to(kept)}, {how}: {found}', flush=True)
    print(dict(counts))
    shutil.rmtree(folder)
    return int(counts['FAILURE'] > 0)


if __name__ == '__main__':
    sys.exit(main())
