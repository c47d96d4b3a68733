"""What the fuzz damages and what it then runs: sound inputs of every kind, and commands that take them."""

import contextlib
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Of a hundred trials. Commands that start JAX take seconds, the others and the readers a tenth of one.
SHARES = {
    **{'evaluate': 26, 'validate': 13, 'main': 3, 'score': 3, 'summarize': 3, 'recut': 3, 'extract': 6},
    'reader': 43,
}
# By suffix: codec of the picture, and of the sound.
CONTAINERS = {
    '.mp4': ('libx264', 'aac'),
    '.mkv': ('libx264', 'flac'),
    '.webm': ('libvpx', 'libopus'),
    '.avi': ('mpeg4', 'mp2'),
    '.ts': ('libx264', 'mp2'),
    '.mov': ('mpeg4', 'aac'),
    '.flv': ('flv', 'libmp3lame'),
    '.ogv': ('libvpx', 'libopus'),
    '.mpg': ('mpeg2video', 'mp2'),
    '.3gp': ('mpeg4', 'aac'),
}
FORMS = ('json', 'yml', 'txt')
SHAPES = {'w': (40, 6), 'v': (3, 3, 4, 4)}
TYPOS = (
    *('--config.summarizer.epohs=3', '--config.summarizer.epochs=many', '--config.seeds=(a,)'),
    *('--config.data.file=nowhere.h5', '--config.generator.batch=0', '--config.model.heads=3'),
    *('--config.model=7', '--workdir=', '--config.layout.mesh=(9,9)', '--config.evaluation.budget=nan'),
    *('--confg=x', '--config.data.folds=99', '--config.summarizer.learning_rate=-1'),
    *('--config.decomposition.length=0', '--config.method=tr-sum', '--config.data.synthetic.videos=-3'),
)
_NAMES = (
    *(
        'data.h5',
        'scores.h5',
        'scores.json',
        'splits.json',
        'splits.yml',
        'splits.txt',
        'rated.h5',
        'anno.tsv',
        'anno.mat',
        'old.mat',
        'zip.pth',
    ),
    *('legacy.pth', 'model.onnx', 'features.h5', 'config.py', 'workdir', 'rows.npy', 'rows.npz'),
    *('summary.json', 'mr_hisum.h5', 'mosu_gt.h5', 'visual.h5', 'test_videoxum.json'),
    *(f'film{suffix}' for suffix in CONTAINERS),
)


@dataclasses.dataclass(frozen=True)
class Case:
    """A sound input, and what is run on it once it is damaged.

    Attributes:
        command: its name in the table.
        what: the input, in the table.
        source: the sound file or folder.
        arguments: of the damaged path and a folder for outputs, the command line; None for a reader.
        read: of the damaged path, for a reader, in a process that was forked.
        forked: whether the command starts in such a process too.
    """

    command: str
    what: str
    source: pathlib.Path
    arguments: Callable[[str, str], list[str]] | None = None
    read: Callable[[str], object] | None = None
    forked: bool = False

    @property
    def usual(self) -> str:
        """What takes equally long: films of all containers do."""
        return f'{self.command} {self.what.split(".")[0] if self.what.startswith("film") else self.what}'


def environment(work: pathlib.Path) -> dict[str, str]:
    """Of the commands: on the CPU, compiled quickly and once."""
    import xla

    return os.environ | {
        'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': xla.flags(1), 'JAX_COMPILATION_CACHE_DIR': str(work / 'cache'),
        'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0.1', 'MPLBACKEND': 'Agg', 'PYTHONFAULTHANDLER': '1',
        'PYTHONPATH': os.pathsep.join((str(ROOT), str(ROOT / 'tests'))), 'HOME': str(work),
    }  # fmt: skip


