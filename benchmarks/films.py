"""Films of any size, codec and length: time and memory of what reads them, beside decoding alone.

python -m benchmarks.films --json=FILE [--sizes 1080p 4k] [--codecs h264 hevc] [--minutes 2 10 120]

For every film, in turn: decoding alone (FFmpeg's own program where there is one, else PyAV), extract,
extract --fast, summarize --quick, --quick --fast, and summarize as it comes. FILE is written after every
row; a row that it has is not measured again, so that what was stopped goes on. Films are made in a folder of
their own (--folder keeps them) from a piece of 16 s, which is repeated without encoding it again. What is
light to decode makes more of the work beside it: --quality=rich has ten times as many bits, as cameras write;
--videos measures films of your own.
"""

import argparse
import concurrent.futures
import contextlib
import itertools
import json
import multiprocessing
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any

import av
import numpy as np
from tqdm import tqdm

from benchmarks import measure
from trsum_jax.files import replacing, write_json

SIZES = {'180p': (320, 180), '720p': (1280, 720), '1080p': (1920, 1080), '4k': (3840, 2160)}
CODECS = {'h264': 'libx264', 'hevc': 'libx265'}
# How hard the encoder tries, and at what quality. The first, of 1080p .8 Mbit/s, is light to decode.
QUALITIES = {'light': ('veryfast', '22'), 'rich': ('medium', '18')}
# A whole number of frames of pictures and of sound.
PIECE, FPS, RATE, SAMPLES = 16, 24, 48_000, 1024
# How the bars of `summarize` begin, in order.
PHASES = ('looking at', 'learning', 'writing')
WORKS = {
    'extract': ['extract', '--videos={video}', '--output={out}/f.h5'],
    'extract --fast': ['extract', '--videos={video}', '--output={out}/f.h5', '--fast'],
    'summarize --quick': ['summarize', '--video={video}', '--output={out}/s.mp4', '--quick'],
    'summarize --quick --fast': [
        *('summarize', '--video={video}', '--output={out}/s.mp4', '--quick', '--fast'),
    ],
    'summarize': ['summarize', '--video={video}', '--output={out}/s.mp4'],
}
DECODING = 'decoding alone'
_DECODE = """
import sys, av
with av.open(sys.argv[1]) as container:
    stream = container.streams.video[0]
    stream.thread_type = 'AUTO'
    for _ in container.decode(stream):
        pass
"""


