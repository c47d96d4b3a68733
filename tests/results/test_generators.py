"""How the generators stand to a copy, from curves by hand."""

import numpy as np
import pytest

from trsum_jax.results import generators

CURVES = {
    'loss': np.array([[0.5, 0.4, 0.3], [0.6, 0.2, 0.4]]),
    'loss_copy_nearest': np.array([[0.2, 0.3, 0.35], [0.3, 0.3, 0.3]]),
}
ASIDE = {
    'loss_aside': np.array([[0.5, 0.4, 0.45], [0.3, 0.6, 0.7]]),
    'loss_aside_copy_nearest': np.array([[0.35, 0.35, 0.35], [0.5, 0.5, 0.5]]),
}


def test_without_videos_aside_the_last_epoch_counts():
    found = generators.standing(CURVES)
    assert found == {
        'loss': pytest.approx(0.35), 'copy_nearest': pytest.approx(0.325), 'aside': False,
        'validation': False,
        'epoch': 3.0, 'epochs': 3, 'runs': 2, 'worse': 1,
    }  # fmt: skip
    text = generators.render_standing(found | {'rewards': True})
    assert 'loss 0.350 on training videos (mean over runs, epoch 3 of 3)' in text
    assert 'Warning: 1 of 2 generators rebuild worse than that copy' in text
    told = generators.render_standing(found | {'rewards': False})
    assert 'Warning' not in told and 'The reward does not use it' in told


def test_with_them_each_runs_best_epoch_counts():
    found = generators.standing(CURVES | ASIDE)
    assert found == {
        'loss': pytest.approx(0.35), 'copy_nearest': pytest.approx(0.425), 'aside': True,
        'validation': False,
        'epoch': 1.5, 'epochs': 3, 'runs': 2, 'worse': 1,
    }  # fmt: skip
    assert 'loss 0.350 on training videos that were held aside' in generators.render_standing(
        found | {'rewards': True}
    )


def test_no_warning_where_all_are_better():
    one = {name: of[1:] for name, of in (CURVES | ASIDE).items()}
    text = generators.render_standing(generators.standing(one) | {'rewards': True})
    assert 'held aside (epoch 1 of 3); a copy of the nearest visible frame has 0.500.' in text
    assert 'Warning' not in text


def test_by_what_each_epoch_is_chosen():
    last = 'last epoch'
    assert generators.selection({'generator': CURVES, 'summarizer': {}}, False) == {
        'generator': last, 'summarizer': last, 'test': 'never',
    }  # fmt: skip
    both = {'generator': CURVES | ASIDE, 'summarizer': {}}
    aside, judged = generators.selection(both, False), generators.selection(both, True)
    assert aside['generator'] == 'least loss on training videos that were held aside, no labels'
    assert judged['generator'] == 'least loss on validation videos, no labels'
    assert judged['validation'] == 'chooses the epoch of the generator'
    assert generators.selection({'drdsn': {}}, True)['validation'] == 'not used'
    assert generators.render_selection(judged) == (
        'Epoch taken: generator: least loss on validation videos, no labels; summarizer: last epoch. '
        'Validation videos: chooses the epoch of the generator. Nothing is chosen on test videos.'
    )
    text = generators.render_standing(generators.standing(CURVES | ASIDE, True) | {'rewards': True})
    assert 'on validation videos (mean over runs' in text


def test_policies_that_ran_off_are_counted_at_the_end():
    p = np.array([[0.5, 0.999], [0.99, 0.97], [0.5, 0.981], [0.5, 0.01], [0.5, 0.5]])
    found = generators.run_off({'p_mean': p})
    assert found == {'runs': 5, 'full': 2, 'empty': 1}
    text = generators.render_run_off(found)
    assert 'in 2 of 5 runs the policy ran off to p = 1: it selects nearly every frame' in text
    assert 'in 1 of 5 runs the policy ran off to p = 0: it selects nearly no frame' in text
    assert '--config.summarizer.penalty_weight' in text
    assert generators.render_run_off(generators.run_off({'p_mean': p[4:]})) == ''
