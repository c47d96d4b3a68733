import base64
import io
import os
import pathlib
import re
import shutil
import subprocess
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest

pytest.importorskip('av')
pytest.importorskip('html5lib')
pytest.importorskip('jinja2')

import html5lib
import pages
from PIL import Image
from rendered import scene

from trsum_jax import files
from trsum_jax.errors import InputError
from trsum_jax.video import outputs, page, storyboard
from trsum_jax.video.summary import Summary
from trsum_jax.video.writing import write_video
from trsum_jax.video.written import small_film


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    return pages.make(tmp_path_factory.mktemp('page'))


def parsed(path: pathlib.Path):
    """The page as a tree; anything that the HTML standard calls an error fails."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    return parser.parse(path.read_text(encoding='utf-8'))


def text_of(element) -> str:
    return ' '.join(''.join(element.itertext()).split())


def decoded(uri: str, kind: str) -> bytes:
    prefix, _, data = uri.partition(',')
    assert prefix == f'data:{kind};base64'
    return base64.b64decode(data, validate=True)


def steps(path: str) -> list[tuple[float, float]]:
    """The corners of a path of M, H and V."""
    corners = []
    for command, numbers in re.findall(r'([MHV])([^MHV]*)', path):
        values = [float(number) for number in numbers.split()]
        x, y = corners[-1] if corners else values
        corners.append({'M': (x, y), 'H': (values[0], y), 'V': (x, values[0])}[command])
    return corners


@pytest.mark.parametrize(
    ('seconds', 'tenths', 'text'),
    [(0, True, '0:00.0'), (59.96, True, '1:00.0'), (3723.44, True, '1:02:03.4'), (59.6, False, '1:00')],
)
def test_clock(seconds, tenths, text):
    assert page.clock(seconds, tenths) == text


def test_curve_holds_each_score():
    path = page.curve(np.array([0.0, 5.0]), np.array([0.5, 0.75], np.float32), 10.0, 0.0, 1.0)
    corners = steps(path)
    assert list(dict.fromkeys(corners)) == [(0, 50), (500, 50), (500, 25), (1000, 25)]


def test_curve_of_a_long_video_is_short_and_keeps_every_peak():
    rng = np.random.default_rng(0)
    times, scores = np.arange(14_400) / 2, rng.uniform(0.4, 0.6, 14_400).astype(np.float32)
    scores[5_000], scores[9_001] = 1, 0
    path = page.curve(times, scores, 7_200.0, 0.0, 1.0)
    assert len(path) < 50_000
    corners = np.array(steps(path))
    columns = (times / 7.2).astype(int)
    for column in range(1000):
        drawn = corners[corners[:, 0] == column, 1]
        inside = scores[columns == column]
        assert drawn.min() <= 100 * (1 - inside.max()) + 0.01
        assert drawn.max() >= 100 * (1 - inside.min()) - 0.01
    assert corners[:, 1].min() == 0 and corners[:, 1].max() == 100


def test_content(made):
    tree = parsed(made.page)
    rows = tree.findall('.//ol/li')
    assert len(rows) == pages.N_SHOTS
    assert [i for i, row in enumerate(rows) if row.get('data-shot')] == pages.CHOSEN
    assert [float(rows[i].get('data-place')) for i in pages.CHOSEN] == [0, 1, 2, 3]
    assert [text_of(cell) for cell in rows[5]] == ['6', '0:05.0 to – 0:06.0', 'more 0.46', 'keepdrop']
    assert rows[5].find('button').get('aria-label') == 'Go to shot 6, at 0:02.0 of the summary'
    assert text_of(rows[6][0]) == 'Shot 7' and rows[6].find('button') is None
    # Scores rise from shot to shot.
    assert [text_of(row[2]).split()[0] for row in rows] == ['less'] * 4 + ['more'] * 4 + ['most'] * 4
    facts = [text_of(fact) for fact in tree.findall('.//dd')]
    assert facts == ['0:12.0', '0:04.0', '33.3%', '4 of 12']

    marks = [mark.get('class') for mark in tree.findall('.//{*}rect') if 'shot' in mark.get('class')]
    assert [i for i, mark in enumerate(marks) if 'chosen' in mark] == pages.CHOSEN
    assert len([mark for mark in tree.findall('.//{*}rect') if mark.get('class') == 'part']) == 3

    (film,) = tree.findall('.//video/source')
    assert decoded(film.get('src'), 'video/mp4') == made.film.read_bytes()
    assert tree.find('.//a') is None
    buttons = tree.findall(".//ul/li/button[@class='go']")
    assert [int(button.get('data-shot')) - 1 for button in buttons] == pages.CHOSEN
    for button, shot in zip(buttons, pages.CHOSEN, strict=True):
        assert f'shot {shot + 1},' in button.get('aria-label')
        picture = np.asarray(Image.open(io.BytesIO(decoded(button.find('img').get('src'), 'image/jpeg'))))
        expected = scene(shot, height=180, width=320)
        assert picture.shape == (270, 480, 3)
        assert np.abs(picture.mean((0, 1)) - expected.mean((0, 1))).max() < 6


def test_hostile_name_is_text(made):
    tree = parsed(made.page)
    assert (
        text_of(tree.find('.//h1'))
        == text_of(tree.find('.//title')).removeprefix('Summary of ')
        == pages.HOSTILE.replace('\u202e', '\\u202e')
    )
    assert len(tree.findall('.//script')) == 1


def test_name_that_is_not_utf8(made, tmp_path):
    name = os.fsdecode(b'caf\xe9.mp4')
    try:
        shutil.copy(made.summary.path, tmp_path / name)
    except OSError:
        pytest.skip('this file system takes only names in UTF-8')
    page.write_page(pages.summary_of(tmp_path / name), made.film, tmp_path / 'page.html')
    assert text_of(parsed(tmp_path / 'page.html').find('.//h1')) == 'caf\\xe9.mp4'


@pytest.mark.parametrize('largest', [100_000, 1000])
def test_large_film_stays_beside(made, tmp_path, largest):
    film = pages.large(made.film, tmp_path / 'a #1 100%?.mp4')
    output = tmp_path / 'pages' / 'page.html'
    page.write_page(made.summary, film, output, embedded=largest)
    tree = parsed(output)
    first, *copies = (source.get('src') for source in tree.findall('.//video/source'))
    place = urlsplit(first)
    assert (output.parent / unquote(place.path)).samefile(film)
    assert not place.query and not place.fragment
    assert tree.find('.//a').get('href') == first
    assert film.name in text_of(tree.find(".//p[@data-when='beside']"))
    # Of 4 s nothing can be seen in 1 kB: the page then says that it holds no copy.
    assert len(copies) == (largest > 1000)
    assert all(len(decoded(copy, 'video/mp4')) <= largest for copy in copies)
    assert ('small copy' in text_of(tree)) == (largest > 1000)


def test_a_small_copy_that_is_there_is_held(made, tmp_path, monkeypatch):
    film, output = pages.large(made.film, tmp_path / 'a.mp4'), tmp_path / 'page.html'
    small = tmp_path / 'small.mp4'
    small.write_bytes(made.film.read_bytes())
    size = small.stat().st_size
    again = []
    monkeypatch.setattr(page.small_film, 'write_small', lambda *_, **__: again.append(1))
    for largest in (size, size - 1):
        page.write_page(made.summary, film, output, embedded=largest, small=small)
        _, *copies = (source.get('src') for source in parsed(output).findall('.//video/source'))
        assert [decoded(copy, 'video/mp4') for copy in copies] == [small.read_bytes()] * (largest == size)
        # One that is too large after all is made again, with fewer bits.
        assert len(again) == (largest < size)


def test_the_copy_that_is_made_with_the_film_is_the_one_of_its_page(made, tmp_path, monkeypatch):
    monkeypatch.setattr(small_film, '_LARGE', 0)
    monkeypatch.setattr(small_film, 'write_small', None)
    expected, written = tmp_path / 'small.mp4', page.write_page
    copy = small_film.small_copy(made.summary, expected)
    write_video(made.summary, tmp_path / 'a.mp4', copy=copy)

    def of_large(summary, video, output, *, small, **options):
        written(summary, video, output, small=small, embedded=expected.stat().st_size, **options)

    monkeypatch.setattr(page, 'write_page', of_large)
    targets = outputs.Targets(tmp_path / 'b.mp4', page=tmp_path / 'b.html')
    outputs.write(made.summary, targets)
    *_, held = (source.get('src') for source in parsed(targets.page).findall('.//video/source'))
    assert targets.video.stat().st_size > expected.stat().st_size
    assert decoded(held, 'video/mp4') == expected.read_bytes()


def test_without_a_temporary_folder_there_are_film_and_page(made, tmp_path, monkeypatch):
    def absent():
        raise FileNotFoundError('no usable temporary directory')

    monkeypatch.setattr(files, 'temporary_folder', absent)
    targets = outputs.Targets(tmp_path / 'b.mp4', page=tmp_path / 'b.html')
    outputs.write(made.summary, targets)
    assert targets.video.is_file() and targets.page.is_file()


@pytest.mark.parametrize(
    ('scores', 'words'),
    [
        ([0.9, 0.1, 0.5], 'most less more'),
        ([0.5, 0.5, 0.5, 0.505], 'alike alike alike alike'),
        ([0.2, 0.8], 'less most'),
        # Equal scores have one word.
        ([0.1, 0.4, 0.4, 0.4, 0.4, 0.9], 'less more more more more most'),
        ([0.7], 'alike'),
    ],
)
def test_scores_in_words(scores, words):
    assert page.score_words(np.array(scores)) == words.split()


@pytest.mark.parametrize(
    'name',
    ["it's a $HOME `ls` \\.json", '--keep.json', 'caf\xe9 日本.json', 'new\nline\u202e.json', 'plain.json'],
)
def test_the_command_names_the_file_in_any_shell(name):
    printed = subprocess.run(['bash', '-c', f'printf %s {page.in_shell(name)}'], capture_output=True)
    assert os.fsdecode(printed.stdout).removeprefix('./') == name
    assert not page.in_shell(name).startswith('-') and page.in_shell(name).isprintable()


def test_a_page_without_data_has_nothing_to_mark(made, tmp_path):
    page.write_page(made.summary, made.film, tmp_path / 'page.html')
    tree = parsed(tmp_path / 'page.html')
    assert not [one for one in tree.iter('button') if one.get('data-mark')]
    assert 'recut' not in {one.get('class') for one in tree.iter('section')}
    assert parsed(made.page).find(".//section[@class='recut']") is not None


def test_two_hours_make_a_small_page(made, tmp_path, monkeypatch):
    def noise(summary, spans, height, seen):
        rng = np.random.default_rng(0)
        return [rng.integers(0, 256, (height, 320, 3), np.uint8) for _ in spans]

    monkeypatch.setattr(storyboard, 'key_frames', noise)
    chosen = np.random.default_rng(1).choice(1000, 150, replace=False)
    summary = pages.summary_of(made.summary.path, 1000, chosen, n_frames=7200 * pages.FPS)
    page.write_page(summary, made.film, tmp_path / 'page.html')
    assert (tmp_path / 'page.html').stat().st_size < 5e6 + 4 / 3 * made.film.stat().st_size
    tree = parsed(tmp_path / 'page.html')
    shown = [int(shot.get('data-of')) - 1 for shot in tree.findall('.//ul/li')]
    # Scores rise from shot to shot, so the best are the last ones.
    assert shown == sorted(chosen)[-60:]
    assert '60 shots with the highest scores among the 150' in text_of(tree.find('.//body'))


@pytest.mark.parametrize('seconds', [9.3, 27.0, 258.6, 4000.0, 6100.0])
def test_no_time_below_the_curve_is_cut_off(seconds, made, tmp_path):
    summary = pages.summary_of(made.summary.path, 10, [0], n_frames=10 * round(seconds * pages.FPS / 10))
    seen = {summary.key_frame(span): scene(0, height=270, width=480) for span in summary.shots}
    page.write_page(summary, made.film, tmp_path / 'page.html', seen=seen)
    (chart,) = (svg for svg in parsed(tmp_path / 'page.html').iter() if svg.get('class') == 'chart')
    labels = [text for text in chart if text.get('class') == 'label']
    assert len(labels) >= 2
    for label in labels:
        # On a screen of 320 pixels the chart has 250 of them; digits of 11 pixels are up to 7 wide.
        width = sum(7 if letter.isdigit() else 4 for letter in label.text)
        assert float(label.get('x').rstrip('%')) / 100 * 250 + width <= 250


@pytest.mark.parametrize('level', [0.0, 0.5, 1.0])
def test_equal_scores_are_drawn(made, tmp_path, level):
    scores = np.full(len(made.summary.picks), level, np.float32)
    fields = vars(made.summary) | {'scores': scores}
    page.write_page(Summary(**fields), made.film, tmp_path / 'page.html')
    curves = [path for path in parsed(tmp_path / 'page.html').iter() if path.get('class') == 'curve']
    heights = {y for _, y in steps(curves[0].get('d'))}
    assert len(heights) == 1 and 0 <= heights.pop() <= 100


def test_a_page_that_cannot_be_written_leaves_nothing(made, tmp_path):
    (tmp_path / 'file').write_text('in the way')
    with pytest.raises(InputError, match='cannot be written'):
        page.write_page(made.summary, made.film, tmp_path / 'file' / 'page.html')
    assert [path.name for path in tmp_path.iterdir()] == ['file']