def pictures(width: int, height: int, seed: int = 0) -> Iterator[av.VideoFrame]:
    """A piece: scenes of 2 to 5 s, each a texture that pans, with grain."""
    rng = np.random.default_rng(seed)
    grain = [rng.normal(0, 2.5, (height, width)).astype(np.int16) for _ in range(5)]
    left = PIECE * FPS
    while left:
        length = min(left, int(rng.integers(2 * FPS, 5 * FPS)))
        coarse = rng.integers(30, 226, (height // 24 + 2, width // 24 + 8), np.uint8)
        texture = av.VideoFrame.from_ndarray(coarse, 'gray').reformat(
            2 * width, height, 'gray', interpolation='BICUBIC'
        )
        luma, speed = texture.to_ndarray().astype(np.int16), rng.uniform(-width / 300, width / 300)
        colours = rng.integers(90, 166, 2)
        for i in range(length):
            place = int(width / 2 + speed * (i - length / 2))
            seen = np.clip(luma[:, place : place + width] + grain[i % 5], 0, 255).astype(np.uint8)
            chroma = np.repeat(colours.astype(np.uint8), height // 4)[:, None].repeat(width, axis=1)
            yield av.VideoFrame.from_ndarray(np.concatenate([seen, chroma]), 'yuv420p')
        left -= length


def make_piece(path: pathlib.Path, size: str, codec: str, quality: str = 'light') -> None:
    """Encodes a piece, with a tone; key frames as the encoder sets them."""
    width, height = SIZES[size]
    preset, crf = QUALITIES[quality]
    options = {'preset': preset, 'crf': crf} | ({'x265-params': 'log-level=none'} if codec == 'hevc' else {})
    with replacing(path) as partial, av.open(str(partial), 'w', format='mp4') as container:
        video = container.add_stream(CODECS[codec], rate=FPS, width=width, height=height, options=options)
        sound = container.add_stream('aac', rate=RATE, layout='mono')
        drawn = tqdm(pictures(width, height), f'piece of {path.stem}', PIECE * FPS, unit='frame')
        for number, frame in enumerate(drawn):
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        for place in range(0, PIECE * RATE, SAMPLES):
            tone = 0.2 * np.sin(2 * np.pi * 440 * (place + np.arange(SAMPLES)) / RATE)
            heard = av.AudioFrame.from_ndarray(tone[None].astype(np.float32), 'fltp', 'mono')
            heard.sample_rate, heard.pts, heard.time_base = RATE, place, Fraction(1, RATE)
            container.mux(sound.encode(heard))
        container.mux(sound.encode())


def repeat(piece: pathlib.Path, path: pathlib.Path, minutes: float) -> None:
    """Writes the packets of a piece over and over, whole pieces up to at least so many minutes."""
    times = int(np.ceil(minutes * 60 / PIECE))
    with (
        av.open(str(piece)) as source,
        replacing(path) as partial,
        av.open(str(partial), 'w', format='mp4') as container,
    ):
        kinds = source.streams.video[0], source.streams.audio[0]
        streams = {kind.index: container.add_stream_from_template(kind) for kind in kinds}
        for number in tqdm(range(times), f'making {path.stem}', unit='piece'):
            source.seek(0, any_frame=False, backward=True)
            for packet in source.demux(kinds):
                # What the encoder of sound sets before the first sample belongs to the first piece alone.
                early = packet.pts is not None and packet.pts < 0 and packet.stream.type == 'audio'
                if packet.dts is None or (early and number):
                    continue
                shift = int(number * PIECE / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                packet.stream = streams[packet.stream.index]
                container.mux(packet)


def timed(command: Sequence[str]) -> dict[str, Any]:
    """Runs a command to its end; its messages go to this one's.

    Args:
        command: a program and its arguments.

    Returns:
        `seconds`, `processor_seconds` (user and system, of all its threads), `peak_bytes`, and of a command
        with bars `phases`: the seconds from one of `PHASES` to the next, and before the first.
    """
    started, begun = time.perf_counter(), {}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    # A bar is redrawn by a carriage return, which text mode takes for the end of a line.
    with process.stderr:
        for line in process.stderr:
            sys.stderr.write(line)
            for phase in PHASES:
                if re.match(phase, line):
                    begun.setdefault(phase, time.perf_counter() - started)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f'failed with exit code {process.returncode}: {" ".join(command)}')
    edges = [0.0, *begun.values(), seconds]
    names = ['start', *begun] if begun else []
    return {
        'seconds': round(seconds, 2),
        'processor_seconds': round(used.ru_utime + used.ru_stime, 2),
        'peak_bytes': used.ru_maxrss * (1 if sys.platform == 'darwin' else 1024),
        'phases': {name: round(b - a, 2) for name, a, b in zip(names, edges, edges[1:], strict=False)},
    }


def elsewhere(work: Callable[..., Any], *arguments: Any) -> Any:
    """What a function of a module returns, from a process of its own: commands begin with this one's peak."""
    context = multiprocessing.get_context('spawn')
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        return pool.submit(work, *arguments).result()


def decoding(video: pathlib.Path) -> list[str]:
    """The command that decodes the pictures of a film and does nothing with them."""
    if program := shutil.which('ffmpeg'):
        return [program, '-v', 'error', '-i', str(video), '-map', '0:v:0', '-f', 'null', '-']
    return [sys.executable, '-c', _DECODE, str(video)]


def films(
    given: argparse.Namespace, folder: pathlib.Path
) -> list[tuple[str, pathlib.Path, tuple[str, str, float] | None]]:
    """Names and files of the films asked for, and of each that is rendered its size, codec and minutes."""
    if given.videos:
        return [(str(video), video, None) for video in given.videos]
    # Rows of before there were several qualities have none in their names.
    rich = '' if given.quality == 'light' else f'-{given.quality}'
    return [
        (
            f'{size} {codec}{rich}, {minutes:g} min',
            folder / f'{size}-{codec}-{given.quality}-{minutes:g}min.mp4',
            (size, codec, minutes),
        )
        for size, codec, minutes in itertools.product(given.sizes, given.codecs, given.minutes)
    ]


def row(found: dict[str, Any], alone: dict[str, Any]) -> dict[str, Any]:
    """A line of the table."""
    looking = found['phases'].get('looking at')
    return {
        'film': found['film'],
        'work': found['work'],
        's': found['seconds'],
        'x decoding': found['seconds'] / alone['seconds'],
        'processor s': found['processor_seconds'],
        'x its': found['processor_seconds'] / alone['processor_seconds'],
        'of it looking, s': '' if looking is None else looking,
        'learning, s': found['phases'].get('learning', ''),
        'writing, s': found['phases'].get('writing', ''),
        'peak MB': round(found['peak_bytes'] / 1e6),
    }


def main() -> None:
    """Makes the films, measures, writes JSON after every row, and prints a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--json', type=pathlib.Path, required=True, help='where the figures go')
    parser.add_argument('--sizes', nargs='+', choices=SIZES, default=['1080p'])
    parser.add_argument('--codecs', nargs='+', choices=CODECS, default=['h264'])
    parser.add_argument('--minutes', nargs='+', type=float, default=[2.0])
    parser.add_argument('--quality', choices=QUALITIES, default='light')
    parser.add_argument('--videos', nargs='+', type=pathlib.Path, help='films of your own, not rendered ones')
    parser.add_argument('--works', nargs='+', choices=WORKS, default=list(WORKS))
    parser.add_argument('--folder', type=pathlib.Path, help='keeps the films, for another time')
    given = parser.parse_args()
    if absent := [str(video) for video in given.videos or () if not video.is_file()]:
        parser.error(f'--videos: expected files, found none at {", ".join(absent)}')
    machine = elsewhere(measure.machine)
    rows = json.loads(given.json.read_text())['rows'] if given.json.exists() else []
    with contextlib.ExitStack() as stack:
        folder = given.folder or pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        for film, video, recipe in films(given, folder):
            missing = [
                work
                for work in (DECODING, *given.works)
                if not any(one['film'] == film and one['work'] == work for one in rows)
            ]
            if missing and recipe and not video.exists():
                size, codec, minutes = recipe
                piece = folder / f'{size}-{codec}-{given.quality}-piece.mp4'
                if not piece.exists():
                    elsewhere(make_piece, piece, size, codec, given.quality)
                elsewhere(repeat, piece, video, minutes)
            for work in missing:
                print(f'\n{film}: {work}', file=sys.stderr, flush=True)
                with tempfile.TemporaryDirectory() as out:
                    command = decoding(video)
                    if work != DECODING:
                        name, *flags = (word.format(video=video, out=out) for word in WORKS[work])
                        command = [sys.executable, '-m', f'trsum_jax.{name}', *flags]
                    rows.append({'film': film, 'work': work} | timed(command))
                found = {'rows': rows, 'decoded_by': pathlib.Path(decoding(video)[0]).name}
                write_json(given.json, {'benchmark': 'films', 'machine': machine, **found})
            if recipe and not given.folder:
                video.unlink(missing_ok=True)
    alone = {one['film']: one for one in rows if one['work'] == DECODING}
    print(measure.table([row(one, alone[one['film']]) for one in rows]))


if __name__ == '__main__':
    main()
