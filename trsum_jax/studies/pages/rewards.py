"""Which reward mends which failure: the table and the picture of a finished study of rewards.

python -m trsum_jax.studies.pages.rewards --workdir=runs/studies/rewards [--picture=FILE.png]
python -m trsum_jax.studies.pages.rewards --spread
"""

import argparse
import functools
import json
import pathlib
import sys

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import tabulate

from trsum_jax.configs.studies import rewards as study
from trsum_jax.data.made import planted
from trsum_jax.data.made.synthetic import recipe_of
from trsum_jax.errors import InputError
from trsum_jax.files import at_home
from trsum_jax.method import episodes, reward_terms
from trsum_jax.protocol import tables
from trsum_jax.results import pictures, planted_failures
from trsum_jax.results.report import MODEL
from trsum_jax.training import corpus

# The measure that each dataset is planted for.
OWN = {'repetitive': 'repeated', 'brief': 'missed_events', 'transitions': 'transition_preference'}
FIRST = 'reconstruction'
BESIDE = ('one_out', 'untrained', 'random', planted_failures.PEOPLE)


def read(workdir: pathlib.Path) -> dict[str, dict[str, dict]]:
    """What every variant of the study left.

    Args:
        workdir: of the study, its variants named `PLANT` (the paper's reward) and `PLANT-REWARD`.

    Returns:
        By dataset and reward, the content of `failures.json`, and of `results.json` as `results`.

    Raises:
        InputError: a dataset without its first variant.
    """
    found: dict[str, dict[str, dict]] = {plant: {} for plant in OWN}
    for path in sorted(workdir.glob(f'*/{planted_failures.NAME}.json')):
        plant, _, reward = path.parent.name.partition('-')
        reward = reward or FIRST
        found[plant][reward] = json.loads(path.read_text(encoding='utf-8'))
        results = json.loads(path.with_name('results.json').read_text(encoding='utf-8'))
        found[plant][reward]['results'] = results
    for plant, rewards in found.items():
        if FIRST not in rewards:
            raise InputError(f'{workdir}: expected a finished {plant}, found {", ".join(rewards)}')
    return found


def difference(one: dict, first: dict, choice: str, measure: str) -> dict[str, float]:
    """The change of a measure against the first variant, paired by video, with its interval.

    Args:
        one: a variant's `failures.json`.
        first: the first variant's, of the same videos.
        choice: `frames` or `summary`.
        measure: its name.

    Returns:
        `tables.estimate`; below 0 the failure became rarer.
    """
    values, others = (
        {key: _number(video[measure]) for key, video in of['videos'][MODEL][choice].items()}
        for of in (one, first)
    )
    return tables.estimate([[values[key] - others[key] for key in others]])


def rows(plant: str, rewards: dict[str, dict]) -> list[list[str]]:
    """The cells of one dataset's table: every reward, then the rows that stand beside them.

    Args:
        plant: the dataset.
        rewards: from `read`.

    Returns:
        One list a row.
    """
    measure, first = OWN[plant], rewards[FIRST]
    body = []
    for reward in [FIRST, *(name for name in rewards if name != FIRST)]:
        found = rewards[reward]
        cells = [reward]
        for choice in planted_failures.CHOICES:
            cells.append(planted_failures.cell(measure, found['rows'][MODEL][choice][measure]))
            change = difference(found, first, choice, measure)
            cells.append('' if reward == FIRST else planted_failures.cell(measure, change))
        cells.append(tables.cell('kendall_tau', found['results']['train_mean']['kendall_tau']))
        body.append(cells)
    for name in BESIDE:
        of = first['rows'][name]
        cells = [f'({name})']
        for choice in planted_failures.CHOICES:
            cells += [planted_failures.cell(measure, of[choice][measure]), '']
        others = first['results']['train_baselines'] | {
            planted_failures.PEOPLE: first['results']['train_baselines']['human']
        }
        body.append([*cells, tables.cell('kendall_tau', others[name]['kendall_tau'])])
    return body


