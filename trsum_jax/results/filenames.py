"""What the files of a workdir are called."""

CONFIG, RECORD, METRICS, RESULTS, TABLE = (
    'config.json',
    'experiment.json',
    'metrics.jsonl',
    'results.json',
    'results.md',
)
SYNTHETIC = 'synthetic.h5'
CHECKPOINTS, PICTURES = 'checkpoints', 'pictures'
# Of the log's mirrors: event files, and what wandb has.
TENSORBOARD, WANDB = 'tensorboard', 'wandb.json'
# In the folder of checkpoints: what they are of, and digests of what was made from them.
ABOUT, MADE = 'about.json', 'made.sha256.json'
# A folder for results of another evaluation.
BEFORE = 'before'
SCORES, SUMMARIES = 'scores.h5', 'summaries.json'
# Of some experiments alone.
BESIDE = ('human_alignment.json', 'failures.json')
WRITTEN = (
    *(RECORD, METRICS, RESULTS, TABLE, CHECKPOINTS),
    *(PICTURES, SCORES, SUMMARIES, 'videos.csv', 'folds.csv', SYNTHETIC),
    *(*BESIDE, TENSORBOARD, WANDB),
)
FOLDERS = (CHECKPOINTS, PICTURES, TENSORBOARD)
DIGESTED = (SCORES, SUMMARIES, 'videos.csv', 'folds.csv')
