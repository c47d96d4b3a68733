"""The paper as pure functions of arrays: no I/O, no config object, one video or one segment at a time."""
