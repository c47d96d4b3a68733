"""A dataset read in chunks against the same on the device as a whole."""

import builtins
import hashlib
import itertools
import json

import by_hand
import jax
import numpy as np
import pytest
import stopping
from soak import interruptions
from tiny import tiny_config, write_data

from trsum_jax.data.records import Video
from trsum_jax.data.splits import Fold
from trsum_jax.data.stored.features import Stored
from trsum_jax.errors import InputError, Preempted
from trsum_jax.experiment import preparation
from trsum_jax.experiment.run import run_experiment, train
from trsum_jax.files import read_json
from trsum_jax.results import filenames
from trsum_jax.runtime import sharding
from trsum_jax.training import feed, runs

pytestmark = pytest.mark.usefixtures('programs_shared', 'pictures_not_drawn')
VIDEO_MB = 6 * 4 / 2**20  # a step of the toy data
SHORT = {
    'generator.epochs': 3,
    'summarizer.epochs': 3,
    'model.layers': 1,
    'evaluation.one_out_windows': (),
    'evaluation.rs_sum_passes': 1,
}


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp('data'))


@pytest.fixture(scope='module')
def whole_dataset(data, tmp_path_factory):
    workdir = tmp_path_factory.mktemp('whole')
    run_experiment(config_of(data), workdir)
    return workdir


def config_of(data, **flat):
    return tiny_config(**SHORT, **{'data.file': str(data), 'data.generate': False}, **flat)


@pytest.mark.parametrize('otherwise', [{'data.stream_mb': 1.0}, {'layout.rounded': True}])
def test_one_chunk_and_what_is_filled_up_are_the_whole_dataset_to_the_bit(
    otherwise, whole_dataset, data, tmp_path
):
    run_experiment(config_of(data, **otherwise), tmp_path)
    assert interruptions.differences(whole_dataset, tmp_path) == []


def test_videos_of_about_one_length_are_of_one_shape():
    def shapes(n_steps):
        features = np.random.default_rng(0).random((n_steps, 3), np.float32)
        video = Video('one', np.arange(n_steps), n_steps, features, np.array([[0, n_steps - 1]]))
        given = [video], 4, ('sequential',), runs.places((0,), 1), [Fold((video.key,), ())]
        made = feed.Whole(*given, sharding.one_device(), rounded=True)
        assert made.n_segments == made.segments == 9
        assert made.at_hand().corpus.n_segments == 10
        assert made.score(lambda params, corpus: corpus.frames[None, :, 0], ()).shape == (1, n_steps)
        return [leaf.shape for leaf in jax.tree.leaves((made.at_hand().corpus, made.runs))]

    assert shapes(33) == shapes(36)


@pytest.fixture(scope='module')
def streamed(data, tmp_path_factory):
    """Trained and scored in chunks of at most 40 steps."""
    config = config_of(data, **{'data.stream_mb': 40 * VIDEO_MB, 'layout.checkpoint_every': 1})
    workdir = tmp_path_factory.mktemp('streamed')
    run_experiment(config, workdir)
    return config, workdir


def test_features_stay_in_the_file(streamed):
    config, workdir = streamed
    start = preparation.prepare(config, workdir)
    assert all(isinstance(video.features, Stored) for video in start.given.dataset.videos.values())


def test_until_it_is_planned_the_file_is_read_by_its_check_alone(data, tmp_path, monkeypatch):
    config = config_of(data, **{'data.stream_mb': 40 * VIDEO_MB})
    monkeypatch.setattr(Stored, '__array__', lambda *given: pytest.fail('read again'))
    given = preparation.load_recorded(config, tmp_path)
    monkeypatch.undo()
    told = read_json(tmp_path / filenames.RECORD)['videos']
    for key, video in given.dataset.videos.items():
        assert told[key] == hashlib.sha256(np.asarray(video.features).tobytes()).hexdigest()


def test_every_epoch_takes_every_training_segment_once_within_the_bound(streamed, data):
    config, workdir = streamed
    start = preparation.prepare(config, workdir)
    whole = preparation.prepare(config_of(data), workdir.parent / 'whole')
    assert start.feed.passes > 2
    expected = segments_of(next(whole.feed.epochs(0, 1)))
    orders = []
    for passes in itertools.islice(start.feed.epochs(0, 3), 3):
        taken = list(passes)
        assert len(taken) == start.feed.passes
        assert {one.corpus.frames.shape for one in taken} == {taken[0].corpus.frames.shape}
        assert taken[0].corpus.frames.nbytes <= config.data.stream_mb * 2**20
        assert segments_of(taken) == expected
        orders.append([int(one.corpus.video[0]) for one in taken])
    assert sorted(orders[0]) == sorted(orders[1]) == sorted(orders[2])
    assert orders[0] != orders[1] or orders[1] != orders[2]


