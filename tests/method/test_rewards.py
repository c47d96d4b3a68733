"""Richer rewards through the training: bits unchanged by default, what each term reads, a second modality."""

import dataclasses

import chex
import jax
import numpy as np
import pytest
from feature_files import N_STEPS, field_video, write_raw
from tiny import RECIPE, Setting, tiny_config

from trsum_jax.data import datasets
from trsum_jax.data.made import planted
from trsum_jax.data.made.synthetic import Recipe
from trsum_jax.data.shots import frame_change
from trsum_jax.errors import InputError
from trsum_jax.experiment import check
from trsum_jax.experiment.run import run_experiment
from trsum_jax.files import read_json
from trsum_jax.method import reward_terms
from trsum_jax.method.rewards import reward_and_parts
from trsum_jax.training import corpus


def planted_videos(plant='brief'):
    return planted.videos_of(Recipe(**RECIPE | {'plant': plant}))


@pytest.fixture(scope='module')
def by_default():
    return Setting(tiny_config()).both()


def test_by_default_the_training_is_that_of_the_papers_reward_bit_for_bit(monkeypatch, by_default):

    def papers(weights, frames, valid, action, rebuilt, shot, change, side, *, more, **options):
        assert not more
        return reward_and_parts(frames, valid, action, rebuilt, **options)

    monkeypatch.setattr(reward_terms, 'weighted_sum', papers)
    chex.assert_trees_all_equal(Setting(tiny_config()).both(), by_default)


def test_another_term_needs_no_other_file(monkeypatch):
    monkeypatch.setitem(reward_terms.TERMS, 'early', lambda of: of.action[0] * 1.0)
    assert tiny_config().summarizer.reward_terms.early == 0
    alone = {'summarizer.reward_terms.reconstruction': 0.0, 'summarizer.reward_terms.early': 0.5}
    check.check(tiny_config(**alone))
    config = tiny_config()
    config.summarizer.reward_terms = {**config.summarizer.reward_terms.to_dict(), 'beauty': 1.0}
    with pytest.raises(InputError, match=r'beauty: expected one of .*, early'):
        check.check(config)


def test_another_reward_trains_another_summarizer_from_the_same_generator(by_default):
    one = by_default
    other = Setting(tiny_config(**{'summarizer.reward_terms.coverage': 1.0})).both()
    chex.assert_trees_all_equal(one[0].params, other[0].params)
    assert any(
        np.any(a != b)
        for a, b in zip(jax.tree.leaves(one[1].params), jax.tree.leaves(other[1].params), strict=True)
    )


def test_the_corpus_holds_the_change_of_the_video_and_the_second_modality():
    config = tiny_config()
    videos = planted_videos()
    segments = corpus.build(videos, 8, tuple(config.decomposition.views))
    for s in range(segments.n_segments):
        one = jax.tree.map(np.asarray, corpus.gather(segments, s))
        video = videos[int(one.video)]
        rows = np.asarray(segments.index)[s][one.valid] - one.first
        # Neighbours in the video, not in the (dilated) segment.
        about_the_mean = video.features - video.features.mean(axis=0)
        np.testing.assert_array_equal(one.change[one.valid], frame_change(about_the_mean)[rows])
        np.testing.assert_array_equal(one.side[one.valid], video.side[rows])
        assert not one.side[~one.valid].any()


def test_a_reward_of_the_second_modality_alone_is_learned():
    videos = [
        dataclasses.replace(video, side=(video.features[:, :1] > 0).astype(np.float32))
        for video in planted_videos()
    ]
    config = tiny_config(**{
        'summarizer.reward_terms.reconstruction': 0.0, 'summarizer.reward_terms.side': 1.0,
        'summarizer.episodes': 8, 'summarizer.epochs': 25, 'summarizer.learning_rate': 1e-2,
        'data.side': 'side',
    })  # fmt: skip
    setting = Setting(config, videos=videos)
    frozen = setting.train(setting.stage1, epochs=1)[0].params
    _, history = setting.train(setting.stage2, frozen, epochs=25)
    assert abs(history[0]['reward'].mean()) < 0.15
    assert np.all(history[-1]['reward'] > 0.3)


