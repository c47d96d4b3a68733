import json
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip('av')
pytest.importorskip('skimage')

from summarizing import Command, film

from trsum_jax import summarize
from trsum_jax.errors import InputError
from trsum_jax.video import describing, outputs
from trsum_jax.video.encoders import loading


def test_quick_scores_by_change_without_jax(tmp_path):
    clip = film(tmp_path / 'clip.mp4')
    program = (
        'import runpy, sys; sys.modules["jax"] = None; '
        'runpy.run_module("trsum_jax.summarize", run_name="__main__")'
    )
    run = [sys.executable, '-c', program]
    flags = [f'--video={clip}', f'--output={tmp_path}/s.mp4', '--quick', '--storyboard=', '--page=']
    done = subprocess.run([*run, *flags], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / 's.json').read_text())
    video, _ = describing.describe(clip, 'v', loading.load('descriptor'))
    # By hand: mean distance to both neighbours, averaged over 2 steps to either side.
    between = np.linalg.norm(np.diff(video.features, axis=0), axis=1)
    own = [np.mean(between[max(i - 1, 0) : i + 1]) for i in range(24)]
    change = np.array([np.mean(own[max(i - 2, 0) : i + 3]) for i in range(24)])
    found = [one['score'] for one in told['scores']]
    np.testing.assert_allclose(found, change / change.max(), atol=1e-3)


@pytest.mark.parametrize('loaded', [True, False])
def test_films_are_written_anew_where_the_encoder_has_loaded_jax(tmp_path, monkeypatch, loaded):
    command, begun = Command(monkeypatch), []
    monkeypatch.setitem(sys.modules, 'jax', sys if loaded else None)
    monkeypatch.setattr('trsum_jax.runtime.memory.run_anew', lambda work, *given: begun.append(work) or 0)
    clip = film(tmp_path / 'clip.mp4')
    assert command(f'--video={clip}', '--quick', '--storyboard=', '--page=') is None
    assert begun == ([outputs.write_all] if loaded else [])
    assert (tmp_path / 'clip-summary.mp4').exists() != loaded


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'checkpoint': 'absent'}, 'found both'),
        ({'workdir': 'w'}, '--quick: expected to score only'),
        ({'also': ['b.mp4']}, '--quick: expected to score only'),
        ({'any_encoder': True}, '--any_encoder says something of a --checkpoint'),
    ],
)
def test_what_quick_has_no_use_for(options, message):
    with pytest.raises(InputError, match=message):
        summarize.summarize('a.mp4', quick=True, **options)