def segments_of(passes):
    """Of every run, its segments by content: video and frames."""
    found = [[] for _ in range(2)]
    for one in passes:
        index, valid = np.asarray(one.corpus.index), np.asarray(one.corpus.valid)
        frames, video = np.asarray(one.corpus.frames), np.asarray(one.corpus.video)
        for run, (segments, weight) in enumerate(zip(one.runs.segments, one.runs.weight, strict=True)):
            chosen = np.asarray(segments)[np.asarray(weight) > 0]
            found[run] += [(video[s], frames[index[s][valid[s]]].tobytes()) for s in chosen]
    return [sorted(of_run) for of_run in found]


def test_scores_in_chunks_are_those_of_the_whole_dataset(streamed, data):
    config, workdir = streamed
    start = preparation.prepare(config, workdir)
    trained = train(start)
    whole = preparation.prepare(config_of(data), workdir.parent / 'whole')
    assert whole.feed.passes == 1
    in_chunks, at_once = (one.score(trained, True) for one in (start, whole))
    assert set(in_chunks) == set(at_once) == {'trsum', 'untrained', 'one_out', 'rs_sum'}
    for row in in_chunks:
        for one, other in zip(in_chunks[row], at_once[row], strict=True):
            for key in one:
                np.testing.assert_allclose(one[key], other[key], atol=1e-6)


# The second epoch's end, and within its second chunk.
@pytest.mark.parametrize('moment', [{'epochs': 2}, {'steps': 13}])
def test_stopped_it_continues_to_the_same_bits(moment, streamed, tmp_path, monkeypatch):
    config, workdir = streamed
    config = config.copy_and_resolve_references()
    config.layout.grace = 0.0
    with monkeypatch.context() as patch:
        stopping.stop_after(patch, **moment)
        with pytest.raises(Preempted):
            run_experiment(config, tmp_path)
    run_experiment(config, tmp_path)
    assert interruptions.differences(workdir, tmp_path) == []
    lines = [json.loads(line) for line in (tmp_path / filenames.METRICS).read_text().splitlines()]
    assert len(lines) == 2 * (3 + 3)


def test_chunks_have_the_validation_videos_that_the_whole_dataset_has():
    videos = by_hand.videos()
    keys = [video.key for video in videos]
    folds = [Fold((keys[0], keys[1]), (), (keys[3],)), Fold((keys[3],), (keys[1],), (keys[0], keys[2]))]
    given = videos, 6, ('sequential', 'dilated'), runs.places((0,), 2), folds, sharding.one_device()
    whole = feed.Whole(*given, aside=0.2)
    chunks = feed.Stream(*given, aside=0.2, most_mb=1.0)
    (of_chunk,) = next(chunks.epochs(0, 1))
    for one, other in zip(jax.tree.leaves(whole.runs), jax.tree.leaves(of_chunk.runs), strict=True):
        np.testing.assert_array_equal(jax.random.key_data(one) if one.ndim == 1 else one, (
            jax.random.key_data(other) if other.ndim == 1 else other
        ))  # fmt: skip
    assert of_chunk.runs.validation and of_chunk.runs.aside == ()
    assert whole.segments == chunks.segments


def test_chunks_hold_whole_videos_in_balance():
    steps = np.array([9, 1, 8, 2, 7, 3])
    mb = 4 * 5 / 2**20
    assert feed.plan('abcdef', steps, 5, 30 * mb) == [[0, 1, 2, 3, 4, 5]]
    # The longest first, each to the emptier chunk: 9 | 8, then 7 to the 8, 3 to the 9, 2, 1.
    assert sorted(feed.plan('abcdef', steps, 5, 15 * mb)) == [[0, 1, 3, 5], [2, 4]]
    chunks = feed.plan('abcdef', steps, 5, 10 * mb)
    assert sorted(i for chunk in chunks for i in chunk) == list(range(6))
    assert max(steps[chunk].sum() for chunk in chunks) <= 10


def test_a_video_larger_than_a_chunk_is_named():
    with pytest.raises(InputError, match=r'stream_mb: expected room for the longest video, b with 2\.0 MB'):
        feed.plan('ab', np.array([1, 2**18]), 2, 1.5)


def test_without_the_loader_the_extra_is_named(data, tmp_path, monkeypatch):
    original = builtins.__import__

    def refuse(name, *rest):
        if name == 'grain':
            raise ImportError('no grain')
        return original(name, *rest)

    monkeypatch.setattr(builtins, '__import__', refuse)
    with pytest.raises(InputError, match=r'pip install "trsum_jax\[stream\]"'):
        run_experiment(config_of(data, **{'data.stream_mb': 1.0}), tmp_path)


def test_a_rival_does_not_stream(data, tmp_path):
    with pytest.raises(InputError, match=r'stream_mb: expected 0 with config\.method=drdsn'):
        run_experiment(config_of(data, **{'data.stream_mb': 1.0, 'method': 'drdsn'}), tmp_path)
