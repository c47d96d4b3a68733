"""A stop signal at a chosen moment of a training, without a signal."""

from trsum_jax.runtime import interruption
from trsum_jax.training import dispatches


def stop_after(patch, *, epochs=0, steps=0):
    """Lets the signal come after so many epochs, or steps, of all stages together.

    Args:
        patch: a monkeypatch.
        epochs: how many.
        steps: in place of `epochs`; every dispatch is one step then.
    """
    advance, done = dispatches.advance, []

    def counted(*args, **options):
        for at, metrics in advance(*args, **options):
            if steps or metrics is not None:
                done.append(at)
            yield at, metrics

    patch.setattr(dispatches, 'advance', counted)
    patch.setattr(interruption, 'requested', lambda: len(done) >= (steps or epochs))
    if steps:
        patch.setattr(dispatches, '_PART_S', 0.0)
