"""A video in, its summary out: `python -m trsum_jax.summarize --video=holiday.mp4 --output=summary.mp4`."""

import collections
import pathlib
import sys
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import tqdm
from absl import flags

from trsum_jax import command_line
from trsum_jax.errors import InputError

if TYPE_CHECKING:
    import ml_collections

    from trsum_jax.data.records import Video
    from trsum_jax.training.trained import Trained
    from trsum_jax.video import outputs
    from trsum_jax.video.encoders import Encoder
    from trsum_jax.video.summary import Summary

BUDGET, RATE = 0.15, 2.0


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
    encoder: 'str | Encoder' = 'descriptor',
    checkpoint: str | pathlib.Path | None = None,
    workdir: str | pathlib.Path | None = None,
    budget: float = BUDGET,
    seconds: float | None = None,
    rate: float = RATE,
    seed: int = 0,
    config: 'ml_collections.ConfigDict | None' = None,
) -> 'list[Summary]':
    """Summarizes videos with a model trained on them and without labels, or with one trained before.

    Progress, and what a person should know (damage, scores without an order), goes to stderr.

    Args:
        videos: what to summarize.
        also: more videos to train on.
        encoder: what describes the pictures: a name of `encoders.load`, or what it gives.
        checkpoint: the workdir of a training; nothing is trained then.
        workdir: keeps the training, to be the `checkpoint` of other videos; by default it is not kept.
        budget: a summary's greatest share of its video.
        seconds: its greatest length, in place of `budget`.
        rate: pictures looked at a second.
        seed: of the training; the same one gives the same summaries.
        config: how to train, in place of `own_videos.small_config`.

    Returns:
        A summary for each of `videos`.

    Raises:
        InputError: a video that cannot be read, a checkpoint of another encoder, options that make no sense.
    """
    from trsum_jax.training import own_videos, trained
    from trsum_jax.video import choosing, encoders

    choosing.check(budget, seconds)
    if not 0 < rate < float('inf'):
        raise InputError(f'--rate={rate:g}: expected samples per second, above 0')
    if seed < 0:
        raise InputError(f'--seed={seed}: expected a whole number from 0')

    scorer = None
    if checkpoint is not None:
        if workdir is not None or also:
            raise InputError(
                '--checkpoint: expected to score only, found what is for training (--workdir, …)'
            )
        scorer = trained.load(pathlib.Path(checkpoint))
    if isinstance(encoder, str):
        encoder = encoders.load(encoder)
    if scorer is not None:
        _check_encoder(scorer, encoder.name)
    paths = _distinct([*videos, *also])
    limits = {'share': budget} if seconds is None else {'longest': seconds}
    described, blank = _describe(paths, encoder, rate, limits)
    moving = {path: video for path, video in described.items() if not own_videos.alike(video.features)}
    scores = {path: np.full(video.n_steps, 0.5, np.float32) for path, video in described.items()}
    if moving:
        if scorer is not None:
            found = _with_checkpoint(scorer, moving, encoder.name)
        else:
            found = _with_training(moving, encoder.name, workdir, seed, config)
        scores |= found
    summaries = []
    for path in map(pathlib.Path, videos):
        video = described[path]
        if path not in moving:
            _tell(
                path,
                f'nothing tells its parts apart: {video.n_steps} pictures were looked at, all alike',
            )
        elif blank[path].any():
            _tell(path, f'{blank[path].sum()} pictures are blank (black, or a fade) and score 0')
            scores[path] = np.where(blank[path], 0, scores[path])
        summary, notes = choosing.make_summary(path, video, scores[path], budget=budget, seconds=seconds)
        for note in notes:
            _tell(path, note)
        summaries.append(summary)
    return summaries


def _check_encoder(scorer: 'Trained', found: str) -> None:
    place = f'--checkpoint={scorer.workdir}'
    if scorer.encoder not in (None, found):
        raise InputError(
            f'{place}: was trained on features of the encoder {scorer.encoder}, found {found}; choose that '
            'one by --encoder, or another checkpoint'
        )
    if scorer.encoder is None and found.startswith('descriptor'):
        raise InputError(
            f'{place}: was trained on a file that does not say its encoder, so not on {found}, which always '
            'says so; choose the one that made it by --encoder, or another checkpoint'
        )
    if scorer.encoder is None:
        _tell(scorer.workdir, f'does not say its encoder; scores mean something only if that was {found}')


