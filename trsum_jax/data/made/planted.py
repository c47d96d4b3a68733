"""Videos in which a summarizer that loves what is hard to rebuild goes wrong in one known way.

The paper names three ways: it repeats itself in repetitive scenes, misses brief events, and prefers
transitions. Each has a dataset here, with the truth of every step and people who do not fall for it:

- `repetitive`: a few busy scenes (much noise) come again and again between calm ones that come once and show
  less. People want every calm scene, and each busy one at its first showing.
- `brief`: calm events of one or two steps within long busy scenes. People want the events.
- `transitions`: the two steps at each cut are blends of both scenes, with much noise. People rate them
  lowest, and like the scenes that come once.

A second modality, `side`, knows what people want up to noise, as sound sometimes does.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from trsum_jax.data.made import synthetic
from trsum_jax.data.made.synthetic import FPS, Recipe
from trsum_jax.data.records import Video

# Factors on the recipe's noise, and on the length of a calm scene's content.
BUSY, CALM, BLEND = 2.0, 0.6, 2.0
FAINT = 0.6
EVENT_STEPS = (1, 2)
SIDE_NOISE = 0.5


@dataclasses.dataclass(frozen=True)
class Truth:
    """What was planted in one video.

    Attributes:
        content: [n_steps] int, which content each step shows.
        event: [n_steps] int, the number of the brief event that each step belongs to, -1 elsewhere.
        transition: [n_steps] bool, the blends at the cuts.
    """

    content: np.ndarray
    event: np.ndarray
    transition: np.ndarray


class _Shots(NamedTuple):
    """The plan of a video, one entry a shot: steps, content, what people think, noise, event, strength."""

    lengths: np.ndarray
    content: np.ndarray
    importance: np.ndarray
    noise: np.ndarray
    event: np.ndarray
    strength: np.ndarray


def videos_of(recipe: Recipe) -> list[Video]:
    """Draws the videos of a recipe, with or without something planted.

    Args:
        recipe: what to make; `plant` says what goes wrong.

    Returns:
        As `synthetic.generate`; with something planted also `side` [n_steps, 1].

    Raises:
        InputError: a choice that does not exist, or sizes that cannot be met.
    """
    return [video for video, _ in _draw(recipe)] if recipe.plant else synthetic.generate(recipe)


def truths(recipe: Recipe) -> dict[str, Truth]:
    """What `videos_of` plants, by the video's key.

    Args:
        recipe: with something planted.

    Returns:
        The truth of every video.
    """
    return {video.key: truth for video, truth in _draw(recipe)}


def _draw(recipe: Recipe) -> list[tuple[Video, Truth]]:
    synthetic.check(recipe)
    root = np.random.default_rng([recipe.seed, 0])
    common = synthetic.directions(root, 1, recipe.width)[0]
    pool = synthetic.directions(root, recipe.pool, recipe.width)
    return [
        _video(np.random.default_rng([recipe.seed, 1 + i]), recipe, f'video_{i + 1}', common, pool)
        for i in range(recipe.videos)
    ]


def _video(
    rng: np.random.Generator, recipe: Recipe, key: str, common: np.ndarray, pool: np.ndarray
) -> tuple[Video, Truth]:
    shots = {'repetitive': _repetitive, 'brief': _brief, 'transitions': _plain}[recipe.plant](rng, recipe)
    n_contents = shots.content.max() + 1
    if recipe.contents == 'shared':
        vectors = pool[rng.permutation(len(pool))[:n_contents]]
    else:
        vectors = synthetic.directions(rng, n_contents, recipe.width)
    lengths = shots.lengths
    content, event, noise, importance, strength = (
        np.repeat(x, lengths)
        for x in (shots.content, shots.event, shots.noise, shots.importance, shots.strength)
    )
    shown = strength[:, None] * vectors[content]
    cuts = np.cumsum(lengths)[:-1]
    transition = np.zeros(len(content), bool)
    if recipe.plant == 'transitions':
        transition[cuts - 1] = transition[cuts] = True
        shown[cuts - 1] = shown[cuts] = (vectors[content[cuts - 1]] + vectors[content[cuts]]) / 2
        noise[transition], importance[transition] = BLEND, 0.0
    # An event lies within its scene: half of what it shows is the scene around it.
    inside = np.flatnonzero(event >= 0)
    shown[inside] = (shown[inside] + vectors[content[_scene_before(event)[inside]]]) / np.sqrt(2)

    ratings = synthetic.ratings_of(rng, recipe, shots.importance)
    by_step = np.where(transition, 1, np.repeat(ratings, lengths, axis=1))
    side = importance + SIDE_NOISE * rng.standard_normal(len(importance))
    video = Video(
        key=key,
        features=synthetic.frames_of(rng, recipe, shown, lengths, common, noise),
        name=f'planted {recipe.plant}',
        fps=FPS,
        side=side[:, None].astype(np.float32),
        **synthetic.people_of(rng, recipe, ratings, by_step, lengths),
    )
    return video, Truth(content, event, transition)


def _plain(rng: np.random.Generator, recipe: Recipe) -> _Shots:
    """Recurring scenes and some that come once, which people like; no event, noise as usual."""
    lengths = synthetic.shot_lengths(rng, recipe)
    once = rng.random(len(lengths)) < recipe.distinctive
    content = np.empty(len(lengths), int)
    content[once] = recipe.background + np.arange(once.sum())
    for i in np.flatnonzero(~once):
        # Two neighbours of one content would be one shot.
        content[i] = rng.choice([c for c in range(recipe.background) if i == 0 or c != content[i - 1]])
    ones = np.ones(len(lengths))
    return _Shots(lengths, content, once.astype(float), ones, np.full(len(lengths), -1), ones)


def _repetitive(rng: np.random.Generator, recipe: Recipe) -> _Shots:
    shots = _plain(rng, recipe)
    again = shots.content < recipe.background
    first = np.zeros(len(again), bool)
    first[np.unique(shots.content, return_index=True)[1]] = True
    return shots._replace(
        importance=first.astype(float),
        noise=np.where(again, BUSY, CALM),
        strength=np.where(again, 1.0, FAINT),
    )


def _brief(rng: np.random.Generator, recipe: Recipe) -> _Shots:
    """Busy recurring scenes, each cut in two by an event with the recipe's probability of the distinctive."""
    scenes = _plain(rng, dataclasses.replace(recipe, distinctive=0.0))
    rows = []
    n_events = 0
    for length, content in zip(scenes.lengths, scenes.content, strict=True):
        if length < 2 or rng.random() >= recipe.distinctive:
            rows.append((length, content, 0.0, BUSY, -1, 1.0))
            continue
        before = int(rng.integers(1, length))
        rows.append((before, content, 0.0, BUSY, -1, 1.0))
        steps = int(rng.integers(EVENT_STEPS[0], EVENT_STEPS[1] + 1))
        rows.append((steps, recipe.background + n_events, 1.0, CALM, n_events, 1.0))
        rows.append((length - before, content, 0.0, BUSY, -1, 1.0))
        n_events += 1
    return _Shots(*(np.array(column) for column in zip(*rows, strict=True)))


def _scene_before(event: np.ndarray) -> np.ndarray:
    """[n_steps]: the last step outside of an event, at or before each step."""
    return np.maximum.accumulate(np.where(event < 0, np.arange(len(event)), 0))