def draw(path: pathlib.Path, found: dict[str, dict[str, dict]]) -> None:
    """Draws every reward's measure of each dataset, with chance and people beside it.

    Args:
        path: the PNG.
        found: from `read`.
    """
    figure, axes = pictures.subplots(1, len(OWN), figsize=(13, 3.8), sharey=True)
    for axis, (plant, measure) in zip(axes, OWN.items(), strict=True):
        rewards = found[plant]
        names = [FIRST, *(name for name in rewards if name != FIRST)]
        for shift, (choice, colour) in enumerate(zip(planted_failures.CHOICES, ('C0', 'C3'), strict=True)):
            for y, name in enumerate(names):
                value = rewards[name]['rows'][MODEL][choice][measure]
                place = y + 0.26 * shift - 0.13
                axis.plot(value['mean'], place, 'o', color=colour, label=None if y else choice)
                axis.plot([value['low'], value['high']], [place] * 2, color=colour)
            chance = rewards[FIRST]['rows']['random'][choice][measure]['mean']
            axis.axvline(chance, color=colour, lw=0.8, ls=':', label=f'{choice}, random scores')
        axis.set(title=f'{plant}: {planted_failures.TITLES[measure].removesuffix(", %")}')
        axis.grid(alpha=0.3)
    axes[0].set_yticks(range(len(names)), names)
    axes[0].invert_yaxis()
    axes[-1].legend(frameon=False, fontsize=7)
    figure.suptitle('The failure planted in each dataset, by reward: less is better (synthetic data)')
    pictures.save(figure, path)


def render(found: dict[str, dict[str, dict]]) -> str:
    """All datasets' tables as Markdown.

    Args:
        found: from `read`.

    Returns:
        The text.
    """
    parts = []
    for plant, rewards in found.items():
        title = planted_failures.TITLES[OWN[plant]]
        headers = ['reward', f'frames: {title}', 'change', f'summary: {title}', 'change', 'tau']
        table = tabulate.tabulate(rows(plant, rewards), headers, tablefmt='github', disable_numparse=True)
        parts.append(f'### {plant}\n\n{table}')
    return '\n\n'.join(parts)


def spreads(config: ml_collections.ConfigDict, n_episodes: int = 64) -> dict[str, float]:
    """How much each term but the reconstruction varies over random episodes, every `p` being 1/2.

    Args:
        config: of the study, with its planted dataset.
        n_episodes: random actions for each segment.

    Returns:
        By term, the standard deviation within a segment, averaged over segments.
    """
    videos = planted.videos_of(recipe_of(config.data.synthetic))
    segments = corpus.build(videos, config.decomposition.length, tuple(config.decomposition.views))
    options = {'reconstruct': 'composed', 'over': 'all'}

    def of_segment(name, number):
        one = corpus.gather(segments, number)
        key = jax.random.fold_in(jax.random.key(0), number)
        actions = episodes.sample(key, jnp.zeros(one.valid.shape), one.valid, n_episodes)
        rebuilt = jnp.zeros_like(one.frames)

        def reward(action):
            beside = one.shot, one.change, one.side
            return reward_terms.weighted_sum(
                {name: 1.0}, one.frames, one.valid, action, rebuilt, *beside, **options
            )[0]

        return jnp.std(jax.lax.map(reward, actions))

    found = {}
    for name in reward_terms.TERMS:
        if name == 'reconstruction':
            continue
        every = jax.lax.map(functools.partial(of_segment, name), jnp.arange(segments.n_segments))
        found[name] = float(jnp.mean(every))
    return found


def main(argv: list[str]) -> None:
    """Prints the tables and draws the picture, or prints the spread of the terms."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--workdir', type=at_home)
    parser.add_argument('--spread', action='store_true')
    parser.add_argument('--picture', type=at_home)
    arguments = parser.parse_args(argv)
    if arguments.spread:
        for plant in OWN:
            config = study.get_config()
            config.data.synthetic.plant = plant
            print(plant, ', '.join(f'{name} {value:.4f}' for name, value in spreads(config).items()))
        return
    if arguments.workdir is None:
        parser.error('expected --workdir=DIR of a finished study, or --spread')
    found = read(arguments.workdir)
    print(render(found))
    if arguments.picture:
        draw(arguments.picture, found)


def _number(value: float | None) -> float:
    return np.nan if value is None else value


if __name__ == '__main__':
    main(sys.argv[1:])
