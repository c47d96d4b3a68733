"""Every setting of a training, set to what learns; `published` makes the paper's literal choices.

Marks: [P] the paper says so; [A] a default of the author's earlier released code (RS-SUM); [O] ours. Of the
rivals: [P] their papers, [R] the settings that their authors released, [O] ours.
"""

import dataclasses

import ml_collections

from trsum_jax.data import synthetic
from trsum_jax.errors import InputError
from trsum_jax.method import reward_terms

PRESETS = ('default', 'published')
PUBLISHED = {
    'preset': 'published',
    'model': {'centred': False, 'cosine_start': False, 'scale_features': False},
    'summarizer': {
        'baseline_start': 'zero',
        'penalty_weight': 0.001,  # β [P]
        'reward_reconstruction': 'generator',
    },
}


def get_config(preset: str = 'default') -> ml_collections.ConfigDict:
    """The whole config of the main job.

    Args:
        preset: one of `PRESETS`.

    Returns:
        All fields; `data.file` or `data.generate` is still to be set.

    Raises:
        InputError: no such preset.
    """
    if preset not in PRESETS:
        raise InputError(f'preset: expected one of {", ".join(PRESETS)}, found {preset!r}')
    config = ml_collections.ConfigDict()
    config.name = 'trsum'
    config.preset = preset
    config.method = 'trsum'  # trsum; its rivals: drdsn, acsumgan (`training.rivals`)
    config.seeds = (0,)

    config.data = data = ml_collections.ConfigDict()
    data.file = ''  # the feature file
    data.user_scores = ''  # TVSum's ydata-anno.tsv or ydata-tvsum50.mat
    data.shots = 'file'  # file, kts, uniform
    data.splits = ''  # the field's JSON; empty: disjoint folds made here
    data.partial_splits = False  # whether splits may leave videos out of all folds
    data.folds = 5  # 0: train on all videos, hold none out
    data.split_seed = 0
    data.extra_files = ()  # more feature files to train on
    data.setting = 'canonical'  # canonical, augmented, transfer
    data.side = ''  # the key of a second modality, [n_steps] or [n_steps, K] in each video's group [O]
    data.stream_mb = 0.0  # MB of features on a device at once, read from the file in chunks; 0: all of it
    data.stream_seed = 0  # of the chunks' order
    data.generate = False  # generate the data by `synthetic` instead of reading a file
    data.synthetic = ml_collections.ConfigDict(dataclasses.asdict(synthetic.Recipe()))

    config.decomposition = ml_collections.ConfigDict()
    config.decomposition.length = 128  # L [P]
    config.decomposition.views = ('sequential', 'dilated')  # [P]

    config.model = model = ml_collections.ConfigDict()
    model.width = 1024  # [P]
    model.layers = 3  # [P]
    model.heads = 8  # [P]
    model.feed_forward = 4096  # makes the paper's 37.8M [O]
    model.norm = 'pre'  # pre, post [O]
    model.positions = 'sinusoidal'  # sinusoidal, learned, none [O]
    model.activation = 'gelu'  # gelu, relu, silu [O]
    model.dropout = 0.0  # [O]
    model.mask_token = 'zero'  # zero [A], learned
    model.centred = True  # [O]
    model.cosine_start = True  # [O]
    model.scale_features = True  # features times sqrt(D) going in [O]
    model.score_std = 0.02  # [O]
    model.dtype = 'auto'  # of the rivals' products too; auto: bfloat16 on GPU and TPU, float32 on CPU

    config.masking = masking = ml_collections.ConfigDict()
    masking.strategy = 'dynamic'  # dynamic [P], fixed, random
    masking.window_ratio = 0.5  # D_R [P]
    masking.mask_ratio = 0.25  # M_R [P]
    masking.fixed_length = 8  # of `fixed` [O]
    masking.mask = 0.8  # [P]
    masking.replace = 0.1  # [P]

    config.generator = generator = ml_collections.ConfigDict()
    generator.epochs = 250  # [P]
    generator.batch = 8  # segments [O]
    generator.learning_rate = 1e-4  # [O]
    generator.warmup = 0.05  # share of the epochs [O]
    generator.weight_decay = 1e-2  # [O]
    generator.clip = 5.0  # gradient norm [A]
    generator.loss_frames = 'candidates'  # candidates [A], all

    config.summarizer = summarizer = ml_collections.ConfigDict()
    summarizer.epochs = 100  # [P]
    summarizer.batch = 8  # [O]
    summarizer.learning_rate = 1e-4  # [O]
    summarizer.warmup = 0.05  # [O]
    summarizer.weight_decay = 1e-2  # [O]
    summarizer.clip = 5.0  # [A]
    summarizer.episodes = 5  # N [P]
    summarizer.actions = 'frames'  # frames [P]; shots: a draw takes or leaves all frames of a shot
    summarizer.estimator = 'reinforce'  # reinforce [P], or another of docs/estimators.md
    summarizer.baseline = 'moving_average'  # of reinforce: moving_average [P], leave_one_out, greedy, none
    summarizer.baseline_start = 'first'  # first [O], zero
    summarizer.baseline_momentum = 0.9  # [O]
    summarizer.credit_radius = 8  # of local_credit, frames to either side [O]
    summarizer.temperature = 1.0  # of the gumbel estimators, at the first step [O]
    summarizer.temperature_end = 1.0  # and at the last: lower anneals [O]
    summarizer.estimate_clip = 0.0  # norm of a segment's estimate by its logits; 0: no clip [O]
    summarizer.permute_features = False  # its segments with features in random order and signs [O]
    summarizer.train_generator = False  # False [P]: it stays frozen in stage 2
    summarizer.log_probability = 'sum'  # sum [P], mean
    summarizer.share = 0.5  # δ [P]
    summarizer.penalty = 'square'  # square [O], absolute
    summarizer.penalty_weight = 1.0  # β; the paper's .001 is far too weak for summed log-probabilities [O]
    summarizer.reward_reconstruction = 'composed'  # composed [O], generator
    summarizer.reward_frames = 'all'  # all [O], unselected
    # The reward is their weighted sum; the paper's is the reconstruction alone [P].
    summarizer.reward_terms = ml_collections.ConfigDict(dict.fromkeys(reward_terms.TERMS, 0.0))
    summarizer.reward_terms.reconstruction = 1.0
    summarizer.from_generator = True  # start from the generator's weights [P]

    # DR-DSN (Zhou et al., 2018), from that paper as it is known, whose full text was not at hand.
    config.drdsn = drdsn = ml_collections.ConfigDict()
    drdsn.epochs = 60  # [R]
    drdsn.batch = 1  # whole videos [O]
    drdsn.width = 256  # of each direction of the LSTM [P]
    drdsn.learning_rate = 1e-5  # [R], without their step to a tenth after 30 epochs
    drdsn.weight_decay = 1e-5  # [R]
    drdsn.clip = 5.0  # gradient norm [O]
    drdsn.episodes = 5  # N [P]
    drdsn.window = 20  # λ [P]
    drdsn.baseline_momentum = 0.9  # [O]
    drdsn.log_probability = 'mean'  # mean [O], sum
    drdsn.share = 0.5  # ε [P]
    drdsn.penalty_weight = 0.01  # β [R]

    # AC-SUM-GAN (Apostolidis et al., 2021), whose full text was not at hand.
    config.acsumgan = acsumgan = ml_collections.ConfigDict()
    acsumgan.epochs = 100  # [R]
    acsumgan.batch = 40  # whole videos [R]; more than a fold trains on cost time for nothing
    acsumgan.width = 512  # of the compressed features and the LSTMs [R]
    acsumgan.layers = 2  # of every LSTM [R]
    acsumgan.fragments = 60  # M [R]
    acsumgan.picks = 9  # of a game, 15% of the fragments [R]
    acsumgan.actor_width = 256  # [O]
    acsumgan.learning_rate = 1e-4  # [R]
    acsumgan.discriminator_learning_rate = 1e-5  # [R]
    acsumgan.weight_decay = 0.0  # [O]
    acsumgan.clip = 5.0  # gradient norm [R], of each part's update [O]
    acsumgan.share = 0.5  # σ [R]; the paper tries several
    acsumgan.entropy_weight = 0.1  # δ [R]
    acsumgan.discount = 0.99  # γ [O]

    config.evaluation = evaluation = ml_collections.ConfigDict()
    evaluation.budget = 0.15  # of the video's length
    evaluation.rank = 'per-user'  # per-user, mean-user: where there are only user summaries
    evaluation.random_draws = 20
    evaluation.untrained_heads = 8
    evaluation.one_out = True
    evaluation.one_out_windows = ()  # also the one-out loss of windows of so many frames, a row each [O]
    evaluation.agreement = False  # human_alignment.json and its picture [O]
    evaluation.baselines = True

    config.layout = layout = ml_collections.ConfigDict()
    layout.runs = 'auto'  # auto, map (one after another), vmap (one big product)
    layout.episodes = 'auto'  # auto, map, vmap
    layout.microbatch = -1  # segments at a time; 0: the whole batch, -1: 8 on a CPU, else the whole batch
    layout.mesh = (0, 0)  # devices for runs, and for the segments of a batch; 0: chosen, runs first
    layout.remat = False  # compute blocks anew in gradients: less memory (not on a CPU), more time
    layout.log_every = 10  # epochs
    layout.checkpoint_every = 10  # epochs
    layout.grace = 30.0  # seconds that an epoch may still take after SIGTERM; a longer one stops within
    layout.checkpoints = 2  # the newest ones of each stage that are kept

    config.study = study = ml_collections.ConfigDict()
    study.columns = ()  # metrics in the table of a study of the variants; empty: no study
    study.first = ''  # the variant that all others are compared with; empty: the first by name
    study.files = ()  # feature files, each a variant of its own in the place of `variants`
    study.across = False  # test every variant's training on the data of every other as well
    config.variants = ml_collections.ConfigDict()  # NAME: fields that differ; each runs in WORKDIR/NAME

    if preset == 'published':
        config.update(PUBLISHED)
    return config
