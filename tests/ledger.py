"""The measured rows of docs/field.md: as they stand there, and made again from the released scores."""

import json
import pathlib
import re

import numpy as np

from trsum_jax.data import datasets
from trsum_jax.data.scores import read_scores
from trsum_jax.protocol import evaluation

PAGE = pathlib.Path(__file__).resolve().parents[1] / 'docs' / 'field.md'
METHODS = ('csnet', 'fusion', 'sum-gan-sl', 'sum_ind', 'sum-gan-aae')
RANKS = ('kendall_tau', 'spearman_rho')
COLUMNS = {'SumMe': ('f_avg', 'f_max', *RANKS), 'TVSum': RANKS}
FUSION = {'SumMe': 'intermediate_fusion', 'TVSum': 'late_fusion'}


def printed(dataset: str, method: str) -> list[float]:
    """The figures of a row as they stand on the page, percent and correlations."""
    table = PAGE.read_text('utf-8').partition(f'| {dataset}, disjoint, per-user |')[2].partition('\n\n')[0]
    rows = [line.strip('| ').split(' | ') for line in table.splitlines()[2:]]
    figures = {name: of for name, *of in rows}[method][: len(COLUMNS[dataset])]
    return [float(re.match(r'-?[\d.]+', figure)[0]) for figure in figures]


def measured(dataset: str, method: str, shared: pathlib.Path) -> list[float]:
    """The same figures from the released scores: the mean over a fold's videos, then over folds."""
    folder = shared / 'data'
    videos = datasets.read_dataset(
        folder / f'{dataset.lower()}_annotations.h5', require_features=False
    ).videos
    place = (
        folder
        / 'real'
        / f'released_scores.h5:{dataset}'
        / (FUSION[dataset] if method == 'fusion' else method)
    )
    if (dataset, method) == ('SumMe', 'sum-gan-aae'):
        place = shared / 'vectors' / 'summe_sumganaae.h5'
    scores = read_scores(place, videos, list(videos))
    splits = json.loads((folder / 'splits' / f'{dataset.lower()}_disjoint5.json').read_text())
    folds = [
        [evaluation.evaluate_video(videos[key], scores[key]) for key in fold['test_keys']] for fold in splits
    ]
    return [
        float(np.mean([np.nanmean([metrics[column] for metrics in fold]) for fold in folds]))
        * (100 if column.startswith('f') else 1)
        for column in COLUMNS[dataset]
    ]


def assert_same(dataset: str, method: str, shared: pathlib.Path) -> None:
    """Holds a row of the page against the figures made again, to the digits that it has."""
    digits = [1 if column.startswith('f') else 3 for column in COLUMNS[dataset]]
    found = measured(dataset, method, shared)
    off = np.abs(np.subtract(printed(dataset, method), found))
    assert (off <= 0.501 * 10.0 ** -np.array(digits)).all(), (dataset, method, found)
