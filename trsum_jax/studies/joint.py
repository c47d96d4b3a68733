"""Variants of one experiment trained together: numbers side by side in one grid, equal parts only once.

A stage reads some parts or fields of the config (`READS`). Variants that agree in all of them but for the
numbers of `DIALS` are one compiled grid, whose runs carry these numbers. Variants that agree in all of them
are the same training: it is done once, and each gets a copy. Stage 1 does not read the summarizer's settings,
so variants that differ in these share their generators.

    WORKDIR/grids/STAGE-DIGEST/ the checkpoints of a grid while it trains, and after
    WORKDIR/NAME/               each variant: its part of them, as its training alone would leave it
"""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import ml_collections
import numpy as np

from trsum_jax.experiment import check, methods, preparation, workdirs
from trsum_jax.experiment.preparation import Experiment
from trsum_jax.experiment.run import train_stage
from trsum_jax.results import filenames
from trsum_jax.runtime import checkpoint, compilation, processes, sharding
from trsum_jax.training import grid, runs

STAGES = ('generator', 'summarizer')
READS = {
    'generator': ('seeds', 'data', 'decomposition', 'model', 'masking', 'generator', 'layout'),
    # What stage 1 holds aside says how a run's segments stand, and what its checkpoint holds.
    'summarizer': ('seeds', 'data', 'decomposition', 'model', 'generator.aside', 'summarizer', 'layout'),
}
DIALS = {
    'generator': (
        *(f'masking.{name}' for name in runs.MaskingNumbers._fields),
        *(f'generator.{name}' for name in runs.Rates._fields),
    ),
    'summarizer': tuple(f'summarizer.{name}' for name in (*runs.PolicyNumbers._fields, *runs.Rates._fields)),
}
FOLDER = 'grids'

Variants = Mapping[str, ml_collections.ConfigDict]


@dataclasses.dataclass(frozen=True)
class _Place(runs.Place):
    variant: str

    def __str__(self) -> str:
        return f'{self.variant}, {super().__str__()}'


def train_variants(variants: Variants, workdir: pathlib.Path) -> None:
    """Trains both stages of all variants, or what is left of them; results are for `experiment.run` to make.

    Args:
        variants: by name, each checked; names are folders in the workdir. Rivals are left to
            `experiment.run`.
        workdir: of all of them.

    Raises:
        InputError: as `experiment.run`.
        Preempted: a signal came; all is saved.
    """
    compilation.remember()
    variants = {name: config for name, config in variants.items() if methods.is_ours(config)}
    for stage in STAGES:
        for group in alike(variants, stage):
            together = [variants[same[0]] for same in group]
            epochs = together[0][stage].epochs
            folders = [_folder(workdir, name, stage) for same in group for name in same]
            if any(epochs not in checkpoint.whole(folder) for folder in folders):
                names = ', '.join(name for same in group for name in same)
                processes.say(f'\n{stage} of {names}')
                _train_group(variants, workdir, stage, group)


def alike(variants: Variants, stage: str) -> list[list[list[str]]]:
    """The grids of a stage: for each, the trainings in it; for each of these, the variants that it serves.

    Args:
        variants: by name.
        stage: one of `STAGES`.

    Returns:
        Names in the order of the variants.
    """
    grids: dict[str, dict[str, list[str]]] = {}
    for name, config in variants.items():
        read = _read(config, stage)
        shape = json.dumps({k: v for k, v in read.items() if k not in DIALS[stage]}, sort_keys=True)
        # A summarizer also depends on its generator: it serves its own variant alone.
        same = json.dumps(read, sort_keys=True) if stage == 'generator' else name
        grids.setdefault(shape, {}).setdefault(same, []).append(name)
    return [list(trainings.values()) for trainings in grids.values()]


def _train_group(
    variants: Variants,
    workdir: pathlib.Path,
    stage: str,
    group: Sequence[Sequence[str]],
) -> None:
    for same in group:
        for name in same:
            workdirs.refuse_another(variants[name], workdir / name)
            given = preparation.load_recorded(variants[name], workdir / name)
    members = [same[0] for same in group]
    configs = [variants[name] for name in members]
    places = [
        _Place(place.seed, place.fold, name)
        for name in members
        for place in runs.places(configs[0].seeds, len(given.folds))
    ]
    numbers = {name: [_at(config, name) for config in configs] for name in DIALS[stage]}
    each = len(places) // len(members)
    dials = {name: list(np.repeat(values, each)) for name, values in numbers.items() if len(set(values)) > 1}
    common = configs[0].copy_and_resolve_references()
    # What a program's shapes are made of has to be enough for every run.
    common.update_from_flattened_dict({name: max(values) for name, values in numbers.items()})
    # Another grid must not be taken for this one: a checkpoint does not tell its runs.
    fixed = [
        {
            name: value
            for name, value in _read(one, stage).items()
            if not check.is_free(name) and not (name in check.LATER and value == check.LATER[name])
        }
        for one in configs
    ]
    told = json.dumps([members, fixed, given.fingerprint()], sort_keys=True)
    folder = workdir / FOLDER / f'{stage}-{hashlib.sha256(told.encode()).hexdigest()[:12]}'
    joint = preparation.assemble(common, folder, given, places, dials)
    frozen: Any = ()
    if stage == 'summarizer':
        found = [_generators(joint, workdir / name, each) for name in members]
        stacked = jax.tree.map(lambda *leaves: np.concatenate(leaves), *found)
        frozen = _on_mesh(stacked, slice(None), joint)
    logs = [[workdir / name / filenames.METRICS for name in same] for same in group]
    run_of = joint.method.stages[STAGES.index(stage)]
    states = train_stage(joint, run_of, frozen, logs=logs)
    host, epochs = processes.gather(states), common[stage].epochs
    for part, same in enumerate(group):
        own = _on_mesh(host, slice(part * each, (part + 1) * each), joint)
        for name in same:
            keep = common.layout.checkpoints
            with checkpoint.Saver(_folder(workdir, name, stage), keep) as saver:
                saver.save(epochs, own)


def _generators(joint: Experiment, workdir: pathlib.Path, each: int) -> Any:
    """The generators of one variant's runs, [each, …], as numpy arrays."""
    rows = sharding.padded(each, joint.mesh)
    like = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((rows, *leaf.shape[1:]), leaf.dtype),
        grid.like(joint.method.stages[0], joint.runs, ()),
    )
    _, states = checkpoint.restore(workdir / filenames.CHECKPOINTS / STAGES[0], like, joint.mesh)
    return jax.tree.map(lambda leaf: leaf[:each], processes.gather(states.params))


def _on_mesh(tree: Any, rows: slice, joint: Experiment) -> Any:
    """Some runs of a tree of numpy arrays, filled up with the last one, on the devices."""

    def fill(leaf: np.ndarray) -> np.ndarray:
        own = leaf[rows]
        missing = sharding.padded(len(own), joint.mesh) - len(own)
        return np.concatenate([own, *[own[-1:]] * missing])

    return sharding.place(jax.tree.map(fill, tree), joint.mesh, sharding.BY_RUN)


def _folder(workdir: pathlib.Path, name: str, stage: str) -> pathlib.Path:
    return workdir / name / filenames.CHECKPOINTS / stage


def _read(config: ml_collections.ConfigDict, stage: str) -> dict[str, Any]:
    """The fields that a stage reads, flat."""
    flat = check.flatten(config)
    return {name: value for name, value in flat.items() if {name, name.split('.')[0]} & set(READS[stage])}


def _at(config: ml_collections.ConfigDict, name: str) -> float:
    part, field = name.split('.')
    return config[part][field]
