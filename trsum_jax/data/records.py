"""What a dataset is in memory: plain arrays of one video, and the list of them."""

import dataclasses

import numpy as np

from trsum_jax.data.stored.features import Stored


@dataclasses.dataclass(frozen=True)
class Video:
    """One video of a feature file. Optional parts are None where the file lacks them.

    Attributes:
        key: the group's name, such as `video_1`.
        picks: [n_steps] int64, the frame (0-based) that each sampled step was taken from, increasing.
        n_frames: number of frames of the source video.
        features: [n_steps, D] float32, one row a step (about 2 fps); an array, or `stored.Stored`.
        change_points: [n_shots, 2] int64, first and last frame of every shot, both inclusive.
        user_summary: [n_users, n_frames] float32 of 0 and 1, the summaries that people chose.
        user_scores: [n_users, n_frames] float32, frame-level ratings by people.
        gtscore: [n_steps] float32, the mean importance as the file gives it (never used in training).
        name: the video's own name, such as a YouTube id.
        fps: frames per second.
        frame_times: [n_frames] float64, presentation time of every frame in seconds.
        side: [n_steps, K] float32, a second modality of each step, such as the energy of its sound.
        clock: how the clock of the video's file runs (`video.clock.Clock`), where it was read here.
    """

    key: str
    picks: np.ndarray
    n_frames: int
    features: np.ndarray | Stored | None = None
    change_points: np.ndarray | None = None
    user_summary: np.ndarray | None = None
    user_scores: np.ndarray | None = None
    gtscore: np.ndarray | None = None
    name: str | None = None
    fps: float | None = None
    frame_times: np.ndarray | None = None
    side: np.ndarray | None = None
    clock: object = None

    @property
    def n_steps(self) -> int:
        """Number of sampled steps (2 a second in the field's files)."""
        return len(self.picks)

    @property
    def step_shots(self) -> np.ndarray:
        """[n_steps] int64, the number of the shot that each step lies in."""
        return np.searchsorted(self.change_points[:, 0], self.picks, side='right') - 1

    @property
    def has_users(self) -> bool:
        """Whether there are people's summaries or ratings to compare with."""
        return self.user_summary is not None or self.user_scores is not None

    @property
    def id(self) -> str:
        """The key, with the video's own name where it has one: for messages and pictures."""
        return f'{self.key} ({self.name})' if self.name else self.key


@dataclasses.dataclass(frozen=True)
class Dataset:
    """The videos of one file, in the order of their numbers.

    Attributes:
        path: the file, for messages.
        videos: by key.
        notes: what the reader had to say once (no users, shots computed, synthetic data, …).
        synthetic: True where the file says of itself that it was generated.
        encoder: what made the features, as the file records it, or None.
    """

    path: str
    videos: dict[str, Video]
    notes: tuple[str, ...] = ()
    synthetic: bool = False
    encoder: str | None = None

    @property
    def named(self) -> bool:
        """Whether videos have names beside their keys."""
        return any(video.name for video in self.videos.values())
