"""What data are like, side by side: `python -m trsum_jax.studies.pages.statistics [NAME=]DATA ...`.

    python -m trsum_jax.studies.pages.statistics SumMe=FILE.h5 demo weak --output=runs/statistics

DATA is a feature file, or the name of a config whose data are generated. Nothing is trained: shots, the
spread of features, how people agree, and the rows that need no training. `statistics.json` and
`statistics.md` are written to the folder of --output.
"""

import argparse
import importlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tabulate
from tqdm import tqdm

from trsum_jax.data import datasets
from trsum_jax.data.made import planted, synthetic
from trsum_jax.data.records import Dataset, Video
from trsum_jax.data.standard import standards
from trsum_jax.errors import InputError
from trsum_jax.files import at_home, shown, write_json, write_text
from trsum_jax.protocol import baselines, evaluation, tables

NAME = 'statistics'
# Of one video each, and what the table calls them; `cell` gives what begins with `f_` in percent.
OF_FEATURES = {
    'cosine': 'cosine of two frames of a video',
    'standardized_cosine': 'the same, standardized',
    'standardized_neighbours': 'cosine of neighbouring frames, standardized',
}
OF_PEOPLE = {'f_selected': 'a person selects, % of the video'}
# What the table shows of the rows of `baselines.without_model`.
SHOWN = ('kendall_tau', 'f_avg', 'f_max')
_COUNTS = {
    'users': 'people a video',
    'steps': 'sampled frames a video',
    'seconds_between': 'seconds between sampled frames',
    'shots': 'shots a video',
    'shot_steps': 'a shot, sampled frames',
    'shot_seconds': 'a shot, seconds',
}


def mean_cosine(features: npt.ArrayLike) -> float:
    """The mean cosine over all pairs of different frames.

    `sum over i != j of u_i u_j = |sum of u_i|² - sum of |u_i|²`, of frames scaled to length one.

    Args:
        features: [n_steps, D] float; frames of length zero have cosine 0 with all others.

    Returns:
        The mean; NaN for a single frame.
    """
    unit = _unit(features)
    n = len(unit)
    total = np.sum(np.square(unit.sum(axis=0))) - np.sum(np.square(unit))
    return float(total / (n * (n - 1))) if n > 1 else float('nan')


def neighbour_cosine(features: npt.ArrayLike) -> float:
    """The mean cosine of each frame with the next one.

    Args:
        features: [n_steps, D] float.

    Returns:
        The mean; NaN for a single frame.
    """
    unit = _unit(features)
    return float(np.sum(unit[1:] * unit[:-1], axis=1).mean()) if len(unit) > 1 else float('nan')


def shared_part(videos: Sequence[Video]) -> float:
    """How much of the frames' squared lengths is the mean of all frames: `|mean|² / mean of |x|²`.

    Args:
        videos: with features.

    Returns:
        From 0 to 1; NaN where all frames are zero.
    """
    frames = np.concatenate([np.asarray(video.features, np.float64) for video in videos])
    power = np.mean(np.sum(np.square(frames), axis=1))
    return float(np.sum(np.square(frames.mean(axis=0))) / power) if power else float('nan')


def seconds_between(video: Video) -> float:
    """The median time between sampled frames; NaN where the video tells no frames per second."""
    if not video.fps or video.n_steps < 2:
        return float('nan')
    return float(np.median(np.diff(video.picks)) / video.fps)


def of_video(video: Video, mean: np.ndarray) -> dict[str, float]:
    """The statistics of one video that are numbers.

    Args:
        video: with features, shots and users as far as it has them.
        mean: [D], of all frames of the dataset, which standardized features are less.

    Returns:
        Those of `OF_FEATURES` and `OF_PEOPLE`; NaN where it lacks what they are of.
    """
    found = dict.fromkeys((*OF_FEATURES, *OF_PEOPLE), float('nan'))
    if video.features is not None:
        centred = np.asarray(video.features, np.float64) - mean
        values = mean_cosine(video.features), mean_cosine(centred), neighbour_cosine(centred)
        found |= dict(zip(OF_FEATURES, values, strict=True))
    if video.user_summary is not None:
        found['f_selected'] = float((video.user_summary > 0).mean())
    return found


