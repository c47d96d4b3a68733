"""Scores any feature file with a trained workdir, without training.

trsum score WORKDIR FILE.h5 [--output=scores.h5] [--features=ARRAYS …]
python -m trsum_jax.score --checkpoint=WORKDIR --dataset=FILE.h5
"""

if __name__ == '__main__':
    # Before the slow imports: a signal is answered at any moment.
    from trsum_jax import stopping

    stopping.heed()

import pathlib
from collections.abc import Sequence

from absl import flags

from trsum_jax import files
from trsum_jax.command import command_line
from trsum_jax.errors import InputError


def define_flags() -> flags.FlagValues:
    """Declares the command's flags and gives their values."""
    flags.DEFINE_string('checkpoint', None, 'The workdir of a finished training.', required=True)
    flags.DEFINE_string('dataset', None, 'The feature file to score.', required=True)
    text = 'Further features, or the only ones: arrays by id, as in config.data.features; may be repeated.'
    flags.DEFINE_multi_string('features', [], text)
    flags.DEFINE_string('output', 'scores.h5', 'Where the scores go: video_N/scores, at the picks.')
    flags.DEFINE_string('summaries', '', 'Where the chosen shots go, as JSON; not written by default.')
    flags.DEFINE_float('budget', 0.15, 'The share of a video that its summary may fill.')
    flags.DEFINE_bool('any_encoder', False, 'Score features that nothing shows to be of the same encoder.')
    flags.DEFINE_bool('overwrite', False, 'Replace files that exist.')
    return flags.FLAGS


def main(argv: Sequence[str]) -> int:
    """Scores every video of the file and says where the scores are."""
    from trsum_jax.data import datasets
    from trsum_jax.experiment import scorer
    from trsum_jax.results import summaries

    values = flags.FLAGS
    if not 0 < values.budget <= 1:
        raise InputError(f'--budget: expected a share above 0 and up to 1, found {values.budget}')
    targets = {'--output': pathlib.Path(values.output)}
    if values.summaries:
        targets['--summaries'] = pathlib.Path(values.summaries)
    files.check_outputs(
        targets.items(),
        {values.dataset: 'the file of --dataset'} | dict.fromkeys(values.features, 'a file of --features'),
        overwrite=values.overwrite,
        makes_folders=True,
    )
    dataset = datasets.read_dataset(values.dataset, features=values.features, in_file=True)
    for note in dataset.notes:
        print(f'note: {note}')
    trained = scorer.load_trained(pathlib.Path(values.checkpoint))
    scores = scorer.score(trained, dataset, any_encoder=values.any_encoder)
    doubt = scorer.encoder_doubt(trained, dataset.encoder, values.dataset)
    if doubt and values.any_encoder:
        print(f'note: scores mean something only if both are of one encoder: {doubt}')
    summaries.write_scores(targets['--output'], scores)
    if values.summaries:
        summaries.write_summaries(targets['--summaries'], dataset, scores, values.budget)
    if known := scorer.known_videos(trained, dataset):
        print(
            f'note: {len(known)} of {len(scores)} videos are those of the training: these scores are not '
            f'held out. Held-out ones are in {files.shown(values.checkpoint)}/scores.h5.'
        )
    print(f'{len(scores)} videos scored: {", ".join(map(files.shown, targets.values()))}')
    return 0


if __name__ == '__main__':
    command_line.run(main, define_flags, arguments=command_line.in_order('checkpoint', 'dataset'))
