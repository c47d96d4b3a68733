"""What pictures say: names of videos, variants and files stand in them as they are."""

import dataclasses

import numpy as np
import pytest
from matplotlib.text import Text

from trsum_jax.data.made.synthetic import Recipe, generate
from trsum_jax.results import pictures
from trsum_jax.studies import drawing

# Between two dollar signs matplotlib reads a formula; this is none, so that it raises.
NAME = 'Win $5 or 50% of $20.mp4'
# Of this one it makes an italic x.
FORMULA = 'from $x$ to'
VALUE = {'mean': 0.2, 'low': 0.1, 'high': 0.3}


@pytest.fixture
def drawn(monkeypatch):
    """All that is written into pictures, and whether it is read as a formula."""
    found = {}
    draw = Text.draw

    def noted(self, renderer, *args, **kwargs):
        found[self.get_text()] = self._preprocess_math(self.get_text())
        return draw(self, renderer, *args, **kwargs)

    monkeypatch.setattr(Text, 'draw', noted)
    return found


def of_people(values):
    one, dot = {'kendall_tau': VALUE}, {'kendall_tau': 0.2}
    of = {'videos': {'a': {'per_user': dot, 'mean_user': dot}}, 'pooled': one}
    return {name: of | {'per_user': one, 'mean_user': one} for name in values}


def study(name):
    column = {'kendall_tau': VALUE}
    return {
        'columns': ['kendall_tau'],
        'variants': {name: column, FORMULA: column},
        'differences': {name: column},
        'rows': {},
        'synthetic': False,
        'dataset': f'/data/{name}',
        'name': name,
        'preset': 'default',
    }


@pytest.mark.parametrize('name', [NAME, FORMULA])
def test_names_are_no_formulas(name, tmp_path, drawn):
    video = dataclasses.replace(generate(Recipe(videos=1, steps=(20, 24)))[0], name=name)
    scores = np.linspace(0, 1, video.n_steps)
    path = tmp_path / 'x.png'

    def stands(*texts):
        assert path.stat().st_size > 5000
        path.unlink()
        for text in texts:
            assert drawn[text] == (text, False)
        drawn.clear()

    pictures.timelines(path, [video], {video.key: scores}, 0.15)
    stands(video.id)
    pictures.every_curve(path, name, {name: np.ones((2, 3))})
    stands(name, f'{name}: mean over runs and their range')
    pictures.agreement_of_rows(path, of_people([name]))
    stands(name)
    drawing.draw(path, study(name))
    stands(name, f'{name} (default), {name}: mean and 95% interval')
    drawing.draw_correlations(path, name, {name: {name: VALUE | {'values': {'a': 0.2}}}})
    stands(name)
