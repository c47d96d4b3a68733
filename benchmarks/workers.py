"""The work that is compared: the same segments, model and episodes, by us and by the two opponents."""

from collections.abc import Callable
from typing import Any

import ml_collections
import numpy as np

from benchmarks.whole_epoch import compile_epoch
from configs import default

# Width, feed-forward, heads, segments in a batch, features.
SIZES = {
    'toy': {'width': 16, 'feed_forward': 32, 'heads': 2, 'batch': 4, 'features': 16, 'length': 16},
    'small': {'width': 128, 'feed_forward': 512, 'heads': 8, 'batch': 64, 'features': 128, 'length': 128},
    'paper': {'width': 1024, 'feed_forward': 4096, 'heads': 8, 'batch': 8, 'features': 1024, 'length': 128},
}
STAGES = ('generator', 'summarizer')


def setting(size: str, n_videos: int = 0, layout: dict[str, Any] | None = None) -> tuple[Any, Any]:
    """A config and a corpus at a size: generated videos of three windows each, both views.

    Args:
        size: one of `SIZES`.
        n_videos: 0 for as many as fill one batch of segments.
        layout: fields of the config's `layout`.

    Returns:
        The config, and the corpus.
    """
    from trsum_jax.data.made.synthetic import Recipe, generate
    from trsum_jax.training import corpus

    sizes = SIZES[size]
    config = default.get_config('reconstruction')
    config.decomposition.length = length = sizes['length']
    config.model.update({name: sizes[name] for name in ('width', 'feed_forward', 'heads')})
    for stage in STAGES:
        config[stage].batch = sizes['batch']
    config.layout.update(layout or {})
    videos = n_videos or -(-sizes['batch'] // 4)
    recipe = Recipe(
        videos=videos,
        width=sizes['features'],
        # Two windows of each view, without padding in the dilated one.
        steps=(2 * length, 2 * length),
        shot_steps=(min(8, length // 2), min(16, length)),
        pool=200,
    )
    return config, corpus.build(generate(recipe), length, ('sequential', 'dilated'))


def ours(size: str, stage: str, layout: dict[str, Any] | None = None, steps: int = 1) -> Callable[[], None]:
    """Our epoch of `steps` batches, as the main job compiles it."""
    import jax
    import jax.numpy as jnp

    from trsum_jax.experiment.config import bind, how_here
    from trsum_jax.training import grid
    from trsum_jax.training.runs import Run

    config, segments = setting(size, layout=layout)
    width, n_videos = segments.frames.shape[1], int(segments.video.max()) + 1
    chosen = jnp.asarray(_batches(segments, config, steps).reshape(1, -1))
    runs = Run(jax.random.key(0)[None], chosen, jnp.ones(chosen.shape))
    first, second = bind(config, width, n_videos).stages
    states, frozen = grid.init(first, runs, ()), ()
    one = first
    if stage == 'summarizer':
        one = second
        frozen = states.params
        states = grid.init(one, runs, frozen)
    epoch = compile_epoch(one, how_here(config.layout.runs))
    kept = [states]

    def run():
        kept[0], metrics = epoch(kept[0], 1, segments, runs, frozen)
        jax.block_until_ready((kept[0], metrics))

    return run


def opponent(size: str, stage: str, name: str, steps: int = 1, **options: Any) -> Callable[[], None]:
    """The same batches by `torch_best` or `torch_field`, from the same weights.

    Args:
        size: one of `SIZES`.
        stage: one of `STAGES`.
        name: of the module.
        steps: batches in a repetition.
        **options: of its class: `compile`, `microbatch`.
    """
    import importlib

    import jax
    import torch

    from trsum_jax.experiment.config import bind
    from trsum_jax.training.runs import Run

    module = importlib.import_module(f'benchmarks.{name}')
    config, segments = setting(size)
    width, n_videos = segments.frames.shape[1], int(segments.video.max()) + 1
    first, second = bind(config, width, n_videos).stages
    run_of = Run(jax.random.key(0), np.zeros(1, np.int32), np.ones(1, np.float32))
    params = first.init(run_of, ()).params
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    if stage == 'generator':
        one = module.Stage1(params, config, segments._asdict(), device=device, **options)
    else:
        start = second.init(run_of, params).params
        one = module.Stage2(start, params, config, segments._asdict(), device=device, **options)
    batches = torch.tensor(_batches(segments, config, steps), device=device).long()
    video = torch.tensor(np.asarray(segments.video), device=device)

    def run():
        for batch in batches:
            # The field's habit is one video at a time; the other takes the batch.
            parts = (
                [batch[video[batch] == v] for v in video[batch].unique()]
                if name == 'torch_field'
                else [batch]
            )
            for part in parts:
                one.step(part, 1.0)
        if device == 'cuda':
            torch.cuda.synchronize()

    return run


def step_flops(size: str, stage: str) -> float:
    """Floating-point operations of one step of ours, from the compiler's analysis of an unlooped step.

    Of a choice the most: the reward's last block counts as if all frames were rebuilt.
    """
    import jax
    import jax.numpy as jnp

    from trsum_jax.experiment.config import bind
    from trsum_jax.training import epoch
    from trsum_jax.training.runs import Run

    # Loops are counted once by the analysis, so everything is one product here.
    config, segments = setting(size, layout={'episodes': 'vmap', 'microbatch': 0})
    width, n_videos = segments.frames.shape[1], int(segments.video.max()) + 1
    chosen = jnp.asarray(_batches(segments, config, 1)[0])
    run = Run(jax.random.key(0), chosen, jnp.ones(chosen.shape))
    first, second = bind(config, width, n_videos).stages
    state, frozen, one = jax.eval_shape(first.init, run, ()), (), first
    if stage == 'summarizer':
        one = second
        frozen = state.params
        state = jax.eval_shape(one.init, run, frozen)

    def whole(state, segments, run, frozen):
        told = epoch.blank_told(one, state, segments, run, frozen)
        span = epoch.Span(1, 0, one.steps(run), 0)
        return epoch.part(one, state, told, span, segments, run, frozen)

    compiled = jax.jit(whole).lower(state, segments, run, frozen).compile()
    return float(compiled.cost_analysis()['flops'])


def scorer(size: str, name: str, n_videos: int = 8) -> Callable[[], None]:
    """Scores videos with a trained summarizer, by us (`ours`) or by `torch_best`."""
    import jax

    from trsum_jax.experiment.config import bind
    from trsum_jax.training import scoring, trsum
    from trsum_jax.training.runs import Run

    config, segments = setting(size, n_videos)
    width = segments.frames.shape[1]
    bound = bind(config, width, n_videos)
    summarizer = bound.summarizer
    run_of = Run(jax.random.key(0), np.zeros(1, np.int32), np.ones(1, np.float32))
    frozen = bound.stages[0].init(run_of, ()).params
    params = trsum.summarizer_params(bound.second, jax.random.key(1), frozen)
    if name == 'ours':
        score = jax.jit(lambda params, segments: scoring.importance(summarizer, params, segments))
        return lambda: score(params, segments).block_until_ready()

    import torch

    from benchmarks import torch_best, torch_model

    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    one = torch_best.Scorer(params, config, width, device=device)
    arrays = torch_model.tensors(segments._asdict(), device)
    return lambda: one.importance(arrays, at_once=8).cpu()


def _batches(segments: Any, config: ml_collections.ConfigDict, steps: int) -> np.ndarray:
    """[steps, batch] int32, segments of the corpus in turn."""
    batch = config.generator.batch
    return (np.arange(steps * batch) % segments.n_segments).reshape(steps, batch).astype(np.int32)
