"""Evaluates anybody's scores by the field's protocol, beside random, uniform and human rows.

    trsum evaluate DATASET.h5 [SCORES] [--rows=NAME=SCORES] [--output=results.json]
    python -m trsum_jax.evaluate --dataset=DATASET.h5 --scores=SCORES

Scores are an HDF5 file with `video_N/scores` (one a step, at `picks`) or `video_N/frame_scores`
(one a frame), or with arrays `video_N`, or JSON `{"video_N": [...]}`, where the length tells which;
FILE.h5:GROUP is a group of a file. Without scores: the baselines alone. --rows adds others' scores.
"""

if __name__ == '__main__':
    # Before the slow imports: a signal is answered at any moment.
    from trsum_jax import stopping

    stopping.heed()

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import numpy as np
from absl import flags
from tqdm import tqdm

from trsum_jax.command import command_line
from trsum_jax.data import datasets, splits
from trsum_jax.data.records import Dataset, Video
from trsum_jax.data.scores import file_of, listing, read_rows, read_scores
from trsum_jax.data.stored import hdf5_writer
from trsum_jax.errors import InputError
from trsum_jax.files import check_outputs, shown, write_json
from trsum_jax.protocol import baselines, comparison, evaluation, highlights, tables

# Names that no further row may have.
ROWS = ('scores', 'random', 'uniform', 'distance_to_mean', 'change', 'human')


def evaluate(
    dataset: Dataset,
    folds: Sequence[Sequence[str]],
    scores: Mapping[str, np.ndarray] | None = None,
    *,
    rows: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    budget: float = evaluation.BUDGET,
    rank_form: str = 'per-user',
    rounding: str = 'down',
    draws: int = 20,
    seed: int = 0,
) -> tuple[dict, dict[str, np.ndarray]]:
    """Evaluates scores, where given, and the baselines.

    Args:
        dataset: the videos.
        folds: the test videos' keys of every fold.
        scores: key to [n_steps] or [n_frames] float, for all of these at least.
        rows: by name, other scores, likewise.
        budget: the summary's greatest share of the video.
        rank_form: see `evaluation.rank_references`.
        rounding: see `highlights.measure_highlights`.
        draws: random scores are the mean of as many draws.
        seed: of the random scores and of the bootstrap.

    Returns:
        The results: `videos` (all that have scores), `mean`, `folds` and `differences` (with scores only),
        `rows`, `baselines`, `over_random`, `rank_against`, `rounding` (where videos have one rating), counts
        and notes; and the summaries of the scored videos that have shots, key to [n_frames] uint8.
    """
    tested = {key for fold in folds for key in fold}
    others = rows or {}
    options = {'budget': budget, 'rank_form': rank_form, 'rounding': rounding}
    measured: dict[str, dict[str, dict[str, float]]] = {}
    summaries, constant = {}, []
    for key, video in tqdm(dataset.videos.items(), 'videos', unit='video', disable=None, leave=False):
        if scores is not None and key in scores:
            steps, frames = evaluation.both_levels(video, scores[key])
            measured.setdefault('scores', {})[key] = evaluation.evaluate_video(video, scores[key], **options)
            if video.change_points is not None:
                summaries[key] = evaluation.summarize(frames, video.change_points, video.n_frames, budget)
            by_summary = rank_form == evaluation.SUMMARY and key in summaries
            if evaluation.is_constant(summaries[key] if by_summary else steps):
                constant.append(key)
        if key in tested:
            if video.features is not None:
                # Read once for all rows, and not kept.
                video = dataclasses.replace(video, features=np.asarray(video.features))
            for name, of in others.items():
                measured.setdefault(name, {})[key] = evaluation.evaluate_video(video, of[key], **options)
            for name, metrics in baselines.without_model(video, draws=draws, seed=seed, **options).items():
                measured.setdefault(name, {})[key] = metrics

    per_fold = {
        name: [{key: metrics[key] for key in fold if key in metrics} for fold in folds]
        for name, metrics in measured.items()
    }
    means = {name: tables.aggregate(values, seed=seed) for name, values in per_fold.items()}
    empty = [key for key, summary in summaries.items() if not summary.any()]
    videos = [video for key, video in dataset.videos.items() if key in tested or key in (scores or ())]
    against = sorted({name for v in videos if (name := evaluation.rank_against(v, rank_form))})
    results = {
        'dataset': dataset.path,
        'synthetic': dataset.synthetic,
        'budget': budget,
        'rank_against': ', '.join(against) or None,
        'rounding': rounding if any(highlights.one_rating(v) is not None for v in videos) else None,
        'draws': draws,
        'seed': seed,
    }
    if scores is not None:
        results |= {
            'videos': measured['scores'],
            'mean': means.pop('scores'),
            'folds': tables.fold_rows(per_fold['scores']),
            'differences': comparison.differences(_by_fold(per_fold), 'scores'),
            'constant_predictions': len(constant),
            'empty_summaries': len(empty),
        }
    results |= {'rows': {name: means.pop(name) for name in others}, 'baselines': means}
    results['over_random'] = comparison.over_random(per_fold)
    results['constant_references'] = sum(evaluation.constant_references(v, rank_form) for v in videos)
    results['notes'] = [*dataset.notes, *_notes(videos, rank_form, results['constant_references'])]
    results['warnings'] = _warnings(constant, empty)
    return results, summaries