def _describe(
    paths: Sequence[pathlib.Path], encoder: 'Encoder', rate: float, limits: dict[str, float]
) -> 'tuple[dict[pathlib.Path, Video], dict[pathlib.Path, np.ndarray]]':
    """The videos, and which of their steps are blank."""
    from trsum_jax.video import describing, reading

    for path in paths:
        reading.VideoReader(path).close()
    described, blank = {}, {}
    for number, path in enumerate(paths, start=1):
        title = f'looking at {path.name}' + (f', {number} of {len(paths)}' if len(paths) > 1 else '')
        noting, blanks = describing.noting_blanks(encoder)
        with tqdm.tqdm(desc=title, bar_format=describing.BAR) as bar:
            video, notes = describing.describe(path, f'video_{number}', noting, rate=rate, bar=bar, **limits)
        for note in notes:
            _tell(path, note)
        described[path] = video
        blank[path] = np.array(blanks)[video.picks if encoder.clip > 1 else slice(None)]
    return described, blank


def _with_checkpoint(
    scorer: 'Trained', videos: 'dict[pathlib.Path, Video]', encoder: str
) -> dict[pathlib.Path, np.ndarray]:
    from trsum_jax.data.records import Dataset
    from trsum_jax.training import trained

    found = {}
    for path, video in tqdm.tqdm(videos.items(), 'judging the videos', unit='video', delay=1, leave=False):
        # One at a time: a model of any size then holds one video's segments.
        found[path] = trained.score(scorer, Dataset(str(path), {video.key: video}, encoder=encoder))[
            video.key
        ]
    return found


def _with_training(
    videos: 'dict[pathlib.Path, Video]',
    encoder: str,
    workdir: str | pathlib.Path | None,
    seed: int,
    config: 'ml_collections.ConfigDict | None',
) -> dict[pathlib.Path, np.ndarray]:
    from trsum_jax.data.records import Dataset
    from trsum_jax.training import own_videos

    if config is None:
        config = own_videos.small_config(list(videos.values()), seed)
    dataset = Dataset('the videos', {video.key: video for video in videos.values()}, encoder=encoder)
    with tempfile.TemporaryDirectory(prefix='trsum-') as temporary:
        scores = own_videos.train_and_score(dataset, config, pathlib.Path(workdir or temporary))
    return {path: scores[video.key] for path, video in videos.items()}


def plan(
    given: flags.FlagValues,
) -> 'tuple[list[pathlib.Path], list[pathlib.Path], list[outputs.Targets]]':
    """What the flags ask for: the videos to summarize, those that are only trained on, and all targets.

    Raises:
        InputError: flags that contradict each other, no video to open, or files that exist, clash or cannot
            be made.
    """
    from trsum_jax.video import describing, outputs, reading

    if not given.video and not given.videos:
        raise InputError('expected --video=FILE, or --videos=DIR for all videos of a folder; found neither')
    if given.seconds is not None and given.budget is not None:
        raise InputError('expected --budget or --seconds, found both; leave one out')
    folder = describing.find_videos(given.videos) if given.videos else []
    # An empty name: not wanted. None: a name is made, where the part is written by default.
    named = {name: given[name].value for name in (*outputs.BESIDE, 'timeline')}
    if given.video:
        # First of all: names are made from its own.
        reading.VideoReader(given.video).close()
        videos = [pathlib.Path(given.video)]
        also = [path for path in folder if path.resolve() != videos[0].resolve()]
        output = pathlib.Path(given.output or videos[0].with_name(f'{videos[0].stem}-summary.mp4'))
        wanted = {name: pathlib.Path(value) for name, value in named.items() if value}
        made = {name: output.with_suffix(end) for name, end in outputs.BESIDE.items() if named[name] is None}
        targets = [outputs.Targets(output, **wanted, **made)]
    else:
        if several := [name for name, value in named.items() if value]:
            raise InputError(
                f'--{several[0]}={named[several[0]]}: expected no name of one file, found --videos of '
                f'{len(folder)}; the files are named after the videos'
            )
        videos, also, targets = folder, [], []
        place = pathlib.Path(given.output or folder[0].parent / 'summaries')
        if place.suffix.lower() == '.mp4' or place.is_file():
            raise InputError(f'--output={place}: expected a folder, for --videos, found the name of a file')
        place.mkdir(parents=True, exist_ok=True)
        stems = collections.Counter(path.stem for path in videos)
        for path in videos:
            name = f'{path.stem if stems[path.stem] == 1 else path.name}-summary'
            made = {kind: place / (name + end) for kind, end in outputs.BESIDE.items() if named[kind] is None}
            targets.append(outputs.Targets(place / f'{name}.mp4', **made))
    outputs.check(targets, [*videos, *also], given.overwrite)
    return videos, also, targets


