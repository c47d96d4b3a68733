import numpy as np
import pytest
from peaks import peak_of

from trsum_jax.data.stored.json_fields import Fields
from trsum_jax.video import describing, looks


def test_a_sketch_keeps_distances():
    rng = np.random.default_rng(0)
    features = np.abs(rng.normal(size=(8, 300)))[rng.integers(0, 8, 60)] + 0.1 * rng.random((60, 300))
    for some in (features, features[:, :40]):
        few = looks.sketch(some).astype(float)
        assert few.shape == (60, 24)
        unit, short = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (some, few))
        apart, found = (np.linalg.norm(rows[:, None] - rows, axis=-1) for rows in (unit, short))
        np.testing.assert_allclose(found, apart, atol=0.06 * apart.max())
        held = Fields({'looks': looks.text_of(looks.sketch(some))}, 's.json')
        np.testing.assert_array_equal(looks.read_looks(held, 'looks', 60), few)


def test_a_sketch_of_a_long_video_keeps_distances():
    rng = np.random.default_rng(1)
    # Scenes within 24 directions, which a sketch holds whole.
    features = (rng.normal(size=(9, 20)) @ rng.normal(size=(20, 64)))[rng.integers(0, 9, 4100)]
    few = looks.sketch(features.astype(np.float32)).astype(float)
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    places = rng.integers(0, 4100, (200, 2))
    apart, found = (np.linalg.norm(np.diff(rows[places], axis=1)[:, 0], axis=1) for rows in (unit, few))
    np.testing.assert_allclose(found / found.max(), apart / apart.max(), atol=0.02)


@pytest.mark.parametrize('work', [looks.sketch, describing.alike])
def test_of_a_long_video_no_copy_is_made(work):
    features = np.random.default_rng(2).random((14_400, 512), np.float32)
    assert peak_of(lambda: work(features)) < 2 * features.nbytes
