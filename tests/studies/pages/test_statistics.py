"""What data are like: by hand, by loops over pairs, and the recipe that stands where SumMe stands."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from scipy import stats

from trsum_jax.configs import demo, weak
from trsum_jax.data import datasets
from trsum_jax.data.made import synthetic
from trsum_jax.data.records import Dataset, Video
from trsum_jax.errors import InputError
from trsum_jax.files import read_json
from trsum_jax.protocol import baselines
from trsum_jax.studies.pages import statistics

# Two videos of four and two steps, ten frames each, whose frames are axes; the mean of all six is (1/3, 2/3).
FIRST = Video(
    key='video_1',
    picks=np.arange(0, 40, 10),
    n_frames=40,
    features=np.array([[1, 0], [1, 0], [0, 1], [0, 1]], np.float32),
    change_points=np.array([[0, 9], [10, 39]]),
    user_summary=np.repeat([[1, 0, 0, 0], [1, 0, 0, 1]], 10, axis=1).astype(np.float32),
    fps=20.0,
)
SECOND = Video(
    key='video_2',
    picks=np.arange(0, 20, 10),
    n_frames=20,
    features=np.array([[0, 1], [0, 1]], np.float32),
    change_points=np.array([[0, 19]]),
    user_summary=np.repeat([[1, 0], [0, 1], [1, 0]], 10, axis=1).astype(np.float32),
    fps=20.0,
)
TINY = Dataset('tiny.h5', {'video_1': FIRST, 'video_2': SECOND}, notes=('made by hand',))


def test_a_tiny_file_by_hand():
    found = statistics.of_dataset(TINY, draws=1)
    medians = {name: of['median'] for name, of in found['counts'].items()}
    assert medians == {
        'users': 2.5, 'steps': 3, 'seconds_between': 0.5, 'shots': 1.5, 'shot_steps': 2, 'shot_seconds': 1,
    }  # fmt: skip
    # Shots of 1, 3 and 2 steps.
    assert found['counts']['shot_steps'] == {
        'least': 1, 'low': 1.5, 'median': 2, 'high': 2.5, 'greatest': 3,
    }  # fmt: skip
    # |(1/3, 2/3)|² of length one.
    assert found['shared'] == pytest.approx(5 / 9)
    # Of the six pairs of the first video two are alike; both frames of the second are.
    assert found['features']['cosine']['mean'] == pytest.approx((2 / 6 + 1) / 2)
    # Less the mean (2/3, -2/3) and (-1/3, 1/3): pairs are 1 within a half and -1 across.
    assert found['features']['standardized_cosine']['mean'] == pytest.approx((-2 / 6 + 1) / 2)
    assert found['features']['standardized_neighbours']['mean'] == pytest.approx((1 / 3 + 1) / 2)
    assert found['people']['f_selected']['mean'] == pytest.approx(((1 / 4 + 2 / 4) / 2 + 1 / 2) / 2)
    # Between people: phi of (1000, 1001) is 1/sqrt(3); of the three pairs -1, 1, -1.
    tau = found['rows']['human']['kendall_tau']
    assert tau['mean'] == pytest.approx((1 / math.sqrt(3) - 1 / 3) / 2)
    assert tau['low'] == pytest.approx(-1 / 3) and tau['high'] == pytest.approx(1 / math.sqrt(3))
    # F of 2/3 each way; of the second's pairs 0, 1, 0, and the best 1, 0, 1.
    assert found['rows']['human']['f_avg']['mean'] == pytest.approx((2 / 3 + 1 / 3) / 2)
    assert found['rows']['human']['f_max']['mean'] == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert found['rank_against'] == 'per-user'


def test_cosines_are_those_of_loops_over_pairs_and_of_scipy():
    features = np.random.default_rng(0).normal(1, 1, (9, 4))
    cosine = [[float(a @ b / np.linalg.norm(a) / np.linalg.norm(b)) for b in features] for a in features]
    pairs = [cosine[i][j] for i, j in itertools.combinations(range(9), 2)]
    assert statistics.mean_cosine(features) == pytest.approx(np.mean(pairs))
    assert statistics.neighbour_cosine(features) == pytest.approx(
        np.mean([cosine[i][i + 1] for i in range(8)])
    )
    assert math.isnan(statistics.mean_cosine(features[:1]))
    assert math.isnan(statistics.neighbour_cosine(features[:1]))


def test_what_standardized_frames_are_like_does_not_hang_on_what_all_share():
    moved = {
        key: dataclasses.replace(video, features=10 * video.features + np.float32([300, -200]))
        for key, video in TINY.videos.items()
    }
    ours, others = (
        statistics.of_dataset(dataclasses.replace(TINY, videos=v), 1) for v in (TINY.videos, moved)
    )
    for name in ('standardized_cosine', 'standardized_neighbours'):
        assert others['features'][name]['mean'] == pytest.approx(ours['features'][name]['mean'], abs=1e-3)
    assert others['features']['cosine']['mean'] > 0.99
    assert others['shared'] > 0.99


def test_what_a_video_lacks_is_a_dash():
    bare = dataclasses.replace(FIRST, user_summary=None, fps=None)
    found = statistics.of_dataset(Dataset('bare.h5', {'video_1': bare}), 1)
    text = statistics.render_statistics({'bare': found, 'tiny': statistics.of_dataset(TINY, 1)})
    cells = {row[0]: row[1:] for line in text.splitlines() if (row := line.strip('| ').split(' | '))[1:]}
    cells = {name.strip(): [cell.strip() for cell in row] for name, row in cells.items()}
    assert cells['seconds between sampled frames'] == ['–', '0.50 [0.50, 0.50]']
    assert cells['a person selects, % of the video'][0] == '–'
    assert cells['tau: human'][0] == '–' and cells['tau: human'][1].startswith('0.122 [')
    assert 'tau: uniform' not in cells
    assert text.endswith('\ntiny: made by hand.\n')


def test_files_and_configs_stand_side_by_side(tmp_path, capsys, monkeypatch):
    config = demo.get_config()
    config.data.synthetic.update({'videos': 2, 'width': 8})
    monkeypatch.setattr(demo, 'get_config', lambda preset='default': config)
    file = tmp_path / 'planted.h5'
    recipe = synthetic.recipe_of(config.data.synthetic)
    datasets.write_dataset(file, synthetic.generate(recipe), synthetic=True)
    statistics.main(
        [f'Real={file}', str(file), 'configs/demo.py', '--draws=1', f'--output={tmp_path / "out"}']
    )
    found = read_json(tmp_path / 'out' / 'statistics.json')
    assert list(found) == ['Real', 'planted', 'demo']
    # The config's data are those that the main job writes and reads.
    same = [{k: v for k, v in of.items() if k not in ('dataset', 'notes')} for of in found.values()]
    assert same[0] == same[1] == same[2]
    printed = capsys.readouterr().out
    assert 'Real (planted)' in printed
    assert printed.strip() == (tmp_path / 'out' / 'statistics.md').read_text('utf-8').strip()


@pytest.mark.parametrize(
    ('named', 'message'),
    [
        (['demoo'], 'demoo: expected a feature file'),
        (['x=studies/../demo'], 'expected a feature file'),
        (['tvsum'], 'tvsum: expected a config whose data are generated'),
        (['nothing.h5'], 'nothing.h5'),
        (['demo', 'demo'], 'expected different names, found demo, demo'),
        (['demo', '--draws=0'], '--draws: expected 1 or more, found 0'),
    ],
)
def test_what_cannot_be_measured_is_refused(named, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        statistics.main(named)


@pytest.fixture(scope='module')
def like_summe():
    """The recipe `weak`, thirty videos of another seed."""
    config = weak.get_config().data.synthetic
    recipe = dataclasses.replace(synthetic.recipe_of(config), videos=30, seed=77, users=8)
    return synthetic.generate(recipe)


def test_weak_looks_like_summe(like_summe):
    """Against the bounds of docs/real.md."""
    mean = np.concatenate([video.features for video in like_summe]).mean(axis=0, dtype=np.float64)
    found = [statistics.of_video(video, mean) for video in like_summe]
    means = {name: np.mean([of[name] for of in found]) for name in found[0]}
    assert 0.99 < statistics.shared_part(like_summe) < 0.997
    assert 0.45 < means['standardized_cosine'] < 0.58
    assert 0.84 < means['standardized_neighbours'] < 0.90
    assert 0.127 < means['f_selected'] < 0.138
    assert {statistics.seconds_between(video) for video in like_summe} == {7 / 30}


def test_the_rows_of_weak_stand_where_summes_stand(like_summe):
    """The bounds of docs/real.md, wider by three standard errors of so few videos."""
    rows = {'human': [], 'distance_to_mean': [], 'change': []}
    for video in like_summe:
        users = video.user_summary[:, video.picks]
        pairs = itertools.combinations(users, 2)
        rows['human'].append(np.mean([stats.pearsonr(one, other).statistic for one, other in pairs]))
        scores = baselines.distance_to_mean(video.features), baselines.change_of(video)
        for name, one in zip(('distance_to_mean', 'change'), scores, strict=True):
            rows[name].append(np.mean([stats.kendalltau(one, user).statistic for user in users]))
    for name, (low, high) in {
        'human': (0.20, 0.25), 'distance_to_mean': (0.01, 0.05), 'change': (0.03, 0.08),
    }.items():  # fmt: skip
        error = 3 * stats.sem(rows[name])
        assert low - error < np.mean(rows[name]) < high + error, name
        assert error < 0.07, name
