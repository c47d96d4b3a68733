"""Where summaries' parts begin and end, on rendered videos whose cuts are known; PySceneDetect beside it.

python -m benchmarks.cuts --json=FILE [--seconds=40] [--seed=1] [--kinds KIND ...] [--preset=NAME] [--gop=N]

PySceneDetect is asked where it is installed (pip install scenedetect opencv-python-headless).
"""

import argparse
import collections
import dataclasses
import json
import pathlib
import tempfile
from collections.abc import Iterator
from fractions import Fraction

import av
import numpy as np
import tabulate
from tqdm import tqdm

from trsum_jax.video import choosing, coverage, cuts, describing, skimming
from trsum_jax.video.encoders import loading

HEIGHT, WIDTH = 64, 96
RATES = {
    '23.976': Fraction(24_000, 1001),
    '25': Fraction(25),
    '29.97': Fraction(30_000, 1001),
    '30': Fraction(30),
    '50': Fraction(50),
    'variable': None,
}
KINDS = ('still', 'moving', 'flashes', 'fades', 'cross-fades', 'moving cross-fades')
# Seconds of a fade out and in again, or of a cross-fade.
TRANSITION = 0.8
# Pixels that a box moves through.
_ROOM = WIDTH - 20
# Draws of scores; of each, one summary.
DRAWS = 5


@dataclasses.dataclass(frozen=True)
class Truth:
    """A rendered video: the first frame of every scene but the first, and frames that are no scene's own."""

    path: pathlib.Path
    starts: np.ndarray
    between: np.ndarray


class Scene:
    """Boxes on a ground with texture; it pans, and its boxes move, where it is not still."""

    def __init__(self, rng: np.random.Generator, moving: bool):
        self._ground = rng.integers(30, 226, 3) + rng.integers(-20, 21, (HEIGHT, 2 * WIDTH, 1))
        self._boxes = [
            (rng.integers(0, 48), rng.uniform(0, WIDTH), rng.uniform(-60, 60), rng.integers(20, 236, 3))
            for _ in range(6)
        ]
        self._moving, self._pan = moving, rng.uniform(-40, 40)

    def at(self, seconds: float) -> np.ndarray:
        """The picture [HEIGHT, WIDTH, 3] float."""
        seconds = seconds if self._moving else 0.0
        picture = np.roll(self._ground, int(self._pan * seconds), axis=1)[:, :WIDTH].astype(float)
        for top, left, speed, colour in self._boxes:
            # There and back: a box that jumps would be a cut for anybody.
            x = int(abs((left + speed * seconds) % (2 * _ROOM) - _ROOM))
            picture[top : top + 16, x : x + 20] = colour
        return picture


def times_of(rate: Fraction | None, seconds: float, rng: np.random.Generator) -> np.ndarray:
    """Whole thousandths of a second at a variable rate, else exact times of frames."""
    if rate is None:
        gaps = rng.integers(15, 70, int(seconds * 40))
        times = np.cumsum(np.append(0, gaps)) / 1000
        return times[times < seconds]
    return np.arange(int(seconds * rate)) / float(rate)


def pictures(
    kind: str, times: np.ndarray, rng: np.random.Generator
) -> tuple[Iterator[np.ndarray], np.ndarray, np.ndarray]:
    """The frames, where scenes begin, and which frames are in a fade: scenes of 2.2 to 6 s."""
    n, begin, starts = len(times), 0.0, [0]
    while (begin := begin + rng.uniform(2.2, 6)) < times[-1] - 2.2:
        starts.append(int(np.searchsorted(times, begin)))
    edges, between = np.array(starts[1:]), np.zeros(n, bool)
    scenes = [Scene(rng, kind not in ('still', 'cross-fades')) for _ in starts]
    flashes = {int(start + rng.integers(20, 40)) for start in starts} if kind == 'flashes' else set()
    place = np.searchsorted(edges, np.arange(n), side='right')
    half = TRANSITION / 2
    # Between the frame before a cut and the cut lies the middle of a transition.
    middles = np.array([times[edge] for edge in edges])
    apart = times[:, None] - middles if len(middles) else np.full((n, 1), np.inf)
    nearest = np.abs(apart).argmin(axis=1)
    apart = apart[np.arange(n), nearest]
    if 'fades' in kind:
        between = np.abs(apart) < half

    def draw() -> Iterator[np.ndarray]:
        for i in range(n):
            picture = scenes[place[i]].at(times[i])
            if between[i] and kind == 'fades':
                picture = picture * abs(apart[i]) / half
            elif between[i]:
                share = 0.5 + apart[i] / TRANSITION
                before, after = scenes[nearest[i]], scenes[nearest[i] + 1]
                picture = (1 - share) * before.at(times[i]) + share * after.at(times[i])
            if i in flashes:
                picture = picture * 0.2 + 200
            yield np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)

    return draw(), edges, between


