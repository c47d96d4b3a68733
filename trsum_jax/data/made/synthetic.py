"""Videos with a planted structure, in the layout of the field's files: a known answer to test against.

A video is a sequence of shots. A shot shows one *content*, a direction in feature space, with a slow
drift and noise. Some contents recur through a video (the background), others appear once (the
distinctive). People's ratings follow one of three rules: `distinct` prefers the distinctive shots,
`represent` the recurring ones, and `null` something that the features do not show, so that nothing may
score above chance on it. Which shots are distinctive, how long they are and where they lie are drawn
independently of one another.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from trsum_jax.data.records import Video
from trsum_jax.errors import InputError

ANNOTATORS = ('distinct', 'represent', 'null')
CONTENTS = ('private', 'shared')
PLANTS = ('', 'repetitive', 'brief', 'transitions')


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a synthetic dataset is made.

    Attributes:
        videos: number of videos.
        annotators: what people prefer, one of `ANNOTATORS`.
        contents: `private` gives every video contents of its own; `shared` draws them from one pool, so
            that what is background in one video may be distinctive in another.
        width: D, features per frame.
        steps: shortest and longest video, in sampled frames (2 a second).
        shot_steps: shortest and longest shot, in sampled frames.
        pool: contents in the shared pool.
        background: recurring contents in a video.
        distinctive: share of shots that are distinctive.
        users: people who rate each video.
        disagreement: standard deviation of a person's own taste in a shot, against 1 between shots.
        noise: length of a frame's own noise against a content's 1.
        drift: length of a shot's slow drift against a content's 1.
        common: length of the direction that all frames share, as pooled activations do.
        summary_share: share of a video that a person's summary may fill.
        seed: of everything drawn.
        plant: what should go wrong, one of `PLANTS` (`trsum_jax.data.made.planted`); nothing where empty.
    """

    videos: int = 20
    annotators: str = 'distinct'
    contents: str = 'shared'
    width: int = 128
    steps: tuple[int, int] = (100, 200)
    shot_steps: tuple[int, int] = (4, 12)
    pool: int = 48
    background: int = 4
    distinctive: float = 0.3
    users: int = 8
    disagreement: float = 1.5
    noise: float = 0.6
    drift: float = 0.4
    common: float = 0.5
    summary_share: float = 0.15
    seed: int = 0
    plant: str = ''


FRAMES_PER_STEP = 15
FPS = 30.0