def define_flags() -> None:
    """Declares the command's flags."""
    from trsum_jax.video import encoders

    flags.DEFINE_string('video', None, 'the video to summarize')
    flags.DEFINE_string('videos', None, 'folder of videos to train on; without --video each is summarized')
    flags.DEFINE_string('output', None, 'summary (.mp4), NAME-summary.mp4 by default; a folder for --videos')
    flags.DEFINE_string('checkpoint', None, 'workdir of a training: score with it, train nothing')
    flags.DEFINE_string('workdir', None, 'keep the training here, to be the --checkpoint of other videos')
    flags.DEFINE_float('budget', None, f'greatest share of the video in the summary; {BUDGET} by default')
    flags.DEFINE_float('seconds', None, 'greatest length of the summary, in place of --budget')
    flags.DEFINE_string('page', None, 'page to look at (.html), beside the summary by default; empty: none')
    flags.DEFINE_string('json', None, 'scores, shots and times (.json), as --page')
    flags.DEFINE_string('storyboard', None, 'picture of key frames (.png), as --page')
    flags.DEFINE_string('timeline', None, 'timeline for an editor (.otio or .edl); none by default')
    flags.DEFINE_float('rate', RATE, 'pictures looked at a second')
    flags.DEFINE_integer('seed', 0, 'of the training; the same seed gives the same summary')
    flags.DEFINE_bool('overwrite', False, 'replace files that exist')
    encoders.define_flags()


def main(argv: Sequence[str]) -> int:
    """Reads the flags, summarizes, writes, and says what was chosen and where it is."""
    if len(argv) > 1:
        raise InputError(f'expected only --flags, found {" ".join(argv[1:])!r}; did you mean --video=…?')
    given = flags.FLAGS
    try:
        from trsum_jax.video import encoders, outputs
    except ModuleNotFoundError as error:
        package = (error.name or '').split('.')[0]
        if package == 'trsum_jax':
            raise
        raise InputError(
            f'summarizing videos needs the package {package}, which is not installed; '
            'run: pip install "trsum_jax[video]"'
        ) from error
    videos, also, targets = plan(given)
    summaries = summarize_all(
        videos,
        also=also,
        encoder=encoders.from_flags(given),
        checkpoint=given.checkpoint,
        workdir=given.workdir,
        budget=BUDGET if given.budget is None else given.budget,
        seconds=given.seconds,
        rate=given.rate,
        seed=given.seed,
    )
    for path, summary, of_one in zip(videos, summaries, targets, strict=True):
        for note in outputs.write(summary, of_one):
            _tell(path, note)
        share = summary.length / summary.duration
        print(f'{path.name}: {summary.length:.1f} of {summary.duration:.1f} s ({share:.0%})\n')
        print(outputs.table(summary), end='\n\n')
        print('written: ' + ', '.join(map(str, of_one.files().values())), end='\n\n')
    return 0


def _distinct(paths: Sequence[str | pathlib.Path]) -> list[pathlib.Path]:
    return list(dict.fromkeys(map(pathlib.Path, paths)))


def _tell(path: pathlib.Path, note: str) -> None:
    print(f'note: {path}: {note}', file=sys.stderr)


if __name__ == '__main__':
    command_line.run(main, define_flags)