def test_a_second_modality_is_read_by_its_key(tmp_path):
    loud = np.arange(2.0 * N_STEPS).reshape(N_STEPS, 2)
    raw = {f'video_{i}': field_video(i) | {'audio': loud + i, 'beat': loud[:, 0]} for i in range(2)}
    path = write_raw(tmp_path / 'x.h5', raw)
    read = datasets.read_dataset(path, side='audio').videos['video_1']
    np.testing.assert_array_equal(read.side, loud + 1)
    assert read.side.dtype == np.float32
    assert datasets.read_dataset(path, side='beat').videos['video_1'].side.shape == (N_STEPS, 1)
    assert datasets.read_dataset(path).videos['video_1'].side is None


@pytest.mark.parametrize(
    ('side', 'message'),
    [
        (None, r'video_1/audio: expected \[n_steps, K\], the second modality, found no such key'),
        (np.zeros((N_STEPS + 1, 2)), rf'audio: expected {N_STEPS} steps .* found shape \({N_STEPS + 1}, 2\)'),
        (np.zeros((N_STEPS, 0)), r'audio: expected .* at least 1 column'),
        (np.zeros((N_STEPS, 2, 2)), r'audio: expected shape \[n_steps\] or \[n_steps, K\]'),
        (np.full((N_STEPS, 2), np.nan), r'audio: expected finite numbers'),
        (np.zeros((N_STEPS, 3)), r'video_1/audio: expected 2 columns as in video_0, found 3'),
    ],
)
def test_a_faulty_second_modality_is_named(tmp_path, side, message):
    raw = {f'video_{i}': field_video(i) | {'audio': np.ones((N_STEPS, 2))} for i in range(2)}
    del raw['video_1']['audio']
    if side is not None:
        raw['video_1']['audio'] = side
    with pytest.raises(InputError, match=message):
        datasets.read_dataset(write_raw(tmp_path / 'x.h5', raw), side='audio')


def test_labels_are_no_second_modality(tmp_path):
    path = write_raw(tmp_path / 'x.h5', {'video_1': field_video()})
    with pytest.raises(InputError, match='gtscore: expected another key'):
        datasets.read_dataset(path, side='gtscore')


def test_files_with_and_without_a_second_modality_do_not_mix(tmp_path):
    for name, side in (('a', 'audio'), ('b', None)):
        raw = field_video() | ({side: np.ones((N_STEPS, 2))} if side else {})
        write_raw(tmp_path / f'{name}.h5', {'video_1': raw})
    one = datasets.read_dataset(tmp_path / 'a.h5', side='audio')
    other = datasets.read_dataset(tmp_path / 'b.h5')
    with pytest.raises(InputError, match=r'b\.h5: expected 2 columns of a second modality .* found none'):
        datasets.merge(one, [other])


@pytest.mark.parametrize(
    ('terms', 'message'),
    [
        ({'reconstruction': 0.0}, 'no reward'),
        ({'diversity': float('nan')}, r'diversity: expected a finite weight, found nan'),
        ({'side': 1.0}, r'side: expected the key of a second modality in config\.data\.side'),
        ({'beauty': 1.0}, r'beauty: expected one of reconstruction, diversity'),
    ],
)
def test_a_reward_that_cannot_be_is_refused(terms, message):
    config = tiny_config()
    config.summarizer.reward_terms.update(terms)
    with pytest.raises(InputError, match=message):
        check.check(config)


def test_an_experiment_on_planted_data_leaves_its_failures(tmp_path):
    config = tiny_config(**{
        'data.synthetic.plant': 'brief', 'data.side': 'side', 'data.folds': 0,
        'summarizer.reward_terms.side': 0.5,
    })  # fmt: skip
    text = run_experiment(config, tmp_path)
    assert 'Failures planted: brief (synthetic data)' in text
    rows = read_json(tmp_path / 'failures.json')['rows']
    assert set(rows) == {'trsum', 'untrained', 'one_out', 'random', 'distance_to_mean', 'change', 'people'}
    missed = {name: of['frames']['missed_events']['mean'] for name, of in rows.items()}
    assert missed['people'] < missed['random']
    assert rows['trsum']['frames']['transition_preference']['mean'] is None
