"""Video files to records: frames sampled, encoded and cut into shots, one file at a time."""

import contextlib
import dataclasses
import math
import pathlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence, Set

import numpy as np
import tqdm

from trsum_jax.data import records, shots, standard
from trsum_jax.errors import InputError
from trsum_jax.files import shown, tell
from trsum_jax.video import cuts, opening, reading, sampling, skimming
from trsum_jax.video.encoders.encoder import Encoder, encode_video

RATE = 2.0
BAR = '{desc}: {n:.0f} of {total_fmt} s |{bar}| {elapsed}, {remaining} left'
# Of 255: how little the pixels of a blank picture differ.
_BLANK = 4.0
# A spread below this share of the features' length is the noise of a codec. Stills in h264 had up to .005 by
# the descriptor and .011 by EfficientNet-Lite0; a fixed camera's film had .21 and .57.
_SAME = 2e-2
# Seconds; shots are not cut shorter for the sake of a short summary, which shows a piece of one then.
_WATCHABLE = 2.0


def describe(
    path: pathlib.Path,
    key: str,
    encoder: Encoder,
    *,
    rate: float = RATE,
    method: str = 'kts',
    longest: float = math.inf,
    share: float = 1.0,
    bar: tqdm.tqdm | None = None,
    watch: cuts.Watcher | None = None,
    fast: bool = False,
) -> tuple[records.Video, list[str]]:
    """Samples, encodes and segments one video.

    Args:
        path: the video.
        key: its name among others.
        encoder: of the sampled pictures.
        rate: samples per second.
        method: `kts` or `uniform`, how shots are found.
        longest: seconds of a summary, into which every shot is to fit if it can with 2 s or more.
        share: of the video in a summary, as `longest`.
        bar: shows the seconds done, of those that the file announces.
        watch: looks at every frame that is decoded.
        fast: decode key frames alone, where the file tells them (`skimming.KeyFrameReader`).

    Returns:
        the video, named after its file (of one step if it is that short), and what the reader had to note.

    Raises:
        InputError: it cannot be read, or its features are not finite.
    """

    def read(reader: reading.VideoReader) -> tuple[reading.VideoReader, np.ndarray, np.ndarray]:
        def progress(seconds: float) -> None:
            if bar is not None:
                bar.total = max(round(reader.announced), seconds) if reader.announced else None
                bar.update(seconds - bar.n)

        with reader, opening.naming(path):
            picks, features = encode_video(reader, encoder, rate, progress=progress)
        progress(reader.duration)
        return reader, picks, features

    if fast:
        reader, picks, features = read(skimming.KeyFrameReader(path, watch=watch))
    elif watch is not None or encoder.clip > 1:
        reader, picks, features = read(reading.VideoReader(path, watch=watch))
    else:
        found = None
        with contextlib.suppress(sampling.MisledError):
            found = read(sampling.SampleReader(path))
        reader, picks, features = found or read(reading.VideoReader(path))
    longest = max(min(longest, share * reader.duration), _WATCHABLE)
    video = records.Video(
        key=key,
        picks=picks,
        n_frames=reader.n_frames,
        features=features,
        change_points=shots.detect_short(
            features,
            picks,
            reader.n_frames,
            rate=len(picks) / reader.duration if fast else rate,
            method=method,
            longest=longest,
        ),
        name=shown(path.name),
        fps=reader.fps,
        frame_times=np.array(reader.frame_times),
        clock=reader.clock,
    )
    return video, reader.notes


def alike(features: np.ndarray) -> bool:
    """Whether all steps of a video look the same, so that there is nothing to learn or to order.

    Args:
        features: [n_steps, D] float32.

    Returns:
        True for a single step, all-black frames, a still picture.
    """
    mean = sum(some.sum(axis=0) for some in standard.in_float64(features)) / len(features)
    spread = sum(np.sum((some - mean) ** 2) for some in standard.in_float64(features))
    return bool(spread <= _SAME**2 * sum(np.sum(some**2) for some in standard.in_float64(features)))


def noting_blanks(encoder: Encoder) -> tuple[Encoder, list[bool]]:
    """The encoder, and what it finds of every picture that it prepares from now on: whether it is blank.

    A blank picture, black or in the midst of a fade, is unlike all others, so that a method that seeks the
    distinctive would show it.

    Args:
        encoder: any.

    Returns:
        The encoder that takes notes, and the notes: of every sampled picture, or of every frame where `clip`
        is above 1.
    """
    notes = []

    def prepare(picture: np.ndarray) -> np.ndarray:
        step = max(1, min(picture.shape[:2]) // 64)
        notes.append(bool(picture[::step, ::step].std(axis=(0, 1)).max() < _BLANK))
        return encoder.prepare(picture)

    return dataclasses.replace(encoder, prepare=prepare), notes


def describe_all(
    paths: Sequence[pathlib.Path],
    encoder: Encoder,
    *,
    rate: float,
    limits: Mapping[str, float],
    check: Callable[[pathlib.Path, records.Video], Sequence[str]] | None = None,
    left_out: dict[pathlib.Path, str] | None = None,
    fast: bool = False,
    watched: Set[pathlib.Path] | None = None,
) -> tuple[
    dict[pathlib.Path, records.Video], dict[pathlib.Path, np.ndarray], dict[pathlib.Path, cuts.Changes]
]:
    """Describes videos one after another; progress and notes go to stderr.

    Args:
        paths: the videos; all are opened before the first one is described.
        encoder: of the sampled pictures.
        rate: samples per second.
        limits: `longest` or `share`, as in `describe`.
        check: looks at each described video and gives notes; by InputError it says that it cannot be used.
        left_out: gets the videos that cannot be used, and why; where None, such a video is an error.
        fast: as in `describe`.
        watched: those of `paths` that are to be cut, and so are looked at frame by frame; None for all.

    Returns:
        By path, the videos; which steps of each are blank, [n_steps] bool; and how its frames change. The two
        last have those alone that are watched.

    Raises:
        InputError: a video that cannot be used.
    """

    @contextlib.contextmanager
    def leaving_out(path: pathlib.Path) -> Iterator[None]:
        try:
            yield
        except InputError as error:
            if left_out is None:
                raise
            left_out[path] = str(error)
            print(f'left out: {error}', file=sys.stderr)

    for path in paths:
        with leaving_out(path):
            reading.VideoReader(path).close()
    described, blank, changes = {}, {}, {}
    paths = [path for path in paths if path not in (left_out or ())]
    for number, path in enumerate(paths, start=1):
        title = f'looking at {shown(path.name)}' + (f', {number} of {len(paths)}' if len(paths) > 1 else '')
        noting, blanks = noting_blanks(encoder)
        watcher = cuts.Watcher() if watched is None or path in watched else None
        with leaving_out(path), tqdm.tqdm(desc=title, bar_format=BAR) as bar:
            using = encoder if watcher is None else noting
            key = f'video_{number}'
            video, notes = describe(path, key, using, rate=rate, bar=bar, watch=watcher, fast=fast, **limits)
            notes = [*notes, *(check(path, video) if check else ())]
            described[path] = video
            if watcher is not None:
                changes[path] = skimming.spread(watcher.changes(), video)
                blank[path] = np.array(blanks)[video.picks if encoder.clip > 1 else slice(None)]
            for note in notes:
                tell(path, note)
    return described, blank, changes