def of_dataset(dataset: Dataset, draws: int = 20) -> dict[str, Any]:
    """All statistics of a dataset.

    Args:
        dataset: its videos have features.
        draws: of random scores.

    Returns:
        `videos` (their number), `counts` (`_COUNTS` to the quartiles, least and greatest, over videos, of
        shots over all shots), `shared` (`shared_part`), `features` and `people` (`tables.estimate` of
        `OF_FEATURES` and `OF_PEOPLE`), `rows` (the rows of `baselines.without_model`, as
        `tables.aggregate`), `rank_against`, `synthetic`, `notes`.
    """
    videos = list(dataset.videos.values())
    mean = standards(videos, np.ones((1, len(videos)), bool)).mean[0].astype(np.float64)
    numbers, rows = {}, {}
    for video in tqdm(videos, dataset.path, unit='video', mininterval=1.0, disable=None):
        numbers[video.key] = of_video(video, mean)
        if video.has_users:
            for name, metrics in baselines.without_model(video, draws=draws).items():
                rows.setdefault(name, {})[video.key] = metrics
    estimates = tables.aggregate([numbers])
    shot_lengths = [v.change_points[:, 1] - v.change_points[:, 0] + 1 for v in videos]
    counts = {
        'users': [_users(video) for video in videos],
        'steps': [video.n_steps for video in videos],
        'seconds_between': [seconds_between(video) for video in videos],
        'shots': [len(video.change_points) for video in videos],
        'shot_steps': np.concatenate(
            [np.bincount(v.step_shots, minlength=len(v.change_points)) for v in videos]
        ),
        'shot_seconds': np.concatenate(
            [lengths / (v.fps or np.nan) for v, lengths in zip(videos, shot_lengths, strict=True)]
        ),
    }
    against = sorted({name for video in videos if (name := evaluation.rank_against(video))})
    return {
        'dataset': dataset.path,
        'synthetic': dataset.synthetic,
        'notes': list(dataset.notes),
        'videos': len(videos),
        'counts': {name: _spread_of(values) for name, values in counts.items()},
        'shared': shared_part(videos),
        'features': {name: estimates[name] for name in OF_FEATURES},
        'people': {name: estimates[name] for name in OF_PEOPLE},
        'rank_against': ', '.join(against) or None,
        'rows': {name: tables.aggregate([of]) for name, of in rows.items()},
    }