def _film(path: pathlib.Path) -> None:
    """Four still scenes of two seconds at 10 frames a second, with a sound where the container takes one."""
    import av
    from rendered import scene

    picture, sound = CONTAINERS[path.suffix]
    with av.open(str(path), 'w') as container:
        video = container.add_stream(picture, rate=10 if picture != 'mpeg2video' else 25)
        video.width, video.height, video.pix_fmt = 64, 48, 'yuv420p'
        rate = 44_100 if sound == 'libmp3lame' else 48_000
        audio = container.add_stream(sound, rate=rate)
        for i in range(80):
            frame = av.VideoFrame.from_ndarray(scene(i // 20), format='rgb24')
            frame.pts, frame.time_base = i, Fraction(1, 10 if picture != 'mpeg2video' else 25)
            container.mux(video.encode(frame))
        container.mux(video.encode())
        tone = np.sin(np.arange(48_000 * 3) / 20).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(np.stack([tone, tone]), format='fltp', layout='stereo')
        frame.sample_rate, frame.pts = rate, 0
        resampler = av.AudioResampler(audio.format, audio.layout, rate, audio.frame_size or None)
        for each in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(audio.encode(each))
        container.mux(audio.encode())


def sound_inputs(work: pathlib.Path) -> dict[str, pathlib.Path]:
    """The sound inputs that were made in a folder, by name."""
    paths = {name: work / 'sound' / name for name in _NAMES}
    return {
        name: path for name, path in paths.items() if path.is_dir() or (path.exists() and path.stat().st_size)
    }


def make_sound(work: pathlib.Path) -> None:
    """Makes sound inputs of all kinds in a folder."""
    from feature_files import OTHER_LAYOUTS, field_video, write_raw
    from summaries import summary_of

    from tests.data.foreign.test_matlab import v5_of_tvsum
    from tests.data.test_annotations import RATINGS, rated_file, write_mat, write_tsv
    from tests.video.encoders.test_onnx import means
    from tests.video.encoders.test_torch_file import tensor, written
    from trsum_jax.video import timeline

    sound = work / 'sound'
    sound.mkdir(parents=True)
    rng = np.random.default_rng(0)
    keys = [f'video_{i}' for i in (1, 2, 3, 4)]
    paths = {name: sound / name for name in _NAMES}
    videos = {key: field_video(i) for i, key in enumerate(keys)}
    write_raw(paths['data.h5'], videos)
    for write in OTHER_LAYOUTS:
        write(sound, dict.fromkeys(keys, 24), 12)
    write_raw(paths['scores.h5'], {key: {'scores': rng.random(6)} for key in keys})
    paths['scores.json'].write_text(json.dumps({key: rng.random(83).round(3).tolist() for key in keys}))
    folds = [
        {'train_keys': keys[:2], 'test_keys': keys[2:]},
        {'train_keys': keys[2:], 'test_keys': keys[:2]},
    ]
    paths['splits.json'].write_text(json.dumps(folds))
    paths['splits.yml'].write_text(yaml.safe_dump(folds))
    lines = [
        f'X/{i}/{",".join(fold["train_keys"])}/{",".join(fold["test_keys"])}\n'
        for i, fold in enumerate(folds)
    ]
    paths['splits.txt'].write_text(''.join(lines))
    rated_file(paths['rated.h5'], **dict(zip(keys, RATINGS, strict=False)))
    write_tsv(paths['anno.tsv'])
    write_mat(paths['anno.mat'])
    v5_of_tvsum(paths['old.mat'])
    np.save(paths['rows.npy'], rng.random((6, 5)))
    np.savez_compressed(paths['rows.npz'], a=rng.random((6, 5)))
    arrays = {'0': rng.random(240).astype(np.float32), '1': rng.random(144).astype(np.float32)}
    for layout in ('zip', 'legacy'):
        state = {
            'w': tensor('0', arrays['0'], layout, size=(40, 6), stride=(6, 1)),
            'v': tensor('1', arrays['1'], layout, size=(3, 3, 4, 4), stride=(48, 16, 4, 1)),
        }
        written(paths[f'{layout}.pth'], layout, state, arrays)
    means(paths['model.onnx'], ['n', 3, 32, 32], [2, 3])
    paths['config.py'].write_text((ROOT / 'tests' / 'tiny.py').read_text())
    for suffix in CONTAINERS:
        # Builds of FFmpeg differ in what they encode.
        with contextlib.suppress(Exception):
            _film(paths[f'film{suffix}'])
    timeline.write_json(summary_of(paths['film.mp4'], [(5, 24), (50, 69)]), paths['summary.json'])
    _train(work, sound)


def _train(work: pathlib.Path, sound: pathlib.Path) -> None:
    """A feature file of the films, and a workdir of a training on it."""
    films = work / 'films'
    films.mkdir()
    for suffix in ('.mp4', '.mkv', '.avi', '.mov'):
        (films / f'film{suffix}').write_bytes((sound / f'film{suffix}').read_bytes())
    for command in (
        ['extract', f'--videos={films}', f'--output={sound}/features.h5'],
        ['main', *_tiny(f'{sound}/features.h5'), f'--workdir={sound}/workdir'],
    ):
        subprocess.run(
            [sys.executable, '-m', f'trsum_jax.{command[0]}', *command[1:]],
            env=environment(work),
            check=True,
            capture_output=True,
        )


def _tiny(features: str, config: str = str(ROOT / 'tests' / 'tiny.py')) -> list[str]:
    return [
        *(f'--config={config}', '--config.data.generate=False', f'--config.data.file={features}'),
        *('--config.data.folds=2', '--config.generator.epochs=1', '--config.summarizer.epochs=1'),
    ]


def all_cases(sound: dict[str, pathlib.Path]) -> list[Case]:
    """Every command and reader with every input of its."""
    data, films = str(sound['data.h5']), [name for name in sound if name.startswith('film')]
    features, workdir, film = (str(sound[name]) for name in ('features.h5', 'workdir', 'film.mp4'))

    def evaluate(name, *more, flag='scores', dataset=data):
        given = more if flag == 'dataset' else [f'--dataset={dataset}', *more]
        return Case(
            'evaluate', name, sound[name], forked=True,
            arguments=lambda path, out: [f'--{flag}={path}', f'--output={out}/r.json', *given],
        )  # fmt: skip

    cases = [
        evaluate('data.h5', f'--scores={sound["scores.h5"]}', flag='dataset'),
        evaluate('scores.h5'),
        evaluate('scores.json'),
        evaluate('splits.json', f'--scores={sound["scores.h5"]}', flag='splits'),
        evaluate('anno.tsv', flag='user_scores', dataset=str(sound['rated.h5'])),
        evaluate('anno.mat', flag='user_scores', dataset=str(sound['rated.h5'])),
        Case('validate', 'data.h5', sound['data.h5'], lambda path, out: [path], forked=True),
        Case('validate', 'features.h5', sound['features.h5'], lambda path, out: [path], forked=True),
        Case(
            'main', 'features', sound['features.h5'], lambda path, out: [*_tiny(path), f'--workdir={out}/w']
        ),
        Case('main', 'workdir', sound['workdir'], lambda path, out: [*_tiny(features), f'--workdir={path}']),
        Case(
            'main',
            'config.py',
            sound['config.py'],
            lambda path, out: [*_tiny(features, path), f'--workdir={out}/w'],
        ),
        Case('score', 'features', sound['features.h5'], _score(workdir)),
        Case('score', 'workdir', sound['workdir'], _score(features, of_workdir=True)),
        Case('summarize', 'workdir', sound['workdir'], lambda path, out: _summarize(film, path, out)),
        Case('recut', 'summary.json', sound['summary.json'], lambda path, out: _recut(film, path, out)),
        Case('extract', 'model.onnx', sound['model.onnx'], _extract(film, 'onnx', 'onnx')),
        Case('extract', 'zip.pth', sound['zip.pth'], _extract(film, 'googlenet', 'weights')),
        *(
            Case('summarize', name, sound[name], lambda path, out: _summarize(path, workdir, out))
            for name in films
        ),
        *(Case('extract', name, sound[name], _extract_film) for name in films),
    ]
    return [*cases, *(Case('reader', name, sound[name], read=read) for name, read in readers(sound, films))]


def _score(other: str, *, of_workdir: bool = False):
    def arguments(path, out):
        workdir, features = (path, other) if of_workdir else (other, path)
        return [
            f'--checkpoint={workdir}',
            f'--dataset={features}',
            f'--output={out}/s.h5',
            f'--summaries={out}/s.json',
        ]

    return arguments


def _summarize(film, workdir, out):
    return [f'--video={film}', f'--checkpoint={workdir}', f'--output={out}/s.mp4', f'--timeline={out}/s.edl']


def _recut(film, summary, out):
    flags = [f'--summary={summary}', f'--video={film}', f'--output={out}/s.mp4', '--keep=1', '--drop=2']
    return [*flags, '--page=', '--storyboard=']


def _extract(film, encoder, flag):
    return lambda path, out: [
        f'--videos={film}', f'--output={out}/f.h5', f'--encoder={encoder}', f'--{flag}={path}'
    ]  # fmt: skip


def _extract_film(path, out):
    return [f'--videos={path}', f'--output={out}/f.h5']


def readers(sound: dict[str, pathlib.Path], films: list[str]) -> list[tuple[str, Callable[[str], object]]]:
    """What a session may call itself; each twice as often as a film."""
    from trsum_jax.data import annotations, datasets, splits
    from trsum_jax.data.stored import numpy_files

    known = datasets.read_dataset(sound['data.h5'])

    def scores(path):
        from trsum_jax import evaluate

        return evaluate.read_scores(path, known.videos, list(known.videos))

    def weights(path):
        from trsum_jax.video.encoders import torch_file

        return torch_file.read_weights(path, SHAPES, 'the network of the fuzz')

    def model(path):
        from trsum_jax.video.encoders import onnx

        encoder = onnx.load_onnx(path)
        return encoder.encode([np.zeros((40, 40, 3), np.uint8)] * 3)

    def film(path):
        from trsum_jax.video.reading import VideoReader

        return [picture.shape for *_, picture in VideoReader(path).sample(2.0)]

    def modality(path):
        return datasets.read_dataset(sound['mosu_gt.h5'], features=[path])

    def json_of_videos(path):
        return datasets.check_file(path, features=[str(sound['test_videoxum.json'].parent / 'blip')])

    found = [
        ('data.h5', datasets.read_dataset),
        ('mr_hisum.h5', datasets.read_dataset), ('visual.h5', modality),
        ('test_videoxum.json', json_of_videos),
        ('features.h5', datasets.check_file),
        *((f'splits.{form}', lambda path: splits.read_splits(path, list(known.videos))) for form in FORMS),
        ('scores.h5', scores), ('scores.json', scores),
        ('anno.tsv', annotations.read_annotations), ('anno.mat', annotations.read_annotations),
        ('old.mat', annotations.read_annotations),
        ('rows.npy', numpy_files.read_npy), ('rows.npz', lambda path: numpy_files.read_npz(path, 'a')),
        ('zip.pth', weights), ('legacy.pth', weights), ('model.onnx', model),
    ]  # fmt: skip
    return [*found, *found, *((name, film) for name in films)]
