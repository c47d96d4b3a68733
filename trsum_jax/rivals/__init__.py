"""What TR-SUM is compared with: a folder for each rival, its networks and its training side by side.

A rival is a folder here, NAME, with a module `training`, found by its folder (`experiment.methods`). It has

- `FIELDS`: its part of the config, at least `epochs`, `batch` and `learning_rate`;
- `LEARNED` and `LOGGED`: its metrics, what it minimizes or is rewarded by, and what studies may show;
- `build(settings, width, n_videos, *, dtype, scale) -> (module, Stage)`. The stage has the folder's name,
  `draws='rival'` and a state with `params`; the module gives logits [B, T] of frames [B, T, D] and valid
  [B, T].

No other code of the package changes, and workdirs of before stay what they are. `init` may read a run's key
alone. docs/fields.md is made again, its modules get tests, and `tests/tiny.py` makes its fields small.
"""