def render(
    folder: pathlib.Path, kind: str, rate: str, seconds: float, seed: int, options: dict[str, str]
) -> Truth:
    """Writes one video."""
    rng = np.random.default_rng(seed)
    times = times_of(RATES[rate], seconds, rng)
    drawn, starts, between = pictures(kind, times, rng)
    path = folder / f'{kind}-{rate}.mkv'
    tick = Fraction(1, 1000) if RATES[rate] is None else 1 / RATES[rate]
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('libx264', rate=RATES[rate] or 30, options=options)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, 'yuv420p'
        stream.codec_context.time_base = tick
        for picture, time in zip(drawn, times, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format='rgb24')
            frame.pts, frame.time_base = round(time / float(tick)), tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return Truth(path, starts, between)


def scenedetect_cuts(path: pathlib.Path, times: np.ndarray) -> dict[str, np.ndarray]:
    """First frames of PySceneDetect's scenes but the first, by detector; none where it is not installed."""
    try:
        import scenedetect
    except ModuleNotFoundError:
        return {}
    detectors = {
        'ContentDetector': scenedetect.ContentDetector(),
        'AdaptiveDetector': scenedetect.AdaptiveDetector(),
        'ThresholdDetector': scenedetect.ThresholdDetector(),
    }
    found = {}
    for name, detector in detectors.items():
        # By time: at a variable rate its numbers of frames are not those of the file.
        seconds = [begin.seconds for begin, _ in scenedetect.detect(str(path), detector)][1:]
        found[name] = np.array([np.abs(times - at).argmin() for at in seconds], np.int64)
    return found


def of_boundaries(found: np.ndarray, truth: Truth, times: np.ndarray) -> dict[str, float]:
    """Of the true cuts: found exactly, within a frame; and how many found lie .5 s from any."""
    apart = np.abs(found[:, None] - truth.starts) if len(found) else np.full((1, len(truth.starts)), 10**6)
    far = [np.abs(times[one] - times[truth.starts]).min() > 0.5 for one in found]
    return {
        'cuts': len(truth.starts),
        'exact': int((apart.min(axis=0) == 0).sum()),
        'within_one': int((apart.min(axis=0) <= 1).sum()),
        'false': int(np.sum(far)),
        'off': float(np.abs(times[found][:, None] - times[truth.starts]).min(axis=0).sum())
        if len(found)
        else 0,
    }


def of_parts(parts: np.ndarray, truth: Truth, times: np.ndarray, end: float) -> dict[str, float]:
    """Parts with a bit (less than 1.5 s) of another scene, in a fade at an end, and shorter than 1.5 s."""
    edges = np.append(times, end)
    counts = collections.Counter(parts=len(parts))
    for first, last in parts:
        inside = truth.starts[(truth.starts > first) & (truth.starts <= last)]
        bits = [edges[inside] - edges[first], edges[last + 1] - edges[inside]]
        counts['foreign'] += bool(len(inside) and min(bit.min() for bit in bits) < 1.5)
        counts['fading'] += bool(truth.between[[first, last]].any())
        counts['short'] += bool(edges[last + 1] - edges[first] < 1.5 - 1e-6)
    return dict(counts)


