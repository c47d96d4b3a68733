"""How well scores can do that learn nothing, on the videos of the study `mark`.

    python -m trsum_jax.studies.pages.mark

Beside the distance to the video's mean, which is the mark, stand what it would be if every frame of a shot
had the shot's mean of it; how new a shot is among the video's shots, which asks for what no reconstruction of
hidden frames can know; and the mean of people's own ratings.
"""

from collections.abc import Callable

import numpy as np
import tabulate

from trsum_jax.configs.studies import mark
from trsum_jax.data.made.synthetic import Recipe, generate
from trsum_jax.data.records import Video
from trsum_jax.protocol import tables
from trsum_jax.protocol.baselines import distance_to_mean
from trsum_jax.protocol.evaluation import rank_correlations, rank_references

# The set that the study's variants were chosen on, and the one that was looked at once.
SEEDS = (11, 12)


def shot_means(video: Video, values: np.ndarray) -> np.ndarray:
    """[shots, …], the mean over each shot's steps of [T, …] values."""
    shot = video.step_shots
    return np.stack([values[shot == number].mean(axis=0) for number in np.unique(shot)])


def smoothed_distance(video: Video) -> np.ndarray:
    """[T], the mean of the distance to the video's mean over each shot."""
    return shot_means(video, distance_to_mean(video.features))[video.step_shots]


def novelty(video: Video) -> np.ndarray:
    """[T], minus the largest cosine of a shot's mean feature, the video's taken off, with another shot's."""
    means = shot_means(video, video.features - video.features.mean(axis=0))
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    cosines = means @ means.T
    np.fill_diagonal(cosines, -np.inf)
    return -cosines.max(axis=1)[video.step_shots]


SCORERS: dict[str, Callable[[Video], np.ndarray]] = {
    'distance to the mean': lambda video: distance_to_mean(video.features),
    'the same, averaged over shots': smoothed_distance,
    'novelty among the shots': novelty,
    "mean of people's ratings": lambda video: rank_references(video).mean(axis=0),
}


def taus(videos: list[Video]) -> dict[str, dict[str, float]]:
    """By scorer, Kendall's tau with every person, averaged over people, then over videos."""
    return {
        name: tables.estimate([
            [float(np.mean(rank_correlations(scorer(video), rank_references(video))[0])) for video in videos]
        ])
        for name, scorer in SCORERS.items()
    }  # fmt: skip


def main() -> None:
    """Prints the table."""
    found = {}
    for seed in SEEDS:
        recipe = mark.get_config().data.synthetic
        found[seed] = taus(generate(Recipe(**recipe.to_dict() | {'seed': seed})))
    body = [[name, *(tables.cell('kendall_tau', found[seed][name]) for seed in SEEDS)] for name in SCORERS]
    headers = ['tau with each person', *(f'videos of seed {seed}' for seed in SEEDS)]
    print(tabulate.tabulate(body, headers, tablefmt='github', disable_numparse=True))


if __name__ == '__main__':
    main()