def recipe_of(fields: Mapping[str, Any]) -> Recipe:
    """A recipe from the fields of a config, which holds lists for tuples."""
    return Recipe(
        **{name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    )


def generate(recipe: Recipe) -> list[Video]:
    """Draws the videos of a recipe, each with its own stream of random numbers.

    Args:
        recipe: what to make.

    Returns:
        The videos `video_1`, `video_2`, …, with true shots, `user_scores` (integers 1 to 5),
        `user_summary` and `gtscore`.

    Raises:
        InputError: a choice that does not exist, or sizes that cannot be met.
    """
    check(recipe)
    root = np.random.default_rng([recipe.seed, 0])
    common = directions(root, 1, recipe.width)[0]
    pool = directions(root, recipe.pool, recipe.width)
    return [
        _video(np.random.default_rng([recipe.seed, 1 + i]), recipe, f'video_{i + 1}', common, pool)
        for i in range(recipe.videos)
    ]


def _video(rng: np.random.Generator, recipe: Recipe, key: str, common: np.ndarray, pool: np.ndarray) -> Video:
    lengths = shot_lengths(rng, recipe)
    distinctive = rng.random(len(lengths)) < recipe.distinctive
    contents = _contents(rng, recipe, pool, distinctive)
    importance = {
        'distinct': distinctive.astype(float),
        'represent': 1.0 - distinctive,
        'null': (rng.random(len(lengths)) < recipe.distinctive).astype(float),
    }[recipe.annotators]
    ratings = ratings_of(rng, recipe, importance)

    n_frames = int(lengths.sum()) * FRAMES_PER_STEP
    ends = np.cumsum(lengths) * FRAMES_PER_STEP
    change_points = np.stack([ends - lengths * FRAMES_PER_STEP, ends - 1], axis=1)
    user_scores = np.repeat(ratings, lengths * FRAMES_PER_STEP, axis=1).astype(np.float32)
    picks = np.arange(0, n_frames, FRAMES_PER_STEP)
    return Video(
        key=key,
        picks=picks,
        n_frames=n_frames,
        features=frames_of(rng, recipe, np.repeat(contents, lengths, axis=0), lengths, common),
        change_points=change_points,
        user_summary=np.stack([summary_of(rng, recipe, person, change_points) for person in ratings]),
        user_scores=user_scores,
        gtscore=((user_scores[:, picks].mean(axis=0) - 1) / 4).astype(np.float32),
        name=f'synthetic {recipe.annotators} {recipe.contents}',
        fps=FPS,
    )


def shot_lengths(rng: np.random.Generator, recipe: Recipe) -> np.ndarray:
    """[shots] steps of each shot, which fill a video of a length that the recipe allows."""
    shortest, longest = recipe.shot_steps
    left = int(rng.integers(recipe.steps[0], recipe.steps[1] + 1))
    lengths = []
    while left >= 2 * shortest:
        lengths.append(min(int(rng.integers(shortest, longest + 1)), left - shortest))
        left -= lengths[-1]
    return rng.permutation([*lengths, left])


def _contents(
    rng: np.random.Generator, recipe: Recipe, pool: np.ndarray, distinctive: np.ndarray
) -> np.ndarray:
    """[shots, D]: once-only contents for the distinctive shots, few and recurring ones for the others."""
    once = int(distinctive.sum())
    if recipe.contents == 'shared':
        drawn = pool[rng.permutation(len(pool))[: recipe.background + once]]
    else:
        drawn = directions(rng, recipe.background + once, recipe.width)
    rank = np.empty(len(distinctive), int)
    rank[distinctive] = recipe.background + np.arange(once)
    last = -1
    for i in np.flatnonzero(~distinctive):
        # Two neighbours of one content would be one shot.
        choices = [c for c in range(recipe.background) if c != last or rank[i - 1] != last]
        rank[i] = last = rng.choice(choices)
    return drawn[rank]


def frames_of(
    rng: np.random.Generator,
    recipe: Recipe,
    contents: np.ndarray,
    lengths: np.ndarray,
    common: np.ndarray,
    noise: np.ndarray | None = None,
) -> np.ndarray:
    """Features of unit length: content, the common direction, a drift along the shot, and noise.

    Args:
        rng: where the draws come from.
        recipe: their sizes.
        contents: [T, D], what each step shows.
        lengths: [shots], steps of each shot, T in all.
        common: [D], what all frames share.
        noise: [T], factor on the recipe's noise; 1 by default.

    Returns:
        [T, D] float32.
    """
    start, end = (np.repeat(directions(rng, len(lengths), recipe.width), lengths, axis=0) for _ in range(2))
    along = np.concatenate([np.linspace(0, 1, n) for n in lengths])[:, None]
    frames = contents + recipe.common * common
    frames = frames + recipe.drift * ((1 - along) * start + along * end)
    factor = recipe.noise if noise is None else recipe.noise * noise[:, None]
    frames = frames + factor * directions(rng, len(frames), recipe.width)
    return (frames / np.linalg.norm(frames, axis=1, keepdims=True)).astype(np.float32)


def ratings_of(rng: np.random.Generator, recipe: Recipe, importance: np.ndarray) -> np.ndarray:
    """[users, shots] integers 1 to 5: a person's taste in shots cut at its own quintiles."""
    spread = importance.std() or 1.0
    taste = importance / spread + recipe.disagreement * rng.standard_normal((recipe.users, len(importance)))
    cuts = np.quantile(taste, [0.2, 0.4, 0.6, 0.8], axis=1)
    return 1 + (taste[None] > cuts[..., None]).sum(axis=0)


def summary_of(
    rng: np.random.Generator, recipe: Recipe, ratings: np.ndarray, change_points: np.ndarray
) -> np.ndarray:
    """[n_frames] of 0 and 1: a person takes the best-rated shots that still fit, equals in random order."""
    summary = np.zeros(change_points[-1, 1] + 1, np.float32)
    budget = recipe.summary_share * len(summary)
    for shot in np.lexsort((rng.random(len(ratings)), -ratings)):
        first, last = change_points[shot]
        if summary.sum() + last - first + 1 <= budget:
            summary[first : last + 1] = 1
    return summary


def directions(rng: np.random.Generator, n: int, width: int) -> np.ndarray:
    """[n, width] random vectors of length 1."""
    vectors = rng.standard_normal((n, width))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def check(recipe: Recipe) -> None:
    """Refuses what cannot be drawn.

    Args:
        recipe: what to make.

    Raises:
        InputError: a choice that does not exist, or sizes that cannot be met.
    """
    for name, choices in (('annotators', ANNOTATORS), ('contents', CONTENTS), ('plant', PLANTS)):
        if getattr(recipe, name) not in choices:
            raise InputError(
                f'synthetic data, {name}: expected one of {", ".join(choices)}, '
                f'found {getattr(recipe, name)!r}'
            )
    shortest, longest = recipe.shot_steps
    if not 1 <= shortest <= longest <= recipe.steps[0] <= recipe.steps[1]:
        raise InputError(
            'synthetic data: expected 1 <= shot_steps[0] <= shot_steps[1] <= steps[0] <= steps[1], '
            f'found shot_steps={recipe.shot_steps}, steps={recipe.steps}'
        )
    if recipe.background < 2 or min(recipe.videos, recipe.width, recipe.users) < 1:
        raise InputError(
            'synthetic data: expected 2 or more background contents, and videos, width, users of 1 or more'
        )
    most = recipe.background + -(-recipe.steps[1] // shortest)
    if recipe.contents == 'shared' and recipe.pool < most:
        raise InputError(
            f'synthetic data: the shared pool needs {most} contents for the longest video '
            f'(background + steps[1] / shot_steps[0]), found pool={recipe.pool}'
        )
