"""How large what we read may be: far above what the field has, far below what takes a machine down.

A file's header, or ten bytes of JSON, can claim any size. Each bound is looked at before anything of that
size is read or made.
"""

# 46 hours at 60 frames a second. Everything by frames is a few arrays of so many numbers.
MOST_FRAMES = 10_000_000
# Shots times frames: the knapsack keeps a bit for every shot and every 7th frame. A day at 30 frames a
# second in shots of 5 seconds has half as many.
MOST_SHOT_FRAMES = 10**11
# 7 x 7 x 2048 features of a picture, laid flat, are 100,352.
MOST_WIDTH = 1 << 17
# The field has 20; people are compared in pairs.
MOST_USERS = 1000
# Characters of a video's or an encoder's name, which go into tables, pictures and pages.
LONGEST_TEXT = 1000
# Of any number's magnitude: seconds since 1970 are 1.8e9, and squares of it still sum to a float32.
LARGEST_NUMBER = 1e12
# Of faults that are listed of one file; what has more is no feature file.
MOST_FAULTS = 1000

# gzip packs 1000 zeros into a byte, and what was never written takes none: what a dataset, and a file, may
# hold in memory (4 bytes a number at least), unless its bytes in the file account for it. 20 people's
# summaries of 15 hours; of 25 videos of 2 hours at 60 frames a second.
FREE_DATASET = 128 << 20
FREE_FILE = 1 << 30
# What bytes in the file account for: features do not pack to a hundredth.
MOST_PACKED = 100
# Names in one HDF5 file, in all its groups: 160,000 videos of 12 parts.
MOST_NAMES = 2_000_000
# Groups within groups; the field has one level, MATLAB two.
DEEPEST = 32
# Parts that a file of ratings refers to.
MOST_REFERENCES = 10_000

# Text is read whole. JSON takes up to 25 times its size: 3 million scores; more fit HDF5.
LARGEST_JSON = 64 << 20
# YAML is slow to read: 300,000 names.
LARGEST_YAML = 8 << 20
# TVSum's ratings are 14 MB.
LARGEST_TABLE = 256 << 20