def key_frames(path: pathlib.Path) -> np.ndarray:
    """First frames of the shots but the first, by key frames alone."""
    watcher = cuts.Watcher()
    video, _ = describing.describe(path, 'v', loading.load('descriptor'), watch=watcher, fast=True)
    changes = skimming.spread(watcher.changes(), video)
    scenes = cuts.find_scenes(video.frame_times, changes)
    return cuts.refine(video.change_points, video.picks, video.frame_times, changes, scenes)[1:, 0]


def ways_to_choose(changes: cuts.Changes) -> dict[str, dict]:
    """By name, what `make_summary` is given: for the protocol's shots and choice, and for each of ours."""
    return {'protocol': {}} | {name: {'changes': changes, 'choice': name} for name in coverage.CHOICES}


def measure(truth: Truth) -> tuple[dict, dict]:
    """Boundaries by who found them, and parts before and after."""
    watcher = cuts.Watcher()
    video, _ = describing.describe(truth.path, 'v', loading.load('descriptor'), watch=watcher)
    changes = watcher.changes()
    scenes = cuts.find_scenes(video.frame_times, changes)
    refined = cuts.refine(video.change_points, video.picks, video.frame_times, changes, scenes)
    found = {
        'KTS on the samples (before)': video.change_points[1:, 0],
        'refined': refined[1:, 0],
        'refined, --fast': key_frames(truth.path),
        'find_cuts, find_fades': scenes.starts,
    } | scenedetect_cuts(truth.path, video.frame_times)
    boundaries = {name: of_boundaries(one, truth, video.frame_times) for name, one in found.items()}
    ways = ways_to_choose(changes)
    parts: dict[str, collections.Counter] = {name: collections.Counter() for name in ways}
    for draw in range(DRAWS):
        scores = np.random.default_rng(draw).random(video.n_steps)
        for name, how in ways.items():
            summary, _ = choosing.make_summary(truth.path, video, scores, budget=0.3, **how)
            parts[name] += collections.Counter(
                of_parts(summary.parts, truth, video.frame_times, summary.duration)
            )
    return boundaries, {name: dict(one) for name, one in parts.items()}


def table(results: list[dict], what: str, kind: str) -> list[list]:
    """Sums over the rates of one kind: a row for each name."""
    sums = collections.defaultdict(collections.Counter)
    for one in results:
        if one['kind'] == kind:
            for name, counts in one[what].items():
                sums[name].update(counts)
    columns = (
        ('cuts', 'exact', 'within_one', 'false', 'off')
        if what == 'boundaries'
        else ('parts', 'foreign', 'fading', 'short')
    )
    return [[kind, name, *(counts[column] for column in columns)] for name, counts in sums.items()]


def main() -> None:
    """Renders, measures, prints two tables and writes all counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--json', type=pathlib.Path, required=True)
    parser.add_argument('--seconds', type=float, default=40.0)
    parser.add_argument('--seed', type=int, default=0, help='of the videos; those of 0 were looked at')
    parser.add_argument('--kinds', nargs='+', choices=KINDS, default=KINDS)
    parser.add_argument('--preset', default='ultrafast', help='of x264; this one sees no scenes')
    parser.add_argument('--gop', help='frames from one key frame to the next, and none for scenes')
    given = parser.parse_args()
    options = {'preset': given.preset} | ({'g': given.gop, 'sc_threshold': '0'} if given.gop else {})
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, rate in tqdm([(kind, rate) for kind in given.kinds for rate in RATES]):
            seed = 1000 * given.seed + KINDS.index(kind) * len(RATES) + list(RATES).index(rate)
            boundaries, parts = measure(
                render(pathlib.Path(folder), kind, rate, given.seconds, seed, options)
            )
            results.append({'kind': kind, 'rate': rate, 'boundaries': boundaries, 'parts': parts})
    given.json.write_text(json.dumps(results, indent=1))
    headers = {
        'boundaries': ('set', 'by', 'cuts', 'exact', 'within a frame', 'false', 's off, together'),
        'parts': ('set', '', 'parts', 'with a bit of another scene', 'ends in a fade', 'under 1.5 s'),
    }
    for what, header in headers.items():
        rows = [row for kind in given.kinds for row in table(results, what, kind)]
        print(tabulate.tabulate(rows, header, tablefmt='github'), end='\n\n')


if __name__ == '__main__':
    main()
