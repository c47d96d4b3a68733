"""Several variants of one config, each an experiment of its own, side by side in one table.

`joint` trains them; where the config names a study's columns, `comparison` compares them.
"""

import pathlib
from typing import Any

import jax
import ml_collections
import tabulate

from trsum_jax.errors import InputError
from trsum_jax.experiment import check, methods, workdirs
from trsum_jax.experiment.bench import trials
from trsum_jax.experiment.run import run_locked
from trsum_jax.files import read_json, write_json, write_text
from trsum_jax.protocol import tables
from trsum_jax.results import filenames, pictures, report
from trsum_jax.runtime import locking, processes
from trsum_jax.studies import comparison, joint, measures

ROWS = (report.MODEL, 'untrained', 'random', 'one_out', 'distance_to_mean', 'change', 'human')
_CAPTIONS = {
    'mean': 'Kendall tau on held-out videos, mean [95% bootstrap interval over videos]',
    'train_mean': 'Kendall tau on the training videos, mean [95% bootstrap interval over videos]',
}


def expand(config: ml_collections.ConfigDict) -> dict[str, ml_collections.ConfigDict]:
    """The config of every variant, checked.

    Args:
        config: with `variants`: by name, the (nested) fields that differ; or with `study.files`.

    Returns:
        By name, a config without variants.

    Raises:
        InputError: a variant names a field that does not exist, or cannot run; files of one name; the
            variant to compare with is none.
    """
    check.check(config)
    if unknown := set(config.study.columns) - set(measures.METRICS):
        raise InputError(
            f'config.study.columns: expected some of {", ".join(measures.METRICS)}, '
            f'found {", ".join(sorted(unknown))}'
        )
    expanded = {}
    variants = config.variants.to_dict()
    if config.study.files:
        paths = [pathlib.Path(path) for path in config.study.files]
        variants = {path.stem: {'data': {'file': str(path), 'generate': False}} for path in paths}
        if len(variants) < len(paths):
            raise InputError(
                f'config.study.files: expected files of different names, found {tuple(config.study.files)}'
            )
    if config.study.first not in ('', *variants):
        raise InputError(
            f'config.study.first: expected one of {", ".join(variants)}, found {config.study.first!r}'
        )
    for name, fields in variants.items():
        one = config.copy_and_resolve_references()
        one.variants = ml_collections.ConfigDict()
        one.study = ml_collections.ConfigDict()
        one.name = f'{config.name}/{name}'
        # Fields that do not exist raise where locked.
        one.lock()
        # Options and terms of one's own have names that are not known here.
        one.summarizer.estimator_options.unlock()
        one.summarizer.reward_terms.unlock()
        try:
            one.update(fields)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputError(f'config.variants.{name}: {error}') from error
        check.check(one)
        trials.try_functions(one)
        expanded[name] = one
    if config.study.across:
        rivals = [name for name, one in expanded.items() if not methods.is_ours(one)]
        if rivals or not config.study.columns:
            found = f'another method in {", ".join(rivals)}' if rivals else 'no config.study.columns'
            raise InputError(
                'config.study.across: expected variants of method trsum and columns for the table, '
                f'found {found}'
            )
    return expanded


def run_variants(config: ml_collections.ConfigDict, workdir: pathlib.Path) -> str:
    """Runs every variant in a folder of its own; a finished one is not run again.

    Args:
        config: with variants, or with a study's files.
        workdir: of all of them.

    Returns:
        Their tables as Markdown. `results.json` holds `variants.NAME`, each as a lone experiment's.

    Raises:
        InputError: a variant that cannot run; a workdir that holds something else, or that another process
            works in.
    """
    variants = expand(config)
    if config.study.across and jax.process_count() > 1:
        raise InputError('config.study.across: expected one process, found several; run it without them')
    processes.agree('the config', check.flatten(config))
    with locking.held(workdir, *(workdir / name for name in variants)):
        return _run_locked(config, variants, workdir)


def _run_locked(
    config: ml_collections.ConfigDict, variants: dict[str, ml_collections.ConfigDict], workdir: pathlib.Path
) -> str:
    refuse_another(config, variants, workdir)
    kept = workdirs.config_of(workdir) is not None
    processes.wait('the workdir is read')
    # What the tables are of, until they are made again.
    if processes.first() and not kept:
        write_json(workdir / filenames.CONFIG, config.to_dict())
    joint.train_variants(variants, workdir)
    results: dict[str, Any] = {}
    for number, (name, one) in enumerate(variants.items()):
        processes.say(f'\nvariant {number + 1} of {len(variants)}: {name}')
        run_locked(one, workdir / name)
        if processes.first():
            results[name] = read_json(workdir / name / filenames.RESULTS)
    if not processes.first():
        return ''
    text = render_variants(config.name, results)
    picture = workdir / filenames.PICTURES / 'variants.png'
    pictures.variants_beside(picture, results)
    if config.study.columns:
        text = comparison.write(config, variants, workdir)
        picture = workdir / comparison.PICTURE
    text += f'\nPicture: {picture}. Each variant has its own folder in {workdir}/.\n'
    write_json(workdir / filenames.CONFIG, config.to_dict())
    write_text(workdir / filenames.TABLE, text)
    write_json(workdir / filenames.RESULTS, {'name': config.name, 'variants': results})
    return text


def refuse_another(
    config: ml_collections.ConfigDict, variants: dict[str, ml_collections.ConfigDict], workdir: pathlib.Path
) -> None:
    """As `workdirs.refuse_another`; where the config is lost, the folders of the variants say whose it was.

    Args:
        config: of now.
        variants: from `expand`.
        workdir: of all of them.

    Raises:
        InputError: the workdir holds something else.
    """
    ours = any(workdirs.is_of(one, workdir / name) for name, one in variants.items())
    if not (ours and workdirs.config_of(workdir) is None):
        workdirs.refuse_another(config, workdir)


def render_variants(name: str, results: dict[str, Any]) -> str:
    """The variants' rank correlations as Markdown, one table for each set of videos.

    Args:
        name: of the config.
        results: by variant, what `results.json` holds.

    Returns:
        The text.
    """
    synthetic = ' (synthetic data)' if all(found['synthetic'] for found in results.values()) else ''
    lines = [f'# {name}{synthetic}']
    for part, caption in _CAPTIONS.items():
        others = 'baselines' if part == 'mean' else 'train_baselines'
        body = []
        for variant, found in results.items():
            rows = {report.MODEL: found[part]} | found[others]
            cells = [
                tables.cell('kendall_tau', rows[row]['kendall_tau']) if row in rows else '–' for row in ROWS
            ]
            body.append([variant, *cells])
        table = tabulate.tabulate(body, ['variant', *ROWS], tablefmt='github', disable_numparse=True)
        lines.append(f'\n{caption}:\n\n{table}')
    return '\n'.join(lines) + '\n'
