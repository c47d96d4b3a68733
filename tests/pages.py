"""A rendered video, its summary and the summary's page, for the tests of the page."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
from rendered import scene
from rendered import write_video as render

from trsum_jax.video import page
from trsum_jax.video.summary import Summary
from trsum_jax.video.writing import write_video

FPS, N_SHOTS = 25, 12
# Shots of one second, each one scene; neighbours and lone ones among those chosen.
CHOSEN = [1, 2, 5, 9]
HOSTILE = '"><script>alert(1)<!-- & \u202egpj.mp4'


def summary_of(path, n_shots=N_SHOTS, chosen=CHOSEN, n_frames=N_SHOTS * FPS) -> Summary:
    picks = np.arange(0, n_frames, FPS // 2)
    starts = np.arange(0, n_frames, n_frames // n_shots)
    return Summary(
        path=path,
        fps=FPS,
        duration=n_frames / FPS,
        frame_times=np.arange(n_frames) / FPS,
        picks=picks,
        scores=(0.5 + 0.3 * np.sin(picks)).astype(np.float32),
        shots=np.stack([starts, starts + n_frames // n_shots - 1], axis=1),
        shot_scores=np.linspace(0.1, 0.9, n_shots),
        chosen=np.isin(np.arange(n_shots), chosen),
    )


def large(film, to):
    """The film with 200 kB of free space behind it, which plays as before."""
    to.write_bytes(film.read_bytes() + (200_000).to_bytes(4) + b'free' + bytes(200_000 - 8))
    return to


def make(folder) -> SimpleNamespace:
    """A rendered video with a hostile name, its summary, film and page."""
    pictures = (scene(i // FPS, height=90, width=160) for i in range(N_SHOTS * FPS))
    source = render(folder / HOSTILE, pictures, range(N_SHOTS * FPS), tick=Fraction(1, FPS))
    summary = summary_of(source)
    film = folder / 'film.mp4'
    write_video(summary, film)
    output = folder / 'summary.html'
    page.write_page(summary, film, output, recut=folder / "it's a.json")
    return SimpleNamespace(summary=summary, film=film, page=output)