def _by_fold(per_fold: Mapping[str, Sequence[Mapping[str, Mapping[str, float]]]]) -> dict[str, list[dict]]:
    """For `comparison`, which knows several seeds: here is one."""
    return {
        name: [
            {'seed': 0, 'fold': number, 'video': key} | metrics
            for number, fold in enumerate(folds)
            for key, metrics in fold.items()
        ]
        for name, folds in per_fold.items()
    }


def _notes(videos: Sequence[Video], rank_form: str, constant_references: int) -> list[str]:
    notes = []
    if unshot := [v.key for v in videos if v.change_points is None and v.user_summary is not None]:
        notes.append(f'no F-score without change_points, which {_which(unshot, len(videos))}')
    if unranked := [v.key for v in videos if evaluation.rank_against(v, rank_form) is None]:
        needed = 'user_summary and change_points' if rank_form == evaluation.SUMMARY else 'users'
        notes.append(f'no rank correlation without {needed}, which {_which(unranked, len(videos))}')
    if constant_references:
        notes.append(
            f'{constant_references} references give all steps the same value: they have no rank and are left '
            f"out of their video's mean"
        )
    return notes


def _warnings(constant: Sequence[str], empty: Sequence[str]) -> list[str]:
    warnings = []
    if constant:
        warnings.append(
            f'constant scores have no rank, so tau and rho leave out {len(constant)}: {listing(constant)}'
        )
    if empty:
        warnings.append(
            f'empty summary (F = 0), as no shot of positive mean score fits the budget: {listing(empty)}'
        )
    return warnings


def _which(keys: Sequence[str], total: int) -> str:
    return f'all {total} videos lack' if len(keys) == total else f'{listing(keys)} lack'


def write_summaries(path: str, summaries: Mapping[str, np.ndarray]) -> None:
    """Writes `video_N/summary`, [n_frames] uint8 of 0 and 1, to an HDF5 file, whole or not at all.

    Args:
        path: the file; replaced where it exists.
        summaries: key to summary.
    """
    with hdf5_writer.writing(path) as (file, _):
        for key, summary in summaries.items():
            file.create_dataset(f'{key}/summary', data=summary, compression='gzip')


