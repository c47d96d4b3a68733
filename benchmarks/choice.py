"""What summaries show of mixtures whose scenes are known: by the protocol's shots and knapsack, and ours.

python -m benchmarks.choice --json=FILE [--seed=1] [--kinds KIND ...] [--encoder=NAME] [--material=DIR ...]
    [--trained]

`benchmarks.mixtures` says what the material is. Scores are drawn, by several draws, and those of two rows of
the project's tables: change, and distance to the mean; with `--trained`, those of `summarize` too. `protocol`
chooses among the shots of KTS, the others among those whose ends lie on cuts.
"""

import argparse
import collections
import json
import pathlib
import tempfile

import numpy as np
import scipy.stats
import tabulate
from tqdm import tqdm

from benchmarks import mixtures
from benchmarks.cuts import ways_to_choose
from trsum_jax.data.records import Video
from trsum_jax.protocol import baselines
from trsum_jax.video import choosing, cuts, describing
from trsum_jax.video.encoders import loading
from trsum_jax.video.summary import Summary

BUDGETS = (0.1, 0.15, 0.3)
DRAWS = 3
# Seconds: of a page, what may be shown of it; of a scene, what makes it one that is shown.
PAGE, SHOWN = 4.0, 1.0
MEASURES = ('scenes a minute', 'repeated', 'static', 'rank', 'length', 'seconds a part')


def scores_of(video: Video, blank: np.ndarray) -> dict[str, np.ndarray]:
    """Scores without a training, by name, each [n_steps]; blank pictures have 0."""
    found = {f'drawn {draw}': np.random.default_rng(draw).random(video.n_steps) for draw in range(DRAWS)}
    found['change'] = baselines.change_of(video)
    found['distance'] = baselines.distance_to_mean(video.features)
    return {name: np.where(blank, 0, scores) for name, scores in found.items()}


def measure(summary: Summary, mixture: mixtures.Mixture, allowed: float) -> dict[str, float]:
    """What one summary shows.

    Args:
        summary: of the mixture.
        mixture: what its frames show.
        allowed: seconds.

    Returns:
        Scenes of which a second or more is shown, a minute of the summary; the shares of its time that show
        what an earlier part has shown already, and pages past their first 4 s; the mean rank of the scores
        that it shows, of the video's (.5 by chance); its length as a share of what was allowed, and the mean
        length of a part in seconds.
    """
    edges = np.append(summary.frame_times, summary.duration)
    lasts = np.diff(edges)
    per_scene, repeated = np.zeros(len(mixture.names)), 0.0
    for first, last in summary.parts:
        here = slice(first, last + 1)
        of_part = np.bincount(mixture.scenes[here], lasts[here], len(mixture.names))
        repeated += of_part[per_scene > 0].sum()
        per_scene += of_part
    ranks = scipy.stats.rankdata(summary.scores) / len(summary.scores)
    frames = ranks[np.searchsorted(summary.picks, np.arange(len(lasts)), side='right') - 1]
    shows = np.zeros(len(lasts), bool)
    for first, last in summary.parts:
        shows[first : last + 1] = True
    length = summary.length
    values = (
        60 * (per_scene >= SHOWN).sum() / length,
        repeated / length,
        np.maximum(per_scene - PAGE, 0)[mixture.pages].sum() / length,
        frames[shows] @ lasts[shows] / length,
        length / allowed,
        length / len(summary.parts),
    )
    return dict(zip(MEASURES, map(float, values), strict=True))


def summaries(
    mixture: mixtures.Mixture, video: Video, changes: cuts.Changes, scores: dict[str, np.ndarray]
) -> list[dict]:
    """Of one mixture: a row of measures for each scores, budget and choice."""
    rows = []
    for name, some in scores.items():
        for budget in BUDGETS:
            for choice, how in ways_to_choose(changes).items():
                summary, _ = choosing.make_summary(mixture.path, video, some, budget=budget, **how)
                found = measure(summary, mixture, budget * summary.duration)
                rows.append({'scores': name, 'budget': budget, 'choice': choice} | found)
    return rows


def describe(path: pathlib.Path, encoder: str) -> tuple[Video, np.ndarray, cuts.Changes]:
    """A mixture as `summarize` sees it: the video, which of its pictures are blank, and its changes."""
    found = describing.describe_all(
        [path], loading.load(encoder), rate=describing.RATE, limits={'share': 0.15}
    )
    return tuple(of_path[path] for of_path in found)


def trained(path: pathlib.Path, encoder: str) -> dict[str, np.ndarray]:
    """The scores of `summarize`, its blank pictures at 0."""
    from trsum_jax.summarize import summarize

    return {'trained': summarize(path, encoder=encoder).scores}


def table(rows: list[dict], by: tuple[str, ...]) -> str:
    """Means over all rows that agree in `by`, and in the choice."""
    groups = collections.defaultdict(list)
    for row in rows:
        groups[tuple(row[name] for name in (*by, 'choice'))].append([row[name] for name in MEASURES])
    means = [[*key, *np.mean(values, axis=0)] for key, values in groups.items()]
    return tabulate.tabulate(means, (*by, 'choice', *MEASURES), tablefmt='github', floatfmt='.2f')


def main() -> None:
    """Writes mixtures, summarizes them, prints means, and writes all rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument('--json', type=pathlib.Path, required=True)
    parser.add_argument('--seed', type=int, default=0, help='of the mixtures; those of 0 were looked at')
    parser.add_argument('--kinds', nargs='+', choices=mixtures.KINDS, default=mixtures.KINDS)
    parser.add_argument('--encoder', default='descriptor')
    parser.add_argument('--material', type=pathlib.Path, nargs='*', default=[])
    parser.add_argument('--trained', action='store_true', help='with the scores of a training on each')
    given = parser.parse_args()
    material, rows = mixtures.find_material(given.material), []
    with tempfile.TemporaryDirectory() as folder:
        for kind in tqdm(given.kinds):
            mixture = mixtures.write(pathlib.Path(folder), kind, given.seed, material)
            video, blank, changes = describe(mixture.path, given.encoder)
            scores = scores_of(video, blank)
            if given.trained:
                scores |= trained(mixture.path, given.encoder)
            rows += [{'kind': kind} | row for row in summaries(mixture, video, changes, scores)]
    given.json.write_text(json.dumps(rows, indent=1))
    for by in (('kind',), ('scores',), ('budget',), ()):
        print(table(rows, by), end='\n\n')


if __name__ == '__main__':
    main()
