"""Mirrors of a workdir's log for TensorBoard and for Weights & Biases; `metrics.jsonl` stays the truth."""

import contextlib
import pathlib
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import ml_collections
import numpy as np

from trsum_jax.errors import InputError
from trsum_jax.files import read_json, shown, write_json
from trsum_jax.results import filenames, metric_log
from trsum_jax.runtime import processes

# Seconds after which what TensorBoard is to see goes to the disk: a run's file each.
_FLUSH_S = 10.0
# Of what wandb would send by itself, nothing: the log and the config alone.
_NOTHING_ELSE = {
    **{'console': 'off', 'save_code': False, 'disable_git': True, 'disable_job_creation': True},
    **{'x_disable_meta': True, 'x_disable_stats': True, 'x_save_requirements': False},
}

Tell = Callable[[Sequence[dict[str, Any]]], None]


@contextlib.contextmanager
def mirrored(
    layout: ml_collections.ConfigDict, logs: Sequence[pathlib.Path], stage: str
) -> Iterator[Callable[[pathlib.Path, Sequence[dict[str, Any]]], None]]:
    """Opens the mirrors that a config asks for; what a log has of the stage is mirrored first.

    Args:
        layout: of the config: `tensorboard`, and `wandb`, a project.
        logs: each in a workdir of its own.
        stage: whose lines.

    Yields:
        (log, lines that it has got) -> None.

    Raises:
        InputError: a library is missing, a file cannot be written, wandb refuses.
    """
    with contextlib.ExitStack() as stack:
        opened: dict[pathlib.Path, list[Tell]] = {log: [] for log in logs}
        for log in logs if processes.first() else ():
            if layout.tensorboard:
                folder = log.parent / filenames.TENSORBOARD / stage
                opened[log].append(stack.enter_context(_event_files(folder)))
            if layout.wandb:
                opened[log].append(stack.enter_context(_wandb_run(layout.wandb, log.parent, stage)))

        def tell(log: pathlib.Path, lines: Sequence[dict[str, Any]]) -> None:
            for mirror in opened[log]:
                mirror(lines)

        for log in filter(opened.get, logs):
            tell(log, metric_log.lines(log, stage))
        yield tell


@contextlib.contextmanager
def _event_files(folder: pathlib.Path) -> Iterator[Tell]:
    """A file of TensorBoard's events for each run, made anew from the log in each session."""
    try:
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary
    except ImportError as error:
        raise InputError(_missing('tensorboard', 'tensorboardX', error)) from error
    # So no row of before stands twice, whatever a killed session has left.
    shutil.rmtree(folder, ignore_errors=True)
    writers: dict[tuple[int, int], Any] = {}
    flushed = time.monotonic()

    def tell(lines: Sequence[dict[str, Any]]) -> None:
        nonlocal flushed
        with _writing(folder):
            for line in lines:
                place = line['seed'], line['fold']
                if place not in writers:
                    run = folder / _name(line)
                    run.mkdir(parents=True, exist_ok=True)
                    # It writes in this thread, so that a full disk is noticed here.
                    writers[place] = EventsWriter(str(run / 'events'))
                values = [
                    Summary.Value(tag=f'{line["stage"]}/{name}', simple_value=value)
                    for name, value in metric_log.told_in(line).items()
                ]
                event = Event(wall_time=time.time(), step=line['epoch'], summary=Summary(value=values))
                writers[place].write_event(event)
            if time.monotonic() - flushed > _FLUSH_S:
                for writer in writers.values():
                    writer.flush()
                flushed = time.monotonic()

    try:
        yield tell
    finally:
        with _writing(folder):
            for writer in writers.values():
                writer.close()


@contextlib.contextmanager
def _writing(folder: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f'{shown(folder)}: cannot be written ({error}). Training stopped; make room and start the same '
            'command again, it continues from its last checkpoint.'
        ) from error


@contextlib.contextmanager
def _wandb_run(project: str, workdir: pathlib.Path, stage: str) -> Iterator[Tell]:
    """A run of wandb for a stage, with all of its folds and seeds; a further session continues it."""
    try:
        # By name: a folder wandb/ here, which the library leaves behind, can be imported too.
        from wandb import Error, init
    except ImportError as error:
        raise InputError(_missing(f'wandb={project}', 'wandb', error)) from error
    note = workdir / filenames.WANDB
    known = read_json(note) if note.exists() else {}
    own = known.setdefault(stage, {'id': secrets.token_hex(8), 'epochs': 0})
    if not isinstance(own, dict) or not isinstance(own.get('id'), str) or type(own.get('epochs')) is not int:
        raise InputError(
            f'{shown(note)}: {stage}: expected an id and a number of epochs, found {own}; delete it'
        )
    run = None

    def tell(lines: Sequence[dict[str, Any]]) -> None:
        nonlocal run
        by_epoch: dict[int, list[dict[str, Any]]] = {}
        for line in lines:
            if line['epoch'] > own['epochs']:
                by_epoch.setdefault(line['epoch'], []).append(line)
        for epoch, of_runs in sorted(by_epoch.items()):
            if run is None:
                run = init(
                    project=project, id=own['id'], name=f'{workdir.name} {stage}', group=workdir.name,
                    config=read_json(workdir / filenames.CONFIG), dir=workdir, resume='allow',
                    reinit='create_new', settings=_NOTHING_ELSE,
                )  # fmt: skip
            told = [metric_log.told_in(line) for line in of_runs]
            row = {
                f'{name}/{_name(line)}': value
                for line, found in zip(of_runs, told, strict=True)
                for name, value in found.items()
            }
            for name in told[0]:
                row[f'{name}/mean'] = float(np.mean([found[name] for found in told if name in found]))
            # Noted before: a row that a killed session has sent must not be sent again.
            own['epochs'] = epoch
            write_json(note, known)
            run.log(row, step=epoch)

    try:
        yield tell
    except Error as error:
        raise InputError(
            f'--wandb={project}: expected a run of Weights & Biases, found: {error}. `wandb login` once, or '
            'WANDB_MODE=offline, which keeps it here; or leave the flag out: the same command continues.'
        ) from error
    finally:
        if run is not None:
            run.finish()


def _name(line: dict[str, Any]) -> str:
    return f'seed-{line["seed"]}-fold-{line["fold"]}'


def _missing(flag: str, library: str, error: ImportError) -> str:
    return (
        f'--{flag}: expected {library} to be installed, found none ({error}); run: '
        f'pip install "trsum_jax[{library.lower().rstrip("x")}]"'
    )
