"""Training on somebody's own videos, without what `summarize` makes of it."""

import weakref

import numpy as np
import pytest

from trsum_jax.data.records import Video
from trsum_jax.experiment import own_videos


def test_default_training_fits_long_videos():
    def of(n_steps):
        return own_videos.small_config([Video(key='v', picks=np.arange(n_steps), n_frames=n_steps)], 3)

    # Two hours: 225 windows and 225 dilated segments an epoch.
    assert [of(n).generator.epochs for n in (20, 1200, 14_400)] == [100, 100, 8]
    assert of(20).layout.rounded
    assert of(20).seeds == (3,)


@pytest.mark.parametrize(('workdir', 'every'), [(None, 100), ('kept', 10)])
def test_a_training_that_is_not_kept_is_saved_at_its_end_alone(workdir, every, monkeypatch):
    def trained(dataset, config, folder):
        return {'v': config.layout.checkpoint_every}

    monkeypatch.setattr(own_videos, 'train_and_score', trained)
    video = Video(key='v', picks=np.arange(20), n_frames=20)
    assert own_videos.by_training({'path': video}, 'e', workdir, 0, None) == {'path': every}


def test_while_it_trains_features_are_in_a_file_alone(tmp_path, monkeypatch):
    """And afterwards they are there again, the same."""
    features = np.random.default_rng(0).random((20, 8), np.float32)
    expected, gone = features.copy(), weakref.ref(features)
    shots = np.array([[0, 9], [10, 19]])
    video = Video(key='v', picks=np.arange(20), n_frames=20, features=features, change_points=shots)
    videos = {tmp_path / 'a.mp4': video}
    del features, video

    def prepared(config, workdir):
        assert gone() is None
        assert not videos
        raise StopIteration

    monkeypatch.setattr(own_videos.preparation, 'prepare', prepared)

    def trained(dataset, config, folder):
        with pytest.raises(StopIteration):
            train(dataset, config, folder)
        return {'v': np.zeros(20)}

    train = own_videos.train_and_score
    monkeypatch.setattr(own_videos, 'train_and_score', trained)
    assert list(own_videos.by_training(videos, 'e', None, 0, None)) == [tmp_path / 'a.mp4']
    (again,) = videos.values()
    assert again.key == 'v'
    np.testing.assert_array_equal(again.features, expected)
    assert isinstance(again.features, np.ndarray)
