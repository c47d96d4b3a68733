"""Train on one dataset, test on another: every variant's training on the videos of every other."""

import pathlib
from collections.abc import Mapping

import ml_collections

from trsum_jax.errors import InputError
from trsum_jax.experiment import inputs, scorer
from trsum_jax.protocol import comparison, evaluation
from trsum_jax.protocol.comparison import Cells
from trsum_jax.runtime import processes

METRICS = ('kendall_tau', 'f_avg')


def measure_transfer(
    variants: Mapping[str, ml_collections.ConfigDict], workdir: pathlib.Path
) -> dict[str, dict[str, Cells]]:
    """The metrics of every training on the data of every other variant.

    Its own data are left out: there the folds hold videos out. Features of another encoder or width cannot be
    scored; such a pair is named and stays empty.

    Args:
        variants: by name, every one finished in its folder.
        workdir: of all of them.

    Returns:
        By the variant that trained, by `METRIC on NAME`: a value for every seed (the mean over its folds'
        models) and video.
    """
    trained = {name: scorer.load_trained(workdir / name) for name in variants}
    found: dict[str, dict[str, Cells]] = {name: {} for name in variants}
    for tested, config in variants.items():
        given = inputs.load_inputs(config, workdir / tested)
        for name, one in trained.items():
            if name == tested:
                continue
            if known := scorer.known_videos(one, given.dataset):
                processes.say(f'note: {name} on {tested}: {len(known)} videos are in both; left out')
            try:
                # Files of the field say no encoder; a file that says one, and one that does not, differ.
                same = one.encoder == given.dataset.encoder
                runs = scorer.score_runs(one, given.dataset, any_encoder=same)
            except InputError as error:
                processes.say(f'note: {name} cannot be tested on {tested}: {error}')
                continue
            options = {'budget': config.evaluation.budget, 'rank_form': config.evaluation.rank}
            rows = [
                {'seed': seed, 'fold': fold, 'video': key}
                | evaluation.evaluate_video(given.dataset.videos[key], run[key], **options)
                for (seed, fold), run in zip(one.places, runs, strict=True)
                for key in given.keys
                if key not in known
            ]
            for metric in METRICS:
                found[name][f'{metric} on {tested}'] = comparison.from_folds(rows, metric)
    return found
