"""The command in this process, with a training that takes seconds; and small films for it."""

import functools
import pickle

import numpy as np
from absl import flags
from rendered import scene, write_video
from tiny import shorten

from trsum_jax import summarize
from trsum_jax.errors import InputError
from trsum_jax.experiment import fields


def toy_config(videos=(), seed=0):
    config = shorten(fields.get_config())
    config.seeds = (seed,)
    config.data.folds = 0
    return config


# By the encoder that costs no time.
summarized = functools.partial(summarize.summarize, encoder='descriptor')


def film(path, seeds=(0, 1, 2, 0, 3, 0), *, seconds=2, fps=10, **how):
    """Still scenes one after another; by default 12 s, 24 samples."""
    pictures = [scene(seed) for seed in seeds for _ in range(seconds * fps)]
    return write_video(path, pictures, range(0, len(pictures) * 1000 // fps, 1000 // fps), fps=fps, **how)


def through_pickle(work, *given):
    """What is found reaches the process that begins anew by pickle, and has nothing of JAX."""
    told = pickle.dumps((work, given))
    assert b'jaxlib' not in told and b'jax._src' not in told
    work, given = pickle.loads(told)
    return work(*given)


class Command:
    """`python -m trsum_jax.summarize`, or another command, without a new process, on flags of its own."""

    def __init__(self, monkeypatch, module=summarize):
        self.main = module.main
        self.flags = flags.FlagValues()
        for kind in ('string', 'multi_string', 'float', 'integer', 'bool', 'enum', 'list'):
            name = f'DEFINE_{kind}'
            monkeypatch.setattr(flags, name, functools.partial(getattr(flags, name), flag_values=self.flags))
        monkeypatch.setattr(flags, 'FLAGS', self.flags)
        monkeypatch.setattr('trsum_jax.experiment.own_videos.small_config', toy_config)
        monkeypatch.setattr('trsum_jax.runtime.memory.run_anew', through_pickle)
        module.define_flags()

    def __call__(self, *arguments, code: int = 0) -> str | None:
        """Runs it; None where it gave the code, else its one message."""
        self.flags.unparse_flags()
        for name in self.flags:
            self.flags[name].unparse()
        light = ['--encoder=descriptor'] if 'encoder' in self.flags else []
        self.flags(['command', *light, *map(str, arguments)])
        try:
            assert self.main(['command']) == code
        except InputError as error:
            return str(error)
        return None


def black(n_frames, height=48, width=64):
    return [np.zeros((height, width, 3), np.uint8)] * n_frames
