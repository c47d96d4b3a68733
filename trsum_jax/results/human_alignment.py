"""Whether the reconstruction loss tracks human judgement: what an experiment leaves about it."""

import numpy as np
import tabulate
from tqdm import tqdm

from trsum_jax.files import write_json
from trsum_jax.protocol import agreement, baselines, evaluation, tables
from trsum_jax.results import pictures, report
from trsum_jax.results.report import Finished

NAME = 'human_alignment'
_FORMS = {'per_user': 'each person', 'mean_user': 'mean of people', 'pooled': 'pooled, mean of people'}


def write_agreement(of: Finished, scores: dict[str, list[dict[str, np.ndarray]]]) -> str:
    """Writes `human_alignment.json` and its pictures: one of all rows, and the one-out loss of each video.

    A video is scored by the runs that held it out, as in the table of results.

    Args:
        of: with users.
        scores: by row, for every run, by video key, from `Experiment.score`.

    Returns:
        The table as Markdown.
    """
    given, settings = of.given, of.config.evaluation
    videos = {key: given.dataset.videos[key] for key in given.keys}
    rows = {
        name: report.mean_scores(given, runs, of.places)
        for name, runs in scores.items()
        if name != 'untrained'
    }
    rows['distance_to_mean'] = {
        key: baselines.distance_to_mean(video.features) for key, video in videos.items()
    }
    rows['change'] = {key: baselines.change_of(video) for key, video in videos.items()}
    form = evaluation.form_at_steps(settings.rank)
    found = {name: agreement.measure_agreement(videos, of, rank_form=form) for name, of in rows.items()}
    workdir = of.workdir
    against = {evaluation.rank_against(video, form) for video in videos.values()} - {None}
    changes = {
        name: agreement.change(of, found['one_out'], 'per_user', 'kendall_tau')
        for name, of in found.items()
        if 'one_out' in found
    }
    header = {'name': of.config.name, 'synthetic': given.dataset.synthetic}
    header |= {'rank_against': ', '.join(sorted(against)), 'rows': found, 'changes': changes}
    write_json(workdir / f'{NAME}.json', header)
    pictures.agreement_of_rows(workdir / 'pictures' / f'{NAME}.png', found)
    if 'one_out' in rows:
        for key, video in tqdm(videos.items(), 'pictures', unit='video', mininterval=1.0):
            if video.has_users:
                path = workdir / 'pictures' / 'one_out_and_people' / f'{key}.png'
                pictures.one_out_and_people(path, video, rows['one_out'][key], settings.budget)
    return render_agreement(found, changes)


def render_agreement(found: dict[str, dict], changes: dict[str, dict]) -> str:
    """The agreement of every row with people as Markdown.

    Args:
        found: by row, from `agreement.measure_agreement`.
        changes: by row, the change of tau against `one_out`, each person's, paired by video; may be empty.

    Returns:
        The text.
    """
    body = []
    for row, of in found.items():
        for form, against in _FORMS.items():
            values = [of[form][metric] for metric in agreement.METRICS]
            cells = [tables.cell(m, value) for m, value in zip(agreement.METRICS, values, strict=True)]
            p = values[0]['p']
            paired = form == 'per_user' and row != 'one_out' and row in changes
            shown = tables.cell('kendall_tau', changes[row]) if paired else ''
            body.append([row, against, *cells, '–' if np.isnan(p) else f'{p:.4f}', shown])
    headers = ['scores', 'against', 'tau', 'rho', 'p of tau', 'tau less that of one_out, paired']
    table = tabulate.tabulate(body, headers, tablefmt='github', disable_numparse=True)
    constant = {row: of['constant_scores'] for row, of in found.items() if of['constant_scores']}
    left_out = ', '.join(f'{row} {count}' for row, count in constant.items())
    return (
        '\n## Agreement with people\n\n'
        'Held-out scores; mean over videos [95% bootstrap interval over videos]; p by shifts in time.\n\n'
        f'{table}\n' + (f'\nConstant scores, left out, videos: {left_out}.\n' if left_out else '')
    )
