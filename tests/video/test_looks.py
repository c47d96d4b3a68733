import numpy as np

from trsum_jax.data.stored.json_fields import Fields
from trsum_jax.video import looks


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
