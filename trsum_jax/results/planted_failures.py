"""On planted data: how often each row of scores repeats itself, misses events, takes transitions."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tabulate

from trsum_jax.data.made import planted
from trsum_jax.data.made.synthetic import recipe_of
from trsum_jax.files import write_json
from trsum_jax.protocol import baselines, evaluation, failures, tables
from trsum_jax.results import report
from trsum_jax.results.report import Finished

NAME = 'failures'
PEOPLE = 'people'
CHOICES = {'frames': 'single frames of the highest scores', 'summary': 'summary of shots'}
METRICS = tuple(f'{choice}_{measure}' for choice in CHOICES for measure in failures.MEASURES)
TITLES = {
    'repeated': 'repeated, %',
    'similarity': 'similarity',
    'missed_events': 'missed events, %',
    'transition_preference': 'transitions, times chance',
}


def write_failures(of: Finished, scores: Mapping[str, list[dict[str, np.ndarray]]]) -> str:
    """Writes `failures.json`: the measures of every row, as `rows` with intervals, and as `videos` for each.

    Measured for every run and averaged over those that held the video out (over all where none did). Beside
    the rows of the results stand `random`, and `people`: their mean rating taken as a score. `runs` holds
    what each run of the model does on each of these videos.

    Args:
        of: on planted data.
        scores: by row, for every run, by video key, from `Experiment.score`.

    Returns:
        The tables as Markdown.
    """
    given, config = of.given, of.config
    truths = planted.truths(recipe_of(config.data.synthetic))
    found: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    by_run: list[dict[str, Any]] = []
    for key, truth in truths.items():
        video = given.dataset.videos[key]
        tested = report.holding_out(given, key, of.places) or range(len(of.places))
        rows = {
            name: np.concatenate([np.atleast_2d(runs[i][key]) for i in tested])
            for name, runs in scores.items()
        }
        rng = np.random.default_rng([config.data.synthetic.seed, len(key), int(key.rsplit('_', 1)[1])])
        rows['random'] = rng.random((config.evaluation.random_draws, video.n_steps))
        rows['distance_to_mean'] = baselines.distance_to_mean(video.features)[None]
        rows['change'] = baselines.change_of(video)[None]
        rows[PEOPLE] = evaluation.rank_references(video).mean(axis=0, keepdims=True)
        for name, several in rows.items():
            each = [_measure(video, truth, one, config.evaluation.budget) for one in several]
            for choice in CHOICES:
                found.setdefault(name, {}).setdefault(choice, {})[key] = {
                    m: evaluation.mean_defined([one[f'{choice}_{m}'] for one in each])
                    for m in failures.MEASURES
                }
            if name == report.MODEL:
                places = [of.places[i] for i in tested]
                by_run += [
                    {'seed': place.seed, 'fold': place.fold, 'video': key} | one
                    for place, one in zip(places, each, strict=True)
                ]
    results = {
        name: {
            choice: {m: tables.estimate([[one[m] for one in videos.values()]]) for m in failures.MEASURES}
            for choice, videos in by_choice.items()
        }
        for name, by_choice in found.items()
    }
    header = {'name': config.name, 'plant': config.data.synthetic.plant, 'synthetic': True}
    write_json(of.workdir / f'{NAME}.json', header | {'rows': results, 'videos': found, 'runs': by_run})
    return render_failures(results, config.data.synthetic.plant)


def render_failures(results: Mapping[str, Mapping[str, Mapping]], plant: str) -> str:
    """The measures of every row as Markdown, a table for each way to choose.

    Args:
        results: by row and choice, metric to `tables.estimate`.
        plant: the dataset.

    Returns:
        The text.
    """
    lines = [f'\n## Failures planted: {plant} (synthetic data)\n\nMean [95% bootstrap interval over videos].']
    for choice, title in CHOICES.items():
        body = [
            [name, *(cell(measure, of[choice][measure]) for measure in TITLES)]
            for name, of in results.items()
        ]
        table = tabulate.tabulate(body, [title, *TITLES.values()], tablefmt='github', disable_numparse=True)
        lines.append(table)
    return '\n\n'.join(lines) + '\n'


def cell(measure: str, value: Mapping[str, float | None]) -> str:
    """One estimate as text: shares in percent, `–` where there is none.

    Args:
        measure: its name.
        value: with `mean`, `low` and `high`.

    Returns:
        `mean [low, high]`.
    """
    # Shares are shown as F-scores are, in percent.
    return tables.cell('f_' if measure in ('repeated', 'missed_events') else measure, value)


def _measure(video, truth, scores, budget):
    chosen = {
        'frames': failures.top_steps(scores, budget),
        'summary': failures.summary_steps(video, scores, budget),
    }
    return {
        f'{choice}_{measure}': value
        for choice, steps in chosen.items()
        for measure, value in failures.measure_failures(video, truth, steps).items()
    }
