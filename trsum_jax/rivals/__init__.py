"""What TR-SUM is compared with: a folder for each rival, its networks and its training side by side.

A rival is a folder here with a module `training`, which has `FIELDS`, the fields of its part of the config,
`LEARNED` and `LOGGED`, names of its metrics, and `build`. Nothing else need be touched: `experiment.methods`
finds it by its folder.
"""
