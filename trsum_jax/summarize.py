"""A video in, its summary out: trained on this very video, without labels.

    trsum summarize holiday.mp4 [--output=summary.mp4]
    python -m trsum_jax.summarize --video=holiday.mp4

A folder, or several videos, are trained on together, and each is summarized.
"""

if __name__ == '__main__':
    # Before the slow imports: a signal is answered at any moment.
    import sys

    from trsum_jax import stopping

    stopping.heed(continues=any(flag.lstrip('-').startswith('workdir') for flag in sys.argv[1:]))

import dataclasses
import pathlib
import sys
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
from absl import flags

from trsum_jax.command import command_line
from trsum_jax.errors import InputError
from trsum_jax.files import shown, tell
from trsum_jax.runtime import memory

if TYPE_CHECKING:
    import ml_collections

    from trsum_jax.data.records import Video
    from trsum_jax.video.encoders.encoder import Encoder
    from trsum_jax.video.summary import Summary

BUDGET, RATE, SHORTEST = 0.15, 2.0, 1.5
COMMON = (
    *('video', 'videos', 'output', 'quick', 'fast', 'checkpoint', 'workdir', 'budget', 'seconds', 'keep'),
    *('drop', 'page', 'json', 'storyboard', 'timeline', 'chapters', 'people', 'sound', 'rate', 'seed'),
    *('overwrite', 'strict', 'encoder', 'weights', 'onnx'),
)


def summarize(video: str | pathlib.Path, **options) -> 'Summary':
    """Summarizes one video; nothing is written.

    Args:
        video: the file.
        options: of `summarize_all`.

    Returns:
        Scores, shots, chosen shots and times; `Summary.parts` in frames, `Summary.seconds(parts)` in seconds.

    Raises:
        InputError: as `summarize_all`.
    """
    return summarize_all([video], **options)[0]


