"""The task of stage 2 as an environment for any algorithm of reinforcement learning, and a toy beside it.

A task is a pytree with pure methods: `reset(key) -> state`, `reward(state, actions) -> rewards` and
`observe(state)`. An episode is one step: all frames of a segment are selected or not, at once.
"""
