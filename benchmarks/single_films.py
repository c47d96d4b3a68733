"""Training on one film alone, as `summarize` does: by which reward, on features taken how.

python -m benchmarks.single_films FILE.h5[:WEIGHT] ... --output=runs/single_films

Each video of each feature file is trained on alone, by every candidate, and compared with its people. The
rule of choice is in docs/real.md. What is done is kept in the folder of --output: the same command goes on.
"""

import argparse
import contextlib
import io
import json
import pathlib
import sys
import tempfile

import tabulate
from tqdm import tqdm

from trsum_jax.data import datasets
from trsum_jax.data.records import Dataset, Video
from trsum_jax.experiment import check, fields, own_videos, preparation
from trsum_jax.experiment.run import train
from trsum_jax.files import write_json, write_text
from trsum_jax.protocol import baselines, comparison, evaluation
from trsum_jax.results import report
from trsum_jax.studies.comparison import cell

# The first is what `summarize` does.
CANDIDATES = {
    'default': {},
    'default, as they are': {'data': {'standardize': False}},
    'reconstruction': fields.RECONSTRUCTION,
    'reconstruction, as they are': {**fields.RECONSTRUCTION, 'data': {'standardize': False}},
}
SHOWN = ('kendall_tau', 'f_avg', 'f_max')
WITHOUT = ('random', 'distance_to_mean', 'change', 'human')
_KEPT = 'single_films.json'


def measured(video: Video, encoder: str | None, changes: dict, seeds: tuple[int, ...]) -> list[dict]:
    """A film's measures against its people, of one training of each seed.

    Args:
        video: with features, shots and people.
        encoder: of its features.
        changes: of the config, by field.
        seeds: whole numbers from 0.

    Returns:
        For each seed, `SHOWN`.
    """
    config = own_videos.small_config([video])
    config.update(changes)
    config.seeds = seeds
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        workdir = pathlib.Path(folder)
        config.data.file = str(workdir / own_videos.FEATURES)
        check.check(config)
        datasets.write_dataset(workdir / own_videos.FEATURES, [video], encoder=encoder)
        prepared = preparation.prepare(config, workdir)
        scores = prepared.score(train(prepared), labelled=False)[report.MODEL]
    found = [evaluation.evaluate_video(video, of_run[video.key]) for of_run in scores]
    return [{name: metrics[name] for name in SHOWN} for metrics in found]


def measure(data: list[tuple[Dataset, float]], seeds: tuple[int, ...], folder: pathlib.Path) -> list[dict]:
    """All trainings that are not kept yet, one after another.

    Args:
        data: feature files, and what a film of each counts.
        seeds: of each training.
        folder: where what is done is kept.

    Returns:
        A row for each film, candidate and seed, and for each film and row without training.
    """
    kept = folder / _KEPT
    rows = json.loads(kept.read_text()) if kept.exists() else []
    done = {(row['film'], row['name']) for row in rows}
    work = [(of, weight, video) for of, weight in data for video in of.videos.values() if video.has_users]
    bar = tqdm(total=len(work) * len(CANDIDATES), unit='training', mininterval=1.0)
    for of, weight, video in work:
        film = f'{pathlib.Path(of.path).stem}/{video.key}'
        told = {'film': film, 'weight': weight}
        for name, changes in CANDIDATES.items():
            bar.set_description(f'{film}, {name}')
            if (film, name) not in done:
                found = measured(video, of.encoder, changes, seeds)
                rows += [
                    {**told, 'name': name, 'seed': seed, **metrics}
                    for seed, metrics in zip(seeds, found, strict=True)
                ]
                write_json(kept, rows)
            bar.update()
        without = baselines.without_model(video)
        rows += [
            {**told, 'name': name, 'seed': seeds[0], **{metric: without[name][metric] for metric in SHOWN}}
            for name in WITHOUT
            if (film, name) not in done
        ]
    bar.close()
    write_json(kept, rows)
    return rows


def table(rows: list[dict]) -> str:
    """Every candidate and row: means with 95% intervals over seeds and films, and less the first one."""

    def cells(name: str, metric: str) -> comparison.Cells:
        return {
            (row['seed'], row['film']): (row[metric], row['weight']) for row in rows if row['name'] == name
        }

    lines, first = [], next(iter(CANDIDATES))
    for name in (*CANDIDATES, *WITHOUT):
        line = [name, *(cell(metric, comparison.interval(cells(name, metric))) for metric in SHOWN)]
        if name in CANDIDATES and name != first:
            less = comparison.difference(cells(name, SHOWN[0]), cells(first, SHOWN[0]))
            line.append(cell(SHOWN[0], less, '+'))
        lines.append(line)
    head = ['trained on one film', 'tau', 'F avg, %', 'F max, %', f'tau less `{first}`']
    return tabulate.tabulate(lines, head, tablefmt='github')


def main() -> None:
    """Trains, prints the table and writes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('files', nargs='+', help='feature files with people; :WEIGHT is what a film counts')
    parser.add_argument('--output', type=pathlib.Path, required=True, help='a folder')
    parser.add_argument('--seeds', type=int, default=5)
    given = parser.parse_args()
    data = []
    for file in given.files:
        path, _, weight = file.partition(':')
        data.append((datasets.read_dataset(path), float(weight or 1)))
    given.output.mkdir(parents=True, exist_ok=True)
    found = table(measure(data, tuple(range(given.seeds)), given.output))
    write_text(given.output / 'single_films.md', found + '\n')
    print(found)


if __name__ == '__main__':
    sys.exit(main())