def summarize_all(
    videos: Sequence[str | pathlib.Path],
    *,
    also: Sequence[str | pathlib.Path] = (),
    encoder: 'str | Encoder' = 'auto',
    checkpoint: str | pathlib.Path | None = None,
    workdir: str | pathlib.Path | None = None,
    budget: float = BUDGET,
    seconds: float | None = None,
    shortest: float = SHORTEST,
    keep: Collection[int] = (),
    drop: Collection[int] = (),
    choice: str = 'coverage',
    rate: float = RATE,
    seed: int = 0,
    config: 'ml_collections.ConfigDict | None' = None,
    people: str | pathlib.Path | None = None,
    left_out: dict[pathlib.Path, str] | None = None,
    any_encoder: bool = False,
    quick: bool = False,
    fast: bool = False,
) -> 'list[Summary]':
    """Summarizes videos with a model trained on them and without labels, or with one trained before.

    Progress, and what a person should know (damage, scores without an order), goes to stderr.

    Args:
        videos: what to summarize.
        also: more videos to train on.
        encoder: what describes the pictures: a name of `loading.load`, or what it gives; `auto` is what
            `loading.at_hand` says.
        checkpoint: the workdir of a training; nothing is trained then.
        workdir: keeps the training, to be the `checkpoint` of other videos; by default it is not kept.
        budget: a summary's greatest share of its video.
        seconds: its greatest length, in place of `budget`.
        shortest: seconds of the shortest part of a summary, where its video and length have room for it.
        keep: shots that a summary shows, counted from 0 where the page counts them from 1.
        drop: those that it does not show.
        choice: how shots are chosen: `coverage`, nothing twice, or `knapsack`, as the protocol does.
        rate: pictures looked at a second.
        seed: of the training; the same one gives the same summaries.
        config: how to train, in place of `own_videos.small_config`.
        people: annotations (`people.read_people`) to compare with; nothing else is made of them.
        left_out: gets the videos that cannot be read, and why; where None, such a video is an error.
        any_encoder: whether a checkpoint scores what another encoder, or one unknown, may have described.
        quick: score by `change` alone, without a model and without JAX.
        fast: look at key frames alone (`skimming.KeyFrameReader`), not at `rate` pictures a second.

    Returns:
        A summary for each of `videos` that can be read.

    Raises:
        InputError: a video that cannot be read, or none that can; a checkpoint of another encoder, options
            that make no sense.
    """
    from trsum_jax.video import choosing, coverage, describing, skimming
    from trsum_jax.video import people as judging
    from trsum_jax.video.encoders import loading

    choosing.check_limits(budget, seconds)
    if not 0 <= shortest < float('inf'):
        raise InputError(f'--shortest={shortest:g}: expected seconds, 0 or more')
    if choice not in coverage.CHOICES:
        raise InputError(f'--choice={choice}: expected {" or ".join(coverage.CHOICES)}')
    if not 0 < rate < float('inf'):
        raise InputError(f'--rate={rate:g}: expected samples per second, above 0')
    if not 0 <= seed < 2**32:
        raise InputError(f'--seed={seed}: expected a whole number from 0 to 2**32 - 1')
    if (checkpoint is not None or quick) and (workdir is not None or also):
        how = '--quick' if quick else '--checkpoint'
        raise InputError(
            f'{how}: expected to score only, found what is for training (--workdir, or --videos with --video)'
        )
    if quick and checkpoint is not None:
        raise InputError('expected --quick, which scores without a model, or --checkpoint; found both')
    if not quick:
        # With JAX, whose import takes longer than a short video.
        from trsum_jax.experiment import own_videos, scorer, workdirs

        memory.spare_memory()

    trained = scorer.load_trained(pathlib.Path(checkpoint)) if checkpoint is not None else None
    if workdir is not None:
        workdirs.refuse_place(pathlib.Path(workdir))
    if encoder == loading.AUTO:
        encoder = loading.at_hand(trained.encoder if trained else None, light=quick)
    if isinstance(encoder, str):
        encoder = loading.load(encoder)
    if sys.modules.get('jax'):
        from trsum_jax.runtime import compilation

        compilation.remember()
    if trained is not None:
        doubt = scorer.encoder_doubt(trained, encoder.name, '--checkpoint')
        if not any_encoder:
            scorer.refuse_doubt(doubt)
        elif doubt:
            tell(trained.workdir, f'scores mean something only if {encoder.name} made what it was trained on')
    elif any_encoder:
        raise InputError('--any_encoder says something of a --checkpoint: name one too')
    if fast:
        skimming.refuse_clips(encoder)
    judged = judging.read_people(people, _distinct(videos)) if people else {}

    def judge(path: pathlib.Path, video: 'Video') -> list[str]:
        notes = []
        if path in judged:
            judged[path], notes = judging.with_people(video, judged[path], people)
        return notes

    limits = {'share': budget} if seconds is None else {'longest': seconds}
    described, blank, changes = describing.describe_all(
        _distinct([*videos, *also]),
        encoder,
        rate=rate,
        limits=limits,
        check=judge,
        left_out=left_out,
        fast=fast,
        watched=set(map(pathlib.Path, videos)),
    )
    encoder = encoder.name  # Its weights and programs are let go before others are compiled.
    wanted = [path for path in map(pathlib.Path, videos) if path in described]
    if not wanted:
        raise InputError('none of the videos can be read, for the reasons above')
    scores = {path: np.full(video.n_steps, 0.5, np.float32) for path, video in described.items()}
    moving = {path: described.pop(path) for path in scores if not describing.alike(described[path].features)}
    if moving:
        if quick:
            found = {path: _by_change(video) for path, video in moving.items()}
        elif trained is not None:
            found = own_videos.by_checkpoint(trained, moving, encoder)
        else:
            found = own_videos.by_training(moving, encoder, workdir, seed, config)
        scores, described = scores | found, described | moving
    summaries = []
    for path in wanted:
        video = described[path]
        if path not in moving:
            tell(path, f'nothing tells its parts apart: all pictures looked at are alike ({video.n_steps})')
        elif blank[path].any():
            tell(path, f'{blank[path].sum()} pictures are blank (black, or a fade) and score 0')
            scores[path] = np.where(blank[path], 0, scores[path])
        summary, notes = choosing.make_summary(
            path,
            video,
            scores[path],
            budget=budget,
            seconds=seconds,
            changes=changes[path],
            shortest=shortest,
            keep=keep,
            drop=drop,
            choice=choice,
        )
        summary = dataclasses.replace(summary, encoder=encoder)
        if path in judged:
            share = budget if seconds is None else min(seconds / summary.duration, 1)
            agreement = judging.agreement(judged[path], summary, share, seed=seed)
            summary = dataclasses.replace(summary, agreement=agreement)
        elif people:
            notes = [*notes, f'{shown(people)} has nobody under its name; it is not in the table']
        for note in notes:
            tell(path, note)
        summaries.append(summary)
    return summaries


