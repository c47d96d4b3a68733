"""The video of the README's picture: slow pans over pictures that come with scikit-image, and a tone.

python docs/pictures/example_video.py example.mp4
"""

import sys
from fractions import Fraction

import av
import numpy as np
from PIL import Image
from skimage import data

FPS, HEIGHT, WIDTH, RATE = 25, 270, 480, 48_000
PICTURES = ('astronaut', 'rocket', 'chelsea', 'coffee', 'rocket', 'hubble_deep_field', 'astronaut', 'cat')
PICTURES += ('coffee', 'hubble_deep_field', 'rocket', 'astronaut')


def pan(picture: np.ndarray, rng: np.random.Generator, seconds: float):
    """Moves a window of the screen's shape across a picture, from one random place to another."""
    image = Image.fromarray(picture)
    high = min(image.height, image.width * HEIGHT / WIDTH)
    sizes, places = rng.uniform(0.55, 0.95, 2) * high, rng.uniform(0, 1, (2, 2))
    for at in np.linspace(0, 1, round(seconds * FPS)):
        size = sizes[0] + at * (sizes[1] - sizes[0])
        x, y = (places[0] + at * (places[1] - places[0])) * (
            image.width - size * WIDTH / HEIGHT,
            image.height - size,
        )
        box = (x, y, x + size * WIDTH / HEIGHT, y + size)
        yield np.asarray(image.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR, box=box))


def main(path: str) -> None:
    """Writes the video."""
    rng, count = np.random.default_rng(0), 0
    with av.open(path, 'w') as container:
        video = container.add_stream('libx264', rate=FPS)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, 'yuv420p'
        audio = container.add_stream('aac', rate=RATE, layout='mono')
        for name in PICTURES:
            for picture in pan(getattr(data, name)(), rng, rng.uniform(4, 9)):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format='rgb24')
                frame.pts, frame.time_base, count = count, Fraction(1, FPS), count + 1
                container.mux(video.encode(frame))
        seconds = np.arange(count * RATE // FPS) / RATE
        tone = 0.1 * np.sin(2 * np.pi * 220 * 2 ** (np.floor(seconds / 2) % 5 / 5) * seconds)
        sound = av.AudioFrame.from_ndarray(tone[None].astype(np.float32), format='fltp', layout='mono')
        sound.sample_rate, sound.pts = RATE, 0
        container.mux(audio.encode(sound))
        for stream in (video, audio):
            container.mux(stream.encode())


if __name__ == '__main__':
    main(sys.argv[1])
