"""Videos with a planted structure, in the layout of the field's files: a known answer to test against.

A video is a sequence of shots. A shot shows one *content*, a direction in feature space, with a slow
drift and noise. Some contents recur through a video (the background), others appear once (the
distinctive). People's ratings follow one of three rules: `distinct` prefers the distinctive shots,
`represent` the recurring ones, and `null` something that the features do not show, so that nothing may
score above chance on it. Which shots are distinctive, how long they are and where they lie are drawn
independently of one another. By `hidden` and `moving` some of a video's shots follow another rule, as real
people follow several.
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
        steps: shortest and longest video, in sampled frames.
        shot_steps: shortest and longest shot, in sampled frames.
        pool: contents in the shared pool.
        background: recurring contents in a video.
        distinctive: share of shots that are distinctive.
        users: people who rate each video.
        disagreement: standard deviation of a person's own taste in a shot, against 1 between shots.
        noise: length of a frame's own noise against a content's 1.
        drift: length of a shot's slow drift against a content's 1.
        common: length of the direction that all frames share, as pooled activations do.
        own: length of the direction that all frames of one video share; none where 0.
        hidden: share of shots that people like or not for what the features do not show.
        moving: share of shots that people like where their frames change more than others' do; only with it
            do some shots change more.
        ratings: whether people rate shots, as in TVSum, beside choosing some; SumMe's people only choose.
        summary_share: share of a video that a person's summary may fill.
        frames_per_step: frames of the video for each sampled one, of 30 a second.
        seed: of everything drawn.
        plant: what should go wrong, one of `PLANTS` (`trsum_jax.data.made.planted`); nothing where empty.
            Then `annotators`, `hidden` and `moving` have no meaning.
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
    own: float = 0.0
    hidden: float = 0.0
    moving: float = 0.0
    ratings: bool = True
    summary_share: float = 0.15
    frames_per_step: int = 15
    seed: int = 0
    plant: str = ''


FPS = 30.0
# Factor on the noise of a shot whose frames change more.
LIVELY = 1.5


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
        The videos `video_1`, `video_2`, …, with true shots, `user_summary`, `gtscore` and, with `ratings`,
        `user_scores` (integers 1 to 5).

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
    importance, noise = _other_rules(rng, recipe, importance)
    ratings = ratings_of(rng, recipe, importance)
    contents, noise = (np.repeat(x, lengths, axis=0) for x in (contents, noise))
    return Video(
        key=key,
        features=frames_of(rng, recipe, contents, lengths, common, noise),
        name=f'synthetic {recipe.annotators} {recipe.contents}',
        fps=FPS,
        **people_of(rng, recipe, ratings, np.repeat(ratings, lengths, axis=1), lengths),
    )


def _other_rules(
    rng: np.random.Generator, recipe: Recipe, importance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """[shots] importance, some of it by other rules, and [shots] factors on the noise."""
    noise = np.ones(len(importance))
    # Nothing is drawn where a recipe has neither: its videos stay what they were.
    if recipe.hidden or recipe.moving:
        rule = rng.random(len(importance))
        by_chance, lively = (rng.random((2, len(importance))) < recipe.distinctive).astype(float)
        importance = np.where(rule < recipe.hidden + recipe.moving, lively, importance)
        importance = np.where(rule < recipe.hidden, by_chance, importance)
        if recipe.moving:
            noise = np.where(lively > 0, LIVELY, noise)
    return importance, noise


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
    """Features of unit length: content, what frames share, a drift along the shot, and noise.

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
    if recipe.own:
        frames = frames + recipe.own * directions(rng, 1, recipe.width)
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


def people_of(
    rng: np.random.Generator, recipe: Recipe, ratings: np.ndarray, by_step: np.ndarray, lengths: np.ndarray
) -> dict[str, Any]:
    """The shots of a video and what people think of it, as parts of a `Video`.

    Args:
        rng: where the draws come from.
        recipe: how long a step is, and whether people rate.
        ratings: [users, shots], by which people choose shots.
        by_step: [users, T], what they say of each step.
        lengths: [shots], steps of each shot, T in all.

    Returns:
        `picks`, `n_frames`, `change_points`, `user_summary`, `user_scores` (None without ratings), `gtscore`.
    """
    ends = np.cumsum(lengths) * recipe.frames_per_step
    n_frames = int(ends[-1])
    change_points = np.stack([ends - lengths * recipe.frames_per_step, ends - 1], axis=1)
    picks = np.arange(0, n_frames, recipe.frames_per_step)
    chosen = np.stack([summary_of(rng, recipe, person, change_points) for person in ratings])
    rated = np.repeat(by_step, recipe.frames_per_step, axis=1).astype(np.float32) if recipe.ratings else None
    mean = chosen[:, picks].mean(axis=0) if rated is None else (rated[:, picks].mean(axis=0) - 1) / 4
    return {
        'picks': picks,
        'n_frames': n_frames,
        'change_points': change_points,
        'user_summary': chosen,
        'user_scores': rated,
        'gtscore': mean.astype(np.float32),
    }


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
    if recipe.background < 2 or min(recipe.videos, recipe.width, recipe.users, recipe.frames_per_step) < 1:
        raise InputError(
            'synthetic data: expected 2 or more background contents, and videos, width, users, '
            'frames_per_step of 1 or more'
        )
    shares = recipe.hidden, recipe.moving
    if not (min(shares) >= 0 and sum(shares) <= 1):
        raise InputError(
            'synthetic data, hidden and moving: expected shares of shots, 0 or more and 1 at most together, '
            f'found {recipe.hidden} and {recipe.moving}'
        )
    most = recipe.background + -(-recipe.steps[1] // shortest)
    if recipe.contents == 'shared' and recipe.pool < most:
        raise InputError(
            f'synthetic data: the shared pool needs {most} contents for the longest video '
            f'(background + steps[1] / shot_steps[0]), found pool={recipe.pool}'
        )