def _by_change(video: 'Video') -> np.ndarray:
    """[n_steps] float32 in [0, 1], the row `change` over its largest, which is above 0 where steps differ."""
    from trsum_jax.protocol import baselines

    change = baselines.change_of(video)
    return (change / change.max()).astype(np.float32)


def define_flags() -> None:
    """Declares the command's flags."""
    from trsum_jax.video import coverage
    from trsum_jax.video.encoders import loading
    from trsum_jax.video.written import output_flags

    flags.DEFINE_string('video', None, 'the video to summarize')
    several = 'folder of videos to train on; without --video each is summarized'
    flags.DEFINE_multi_string('videos', None, several)
    output_flags.define_mark_flags()
    output_flags.define_output_flags()
    output_flags.define_whole_flags()
    flags.DEFINE_string('checkpoint', None, 'workdir of a training: score with it, train nothing')
    flags.DEFINE_bool('quick', False, 'score by how much the pictures change; train nothing')
    flags.DEFINE_bool('fast', False, 'look at key frames alone; parts may begin and end up to one off')
    flags.DEFINE_string('workdir', None, 'keep the training here, to be the --checkpoint of other videos')
    flags.DEFINE_float('budget', None, f'greatest share of the video in the summary; {BUDGET} by default')
    flags.DEFINE_float('seconds', None, 'greatest length of the summary, in place of --budget')
    flags.DEFINE_float('shortest', SHORTEST, 'seconds of the shortest part')
    how = "how shots are chosen: nothing twice, or by the protocol's knapsack"
    flags.DEFINE_enum('choice', coverage.COVERAGE, coverage.CHOICES, how)
    flags.DEFINE_string(
        'people',
        None,
        "annotations (.h5 of the field, TVSum's .tsv or .mat, SumMe's GT): agreement, as a table",
    )
    flags.DEFINE_float('rate', RATE, 'pictures looked at a second')
    flags.DEFINE_integer('seed', 0, 'of the training; the same seed gives the same summary')
    flags.DEFINE_bool(
        'any_encoder', False, "let a checkpoint score another encoder's features, or unknown ones"
    )
    flags.DEFINE_bool('overwrite', False, 'replace files that exist')
    flags.DEFINE_bool('strict', False, 'stop at a video that cannot be used; else it is left out')
    loading.define_flags(auto=True)


def _place(words: Sequence[str], given: set[str]) -> list[tuple[str, str]]:
    """One argument that is no folder is the video; folders, and several, are videos."""
    alone = len(words) == 1 and not pathlib.Path(words[0]).is_dir()
    return [('video' if alone else 'videos', word) for word in words]


def main(argv: Sequence[str]) -> int | None:
    """Reads the flags, summarizes, writes, and says what was chosen and where it is.

    Returns:
        The exit code, as `outputs.write_all`.
    """
    given = flags.FLAGS
    with command_line.needing('video', 'summarizing videos'):
        from trsum_jax.video import outputs, planning, recutting
        from trsum_jax.video.encoders import loading
    keep, drop = recutting.parse_marks(given.keep, given.drop)
    videos, also, targets, whole = planning.plan(given)
    left_out = None if given.strict or len([*videos, *also]) == 1 else {}
    summaries = summarize_all(
        videos,
        also=also,
        encoder=loading.from_flags(given),
        checkpoint=given.checkpoint,
        workdir=given.workdir,
        budget=BUDGET if given.budget is None else given.budget,
        seconds=given.seconds,
        shortest=given.shortest,
        keep=keep,
        drop=drop,
        choice=given.choice,
        rate=given.rate,
        seed=given.seed,
        people=given.people,
        left_out=left_out,
        any_encoder=given.any_encoder,
        quick=given.quick,
        fast=given.fast,
    )
    places = dict(zip(videos, targets, strict=True))
    planned = [(dataclasses.replace(one, crossfade=given.crossfade), places[one.path]) for one in summaries]
    work = planned, whole, given.sound, left_out, len(videos) + len(also), given.people
    # JAX holds memory that films take, and nothing is computed by it from here on. `--quick` has it with an
    # encoder that is a network, and else not.
    return memory.run_anew(outputs.write_all, *work) if sys.modules.get('jax') else outputs.write_all(*work)


def _distinct(paths: Sequence[str | pathlib.Path]) -> list[pathlib.Path]:
    return list(dict.fromkeys(map(pathlib.Path, paths)))


if __name__ == '__main__':
    command_line.run(main, define_flags, arguments=_place, common=COMMON)
