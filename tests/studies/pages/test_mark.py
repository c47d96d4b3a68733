"""The scorers of the mark's table on a video whose shots are known; no figure is checked here."""

import numpy as np

from trsum_jax.data.records import Video
from trsum_jax.studies.pages import mark


def video():
    """Three shots of two steps: the first and the last show the same."""
    features = np.array([[1.0, 0], [1, 0.2], [0, 1], [0, 1.2], [1, 0], [1, 0.2]], np.float32)
    return Video(
        key='v', picks=np.arange(6) * 10, n_frames=60, features=features,
        change_points=np.array([[0, 19], [20, 39], [40, 59]]),
    )  # fmt: skip


def test_steps_of_a_shot_share_its_values():
    assert video().step_shots.tolist() == [0, 0, 1, 1, 2, 2]
    np.testing.assert_allclose(mark.shot_means(video(), np.arange(6.0)), [0.5, 2.5, 4.5])
    smoothed = mark.smoothed_distance(video())
    assert smoothed[0] == smoothed[1] == smoothed[4] < smoothed[2] == smoothed[3]


def test_what_comes_once_is_new_and_what_comes_twice_is_not():
    found = mark.novelty(video())
    # The first and the last shot are the same: cosine 1.
    np.testing.assert_allclose(found[[0, 1, 4, 5]], -1, atol=1e-6)
    assert np.all(found[2:4] > 0.9)


def test_the_table_is_printed(monkeypatch, capsys):
    config = mark.mark.get_config()
    config.data.synthetic.update({'videos': 2})
    monkeypatch.setattr(mark.mark, 'get_config', lambda: config)
    mark.main()
    assert capsys.readouterr().out.count('\n') == 2 + len(mark.SCORERS)
