"""Settings shared by all tests: strict ranks, two CPU devices, and the data that some tests need."""

import gc
import os
import pathlib
import signal
from collections.abc import Callable, Iterator

import pytest
import xla

ROOT = pathlib.Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / 'shared'

# Before jax is imported, and for the subprocesses that tests start. Compilation is most of the suite's
# time: little optimization, and programs that several tests share are compiled once.
os.environ['JAX_PLATFORMS'] = 'cpu'
os.environ['XLA_FLAGS'] = xla.flags(2)
os.environ['JAX_COMPILATION_CACHE_DIR'] = str(ROOT / '.pytest_cache' / 'jax')
os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0.1'
os.environ['JAX_NUMPY_RANK_PROMOTION'] = 'raise'
os.environ['MPLBACKEND'] = 'Agg'
# JAX keeps every traced program: looking through all of them for garbage, often, takes minutes.
gc.set_threshold(50_000, 20, 50)
# A suite that is started by `nohup`, or in the background, begins with these ignored, and what is ignored
# stays so in every process that a test starts and stops.
for number, default in [(signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)]:
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, default)


def pytest_xdist_auto_num_workers() -> int:
    """One more than cores: a test that waits for processes of its own leaves a core idle."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope='session')
def shared() -> pathlib.Path:
    """The folder of real annotations and reference outputs beside the checkout; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f'needs the reference data in {SHARED.name}/ beside the checkout')
    return SHARED


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str | None]:
    """`summarize` in this process, with a training that takes seconds."""
    import summarizing

    return summarizing.Command(monkeypatch)


@pytest.fixture(scope='module')
def programs_shared() -> Iterator[None]:
    """Experiments of one config share their programs, in a file that runs it again and again."""
    import programs

    with pytest.MonkeyPatch.context() as patch:
        programs.share(patch)
        yield


@pytest.fixture(scope='module')
def pictures_not_laid_out() -> Iterator[None]:
    """To lay a picture out takes longer than to train at toy size; files about pictures do without this."""
    from matplotlib import figure

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figure.Figure, 'set_layout_engine', lambda self, *layout, **options: None)
        yield


@pytest.fixture(scope='module')
def pictures_not_drawn() -> Iterator[None]:
    """A picture's file holds what would be drawn: for files that train again and again, about no picture."""
    from matplotlib import figure

    def write(self, path, **options):
        held = [
            [axis.get_title(), axis.get_xlabel(), axis.get_ylabel(), axis.get_xlim(), axis.get_ylim()]
            + [line.get_xydata().tolist() for line in axis.lines]
            + [one.get_path().vertices.tolist() for one in axis.patches]
            + [one.vertices.tolist() for more in axis.collections for one in more.get_paths()]
            for axis in self.axes
        ]
        pathlib.Path(path).write_text(repr((self.get_suptitle(), held)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figure.Figure, 'savefig', write)
        yield