def define_flags(values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags of this command.

    Args:
        values: where they are defined; not at import, as other commands have flags of the same names.
    """
    text = functools.partial(flags.DEFINE_string, default=None, flag_values=values)
    text('dataset', help='File of videos, in any layout that is read.', required=True)
    features = 'Further features: arrays by id, as in config.data.features; may be repeated.'
    flags.DEFINE_multi_string('features', [], features, flag_values=values)
    text('scores', help='HDF5 or JSON file of scores; without it the baselines alone.')
    flags.DEFINE_multi_string('rows', [], 'NAME=SCORES, further rows; may be repeated.', flag_values=values)
    text('splits', help='File of folds (.json, .yml, .txt); without it all videos count as one fold.')
    text('output', help='JSON file to write the results to.')
    text('summaries', help='HDF5 file to write the summaries to.')
    text('user_scores', help="TVSum's ydata-anno.tsv or ydata-tvsum50.mat, or SumMe's folder GT.")
    number = functools.partial(flags.DEFINE_integer, flag_values=values)
    number('draws', 20, 'Number of draws of random scores.', lower_bound=1)
    number('seed', 0, 'Of the random scores and the bootstrap.', lower_bound=0)
    share = "The summary's greatest share of a video, above 0 and at most 1."
    flags.DEFINE_float('budget', evaluation.BUDGET, share, flag_values=values)
    against = 'What ranks are compared with where only summaries exist.'
    flags.DEFINE_enum('rank', 'per-user', evaluation.RANK_FORMS, against, flag_values=values)
    shares = "Of the number of best segments, where videos have one rating: mAP's."
    flags.DEFINE_enum('rounding', 'down', highlights.ROUNDINGS, shares, flag_values=values)
    partial = 'Accept splits that leave videos out of all folds.'
    flags.DEFINE_bool('partial_splits', False, partial, flag_values=values)
    flags.DEFINE_bool('overwrite', False, 'Replace output files that exist.', flag_values=values)


def main(argv: Sequence[str]) -> None:
    """The command: flags in, files and a printed table out."""
    args = flags.FLAGS
    if not 0 < args.budget <= 1:
        raise InputError(f'--budget must be above 0 and at most 1, found {args.budget}')
    if args.summaries and not args.scores:
        raise InputError('--summaries needs --scores: without scores there is nothing to summarize by')
    inputs = {args[name].value: f'--{name}' for name in ('dataset', 'scores', 'splits', 'user_scores')}
    outputs = {f'--{name}': args[name].value for name in ('output', 'summaries')}
    check_outputs(
        [(flag, path) for flag, path in outputs.items() if path],
        {file_of(path): f'the file of {flag}' for path, flag in inputs.items() if path}
        | {file_of(row.partition('=')[2]): 'a file of --rows' for row in args.rows}
        | dict.fromkeys(args.features, 'a file of --features'),
        overwrite=args.overwrite,
        makes_folders=True,
    )

    dataset = datasets.read_dataset(
        args.dataset,
        require_features=False,
        user_scores=args.user_scores,
        features=args.features,
        in_file=True,
    )
    folds, description = [list(dataset.videos)], f'all {len(dataset.videos)} videos as one fold'
    if args.splits:
        keys = list(dataset.videos)
        read = splits.read_splits(args.splits, keys, dataset=args.dataset, partial=args.partial_splits)
        folds, description = [list(fold.test) for fold in read], splits.describe(read)
        dataset = dataclasses.replace(dataset, notes=(*dataset.notes, *splits.unused_note(read, keys)))
    elif args.partial_splits:
        raise InputError('--partial_splits says something of --splits: name that file too')
    if args.summaries and all(video.change_points is None for video in dataset.videos.values()):
        raise InputError(f'{shown(args.dataset)}: no video has change_points, which --summaries needs')
    tested = dict.fromkeys(key for fold in folds for key in fold)
    needed = list(tested)
    if not needed:
        raise InputError(f'{shown(args.splits)}: expected folds with test_keys, found none in any fold')
    scores = read_scores(args.scores, dataset.videos, needed) if args.scores else None
    results, summaries = evaluate(
        dataset,
        folds,
        scores,
        rows=read_rows(args.rows, dataset.videos, needed, ROWS),
        budget=args.budget,
        rank_form=args.rank,
        rounding=args.rounding,
        draws=args.draws,
        seed=args.seed,
    )
    results = {'scores': args.scores, 'splits': description} | results
    if scores and (extra := [key for key in scores if key not in tested]):
        results['notes'].append(f'videos that no fold tests on are left out of the means: {listing(extra)}')

    rows = ({'scores': results['mean']} if scores else {}) | results['rows'] | results['baselines']
    about = f'{description}; budget {args.budget:g}; ranks against: {results["rank_against"] or "nothing"}'
    if results['rounding']:
        about += f'; mAP of segments of 5 s, their number rounded {args.rounding}'
    print(tables.render(rows, f'{shown(args.dataset)}: {about}'))
    print()
    if args.rank == evaluation.SUMMARY and results['rank_against']:
        print(f'{evaluation.NOT_NEUTRAL}\n')
    if line := tables.render_over_random(results['over_random']):
        print(f'{line}\n')
    if scores:
        less = {f'less {name}': of for name, of in results['differences'].items()}
        print(
            tables.render(less, 'scores less each other row, on the same videos [95% interval over videos]')
        )
        print()
    for kind in ('note', 'warning'):
        for line in results[f'{kind}s']:
            print(f'{kind}: {line}')
    if args.output:
        write_json(args.output, results)
        print(f'results: {shown(args.output)}')
    if args.summaries:
        write_summaries(args.summaries, summaries)
        print(f'summaries: {shown(args.summaries)}')


if __name__ == '__main__':
    command_line.run(main, define_flags, arguments=command_line.in_order('dataset', 'scores'))
