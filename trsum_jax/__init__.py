"""TR-SUM (arXiv 2407.04258) in JAX: video summarization without labels."""

__version__ = '0.1.0'
