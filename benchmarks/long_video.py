"""A long rendered video through the whole of `summarize`: time by phase and greatest memory.

python -m benchmarks.long_video --json=FILE [--hours=2]
"""

import argparse
import json
import pathlib
import sys
import tempfile
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from tqdm import tqdm

from benchmarks import films

FPS, HEIGHT, WIDTH = 10, 180, 320
RATE = 22_050


def pictures(hours: float, seed: int = 0) -> Iterator[np.ndarray]:
    """Cuts every 3 to 20 s between 40 recurring places, each with boxes and something that moves."""
    rng = np.random.default_rng(seed)
    places = []
    for _ in range(40):
        place = np.empty((HEIGHT, WIDTH, 3), np.uint8)
        place[:] = rng.integers(0, 256, 3)
        for y, x in zip(rng.integers(0, HEIGHT - 60, 15), rng.integers(0, WIDTH - 80, 15), strict=True):
            place[y : y + rng.integers(10, 60), x : x + rng.integers(10, 80)] = rng.integers(0, 256, 3)
        places.append(place)
    left = round(hours * 3600 * FPS)
    while left:
        place, colour = places[rng.integers(40)], rng.integers(0, 256, 3)
        x, y, speed = rng.integers(0, WIDTH), rng.integers(0, HEIGHT - 40), rng.integers(-6, 7)
        length = min(left, int(rng.integers(3 * FPS, 20 * FPS)))
        for i in range(length):
            picture = place.copy()
            at = (x + speed * i) % (WIDTH - 40)
            picture[y : y + 40, at : at + 40] = colour
            yield picture
        left -= length


def render(path: pathlib.Path, hours: float) -> None:
    """Writes the video with a tone that changes every second."""
    with av.open(str(path), 'w') as container:
        video = container.add_stream('libx264', rate=FPS, options={'preset': 'ultrafast'})
        video.height, video.width, video.pix_fmt = HEIGHT, WIDTH, 'yuv420p'
        audio = container.add_stream('aac', rate=RATE, layout='mono')
        total = round(hours * 3600 * FPS)
        for i, picture in enumerate(tqdm(pictures(hours), total=total, desc='rendering', unit='frame')):
            frame = av.VideoFrame.from_ndarray(picture, format='rgb24')
            frame.pts = i
            container.mux(video.encode(frame))
            if i % FPS == 0:
                pitch = 220 * 2 ** (i // FPS % 24 / 12)
                tone = 0.2 * np.sin(2 * np.pi * pitch * np.arange(RATE) / RATE)
                sound = av.AudioFrame.from_ndarray(tone[None].astype(np.float32), 'fltp', 'mono')
                sound.sample_rate, sound.pts = RATE, i // FPS * RATE
                sound.time_base = Fraction(1, RATE)
                container.mux(audio.encode(sound))
        container.mux(video.encode())
        container.mux(audio.encode())


def run(*flags: str) -> dict[str, Any]:
    """Runs the command; what `films.timed` says of it."""
    return films.timed([sys.executable, '-m', 'trsum_jax.summarize', *flags])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--json', required=True, type=pathlib.Path, help='where the figures go')
    parser.add_argument('--hours', type=float, default=2.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        video, workdir = pathlib.Path(folder) / 'long.mp4', f'{folder}/workdir'
        render(video, given.hours)
        size = video.stat().st_size
        trained = run(f'--video={video}', f'--output={folder}/a.mp4', f'--workdir={workdir}')
        scored = run(f'--video={video}', f'--output={folder}/b.mp4', f'--checkpoint={workdir}')
    figures = {
        'hours': given.hours,
        'frames': round(given.hours * 3600 * FPS),
        'size': [WIDTH, HEIGHT],
        'bytes': size,
        'training': trained,
        'with_checkpoint': scored,
    }
    given.json.write_text(json.dumps(figures, indent=2) + '\n', encoding='utf-8')
    print(json.dumps(figures, indent=2))


if __name__ == '__main__':
    main()
