"""What a stage leaves on disk while it trains and when it is done: the states of all runs, by orbax.

A checkpoint is a folder named after the epochs done. Orbax writes it under another name and renames it when
it is whole. Beside what orbax writes stands a list of all files with their SHA-256, so that bytes which
changed later are noticed too. Arrays are saved as the grid pads them, and cut or filled up again when they
are read: a checkpoint does not remember the devices that it came from.
"""

import concurrent.futures
import contextlib
import pathlib
import sys
import warnings
from typing import Any

import jax
from jax.sharding import Mesh
from orbax.checkpoint import v1 as ocp

from trsum_jax.errors import InputError
from trsum_jax.files import read_json, sha256, write_json
from trsum_jax.runtime import processes, sharding

_FILES = 'files.sha256.json'


class Saver:
    """Saves the states of one stage in the background, one checkpoint at a time; a context manager.

    Leaving it waits for the checkpoint that is being written.
    """

    def __init__(self, folder: pathlib.Path, keep: int):
        """Opens the stage's folder, made where it is missing, and clears what a killed process left there.

        Args:
            folder: of the stage.
            keep: how many of the newest checkpoints stay.
        """
        _hush_what_comes_late()
        self._folder = folder
        self._orbax = ocp.training.Checkpointer(
            folder.resolve(),
            preservation_policy=ocp.training.preservation_policies.LatestN(keep),
            cleanup_tmp_directories=True,
        )
        self._background = concurrent.futures.ThreadPoolExecutor(1)
        self._pending: tuple[int, concurrent.futures.Future] | None = None

    def __enter__(self) -> 'Saver':
        """The saver itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Waits for the last checkpoint; what went wrong with it is raised unless something else was."""
        try:
            if error[0] is None:
                self.wait()
        finally:
            self._background.shutdown()
            # It raises once more what went wrong with the last checkpoint.
            with contextlib.suppress(OSError, ValueError, RuntimeError):
                self._orbax.close()

    def save(self, epoch: int, states: Any) -> None:
        """Begins to save; the states may be donated when it returns.

        Args:
            epoch: epochs done.
            states: any tree of arrays.

        Raises:
            InputError: this checkpoint or the one before it could not be written.
        """
        self.wait()
        try:
            saved = self._orbax.save_async(epoch, states, force=True, overwrite=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise self._failed(epoch, error) from error
        folder = self._folder / str(epoch)

        def finish() -> None:
            saved.result()
            if processes.first():
                _list_files(folder)

        self._pending = (epoch, self._background.submit(finish))

    def wait(self) -> None:
        """Waits until the checkpoint that is being written is whole.

        Raises:
            InputError: it could not be written, such as on a full disk.
        """
        if self._pending is None:
            return
        (epoch, pending), self._pending = self._pending, None
        try:
            pending.result()
        except (OSError, ValueError, RuntimeError) as error:
            raise self._failed(epoch, error) from error

    def last_good(self) -> str:
        """The newest whole checkpoint's folder, in words."""
        done = whole(self._folder)
        return f'{self._folder}/{done[-1]}' if done else f'none yet in {self._folder}'

    def _failed(self, epoch: int, error: Exception) -> InputError:
        if gone := processes.lost(error):
            return gone
        reason = str(error).strip().splitlines()[0][:300]
        return InputError(
            f'{self._folder}/{epoch}: the checkpoint could not be written ({reason}). Training stopped; make '
            f'room and start the same command again. Last good checkpoint: {self.last_good()}.'
        )


def _hush_what_comes_late() -> None:
    """Lets pass what orbax's writers say of a checkpoint that has failed already, and was told of.

    Where one of many writes fails, as on a full disk, orbax closes the loop that the others report to; each
    of them then prints a traceback from a thread of its own, some of them as late as the process's end.
    """
    before = sys.unraisablehook
    if getattr(before, 'hushes', False):
        return

    def heard(told: Any) -> None:
        if not (isinstance(told.exc_value, RuntimeError) and 'Event loop is closed' in str(told.exc_value)):
            before(told)

    heard.hushes = True
    sys.unraisablehook = heard
    warnings.filterwarnings('ignore', r"coroutine '\S*write_fragment' was never awaited", RuntimeWarning)


def whole(folder: pathlib.Path) -> list[int]:
    """Epochs done in the stage's checkpoints that orbax has finished, oldest first."""
    if not folder.is_dir():
        return []
    names = (path.name for path in folder.iterdir() if path.is_dir())
    return sorted(int(name) for name in names if name.isdecimal())


def restore(
    folder: pathlib.Path, like: Any, mesh: Mesh | None = None, *, needed: bool = True
) -> tuple[int, Any] | None:
    """Reads the stage's newest checkpoint that is whole; damaged ones are named, moved aside and skipped.

    Args:
        folder: of the stage.
        like: a tree of `jax.ShapeDtypeStruct` (from `jax.eval_shape`) of the states, with as many runs as
            are wanted. Runs that the checkpoint does not hold come back as zeros.
        mesh: where the states go, by run; the default device where there is none.
        needed: whether it is an error that there are checkpoints of which none can be read.

    Returns:
        The number that the checkpoint is named after and the states, or None where there is none.

    Raises:
        InputError: there are checkpoints, and none of them can be read; one of another model.
    """
    mesh = mesh or sharding.one_device()
    found = whole(folder)
    faults = []
    for epoch in reversed(found):
        fault = _damage(folder / str(epoch)) if processes.first() else ''
        if not processes.from_first(bool(fault)):
            states, fault = _read(folder, epoch, like, mesh)
            if not fault:
                return epoch, states
        faults.append(f'{folder}/{epoch}: {fault or "see process 0"}')
        processes.say(f'note: {faults[-1]}. Skipped for the one before.')
    if found and needed:
        raise InputError(
            'none of the checkpoints can be read:\n  ' + '\n  '.join(faults) + f'\nDelete {folder} to train '
            'this stage again, with what later stages have beside it, or restore it from a copy.'
        )
    return None


def move_aside(folder: pathlib.Path, newer_than: int) -> None:
    """Renames the checkpoints after an epoch, which `restore` has skipped, to `damaged-EPOCH-STAGE`.

    Args:
        folder: of the stage.
        newer_than: the epochs done in the checkpoint that was taken.
    """
    for epoch in whole(folder):
        if epoch > newer_than and processes.first():
            aside = folder.with_name(f'damaged-{epoch}-{folder.name}')
            number = 1
            while aside.exists():
                number += 1
                aside = folder.with_name(f'damaged-{epoch}-{folder.name}-{number}')
            (folder / str(epoch)).rename(aside)
    processes.wait('damaged checkpoints are out of the way')


def _read(folder: pathlib.Path, epoch: int, like: Any, mesh: Mesh) -> tuple[Any, str]:
    """The states and '', or None and what is wrong."""
    abstract = sharding.like_placed(like, mesh, sharding.BY_RUN)
    context = ocp.Context()
    context.array.loading.enable_padding_and_truncation = True
    try:
        with ocp.training.Checkpointer(folder.resolve(), context=context) as checkpointer:
            kept = checkpointer.metadata(epoch).metadata
            there, wanted = _shapes_of_one_run(kept), _shapes_of_one_run(like)
            if there == wanted:
                # In the structure that it has there: an earlier version lacks fields that may be empty.
                leaves = dict(zip(wanted, jax.tree.leaves(abstract), strict=True))
                asked = jax.tree.unflatten(jax.tree.structure(kept), [leaves[name] for name in there])
                found = dict(zip(there, jax.tree.leaves(checkpointer.load(epoch, asked)), strict=True))
                return jax.tree.unflatten(jax.tree.structure(like), [found[name] for name in wanted]), ''
            if not there:
                return None, 'damaged (its list of arrays cannot be read)'
    except (ValueError, KeyError, OSError, TypeError, ocp.errors.InvalidLayoutError) as error:
        return None, f'damaged ({str(error).strip().splitlines()[0][:300]})'
    name = next(name for name in [*wanted, *there] if wanted.get(name) != there.get(name))
    raise InputError(
        f'{folder}/{epoch}: the checkpoint is of another model: expected {name} of shape '
        f'{wanted.get(name, "absent")} for every run, found {there.get(name, "absent")}. Use the config that '
        'made it, or another --workdir.'
    )


def _shapes_of_one_run(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator='/'): leaf.shape[1:] for path, leaf in leaves}


def _list_files(folder: pathlib.Path) -> None:
    digests = {
        str(path.relative_to(folder)): sha256(path) for path in sorted(folder.rglob('*')) if path.is_file()
    }
    write_json(folder / _FILES, digests)


def _damage(folder: pathlib.Path) -> str:
    """What is wrong with a checkpoint's files, '' for nothing; one killed before it was listed passes."""
    path = folder / _FILES
    if not path.exists():
        return ''
    try:
        digests = read_json(path)
    except InputError:
        return f'damaged ({_FILES} is not what was written)'
    for name, digest in digests.items():
        file = folder / name
        if not file.is_file():
            return f'damaged ({name} is missing)'
        if sha256(file) != digest:
            return f'damaged ({name} has changed)'
    return ''