def render_statistics(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The datasets side by side as Markdown.

    Args:
        found: by name, from `of_dataset`.

    Returns:
        The table, a column a dataset, and below it the notes.
    """
    columns = list(found.values())
    body = [['videos', *(str(of['videos']) for of in columns)]]
    for name, title in _COUNTS.items():
        body.append([title, *(_of_counts(name, of['counts'][name]) for of in columns)])
    body.append(['all frames share, % of squared length', *(f'{100 * of["shared"]:.1f}' for of in columns)])
    for part, titles in (('features', OF_FEATURES), ('people', OF_PEOPLE)):
        body += [
            [title, *(tables.cell(name, of[part][name]) for of in columns)] for name, title in titles.items()
        ]
    body.append(['ranks against', *(of['rank_against'] or '–' for of in columns)])
    rows = list(dict.fromkeys(name for of in columns for name in of['rows']))
    # People first: they are the mark of what can be reached.
    rows.sort(key=lambda name: name != 'human')
    for metric in SHOWN:
        for name in rows:
            cells = [
                tables.cell(metric, of['rows'][name][metric]) if name in of['rows'] else '–' for of in columns
            ]
            if any(cell != '–' for cell in cells):
                body.append([f'{tables.TITLES[metric]}: {name}', *cells])
    headers = ['', *(f'{name}{" (planted)" if of["synthetic"] else ""}' for name, of in found.items())]
    table = tabulate.tabulate(body, headers, tablefmt='github', disable_numparse=True)
    about = (
        'Mean over videos [95% bootstrap interval over videos]; of counts and lengths the median '
        '[quartiles]; standardized features are less the mean of all frames of the dataset.'
    )
    notes = [f'\n{name}: {note}.' for name, of in found.items() for note in of['notes']]
    return '\n'.join([f'# What the data are like\n\n{about}\n\n{table}', *notes]) + '\n'


def read_named(named: str) -> tuple[str, Dataset]:
    """The data that an argument names.

    Args:
        named: `[NAME=]DATA`, DATA a feature file or one of our configs with generated data.

    Returns:
        The name, by default the file's or the config's, and the dataset.

    Raises:
        InputError: neither is there, the config reads a file, or the file is faulty or has no features.
    """
    name, _, data = named.rpartition('=')
    path = at_home(data)
    if path.suffix in ('.h5', '.hdf5') or (path.is_file() and path.suffix != '.py'):
        return name or path.stem, datasets.read_dataset(path)
    # As the main job takes them: `demo`, or `configs/demo.py`.
    data = data.removeprefix('configs/').removesuffix('.py')
    module = 'trsum_jax.configs.' + data.replace('/', '.')
    try:
        config = importlib.import_module(module).get_config()
    except (ModuleNotFoundError, AttributeError) as error:
        raise InputError(
            f'{shown(named)}: expected a feature file (.h5), or a config of ours whose data are generated, '
            'such as demo or weak, found neither'
        ) from error
    if not config.data.generate:
        raise InputError(
            f'{shown(named)}: expected a config whose data are generated, found one that reads a file'
        )
    recipe = synthetic.recipe_of(config.data.synthetic)
    return name or data, generated(data, recipe)


def generated(name: str, recipe: synthetic.Recipe) -> Dataset:
    """The planted videos of a recipe as a dataset."""
    return Dataset(name, {video.key: video for video in planted.videos_of(recipe)}, synthetic=True)


def main(argv: list[str]) -> None:
    """Measures all data that are named, and prints the table."""
    parser = argparse.ArgumentParser(prog='python -m trsum_jax.studies.pages.statistics')
    parser.add_argument(
        'data', nargs='+', metavar='[NAME=]DATA', help='a feature file, or a config such as demo'
    )
    parser.add_argument('--draws', default=20, type=int, help='of random scores')
    parser.add_argument('--output', type=at_home, help='a folder for the table and the JSON')
    given = parser.parse_args(argv)
    if given.draws < 1:
        raise InputError(f'--draws: expected 1 or more, found {given.draws}')
    named = [read_named(one) for one in given.data]
    if len({name for name, _ in named}) < len(named):
        raise InputError(
            f'expected different names, found {", ".join(name for name, _ in named)}; NAME=DATA names one'
        )
    found = {name: of_dataset(dataset, given.draws) for name, dataset in named}
    text = render_statistics(found)
    if given.output:
        write_json(given.output / f'{NAME}.json', found)
        write_text(given.output / f'{NAME}.md', text)
    print(text)


def _unit(features: npt.ArrayLike) -> np.ndarray:
    features = np.asarray(features, np.float64)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(length > 0, length, 1.0)


def _users(video: Video) -> int:
    users = video.user_summary if video.user_summary is not None else video.user_scores
    return 0 if users is None else len(users)


def _spread_of(values: npt.ArrayLike) -> dict[str, float]:
    """Quartiles, least and greatest of the values that are known."""
    values = np.asarray(values, np.float64)
    known = values[~np.isnan(values)]
    names = ('least', 'low', 'median', 'high', 'greatest')
    if not len(known):
        return dict.fromkeys(names, float('nan'))
    return dict(zip(names, np.quantile(known, [0, 0.25, 0.5, 0.75, 1]).tolist(), strict=True))


def _of_counts(name: str, spread: Mapping[str, float]) -> str:
    if np.isnan(spread['median']):
        return '–'
    digits = {'seconds_between': 2, 'shot_seconds': 1}.get(name, 0)
    middle, low, high = (f'{spread[of]:.{digits}f}' for of in ('median', 'low', 'high'))
    return f'{middle} [{low}, {high}]'


if __name__ == '__main__':
    try:
        main(sys.argv[1:])
    except InputError as error:
        sys.exit(f'error: {error}')
