"""A folder to one page and one film, on black films: nothing is trained."""

import pathlib
from urllib.parse import unquote, urlsplit

import av
import pytest

pytest.importorskip('html5lib')

import html5lib
from rendered import write_video
from summarizing import black

NO_FILES = ('--storyboard=', '--json=')
HOSTILE = '"><b>&é #1.mp4'


@pytest.fixture
def films(tmp_path):
    folder = tmp_path / 'films'
    folder.mkdir()
    write_video(folder / 'a.mp4', black(20), range(0, 2000, 100), fps=10)
    write_video(folder / HOSTILE, black(30, 64, 48), range(0, 3000, 100), fps=10)
    (folder / 'broken.mp4').write_bytes(b'no film')
    return folder


def parsed(path):
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    return parser.parse(path.read_text(encoding='utf-8'))


def frames_of(path):
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def leads_to(link: str, page: pathlib.Path) -> pathlib.Path:
    place = urlsplit(link)
    assert not place.scheme and not place.query
    return page.parent / unquote(place.path)


def test_a_folder_gets_a_page_and_a_film_and_names_what_is_broken(command, films, capsys):
    together = films / 'all of them.mp4'
    assert command(f'--videos={films}', f'--together={together}', *NO_FILES, code=2) is None
    assert 'broken.mp4' in capsys.readouterr().err
    index = films / 'summaries' / 'index.html'
    tree = parsed(index)
    names = [''.join(title.itertext()).strip() for title in tree.findall('.//article/h2')]
    assert names == [HOSTILE, 'a.mp4']
    for article, name in zip(tree.findall('.//article'), names, strict=True):
        stem = f'{pathlib.Path(name).stem}-summary'
        links = [link.get('href') for link in article.iter('a')]
        # Twice to its page, to its film, and to its place in the film of all.
        ends = [leads_to(link, index) for link in links]
        beside = [index.with_name(f'{stem}{end}') for end in ('.html', '.html', '.mp4')]
        assert ends[:3] == beside and ends[3].samefile(together)
        assert all(place.is_file() for place in ends)
        assert all(picture.get('src').startswith('data:image/jpeg') for picture in article.iter('img'))
        assert len(list(article.iter('img'))) >= 1
        # Without data there is nothing to make again.
        assert 'data-command=' not in leads_to(links[0], index).read_text()
    # At 30 a second, the least usual rate that is a multiple of 10.
    lengths = [frames_of(index.with_name(f'{pathlib.Path(name).stem}-summary.mp4')) / 10 for name in names]
    assert links[3].endswith(f'#t={lengths[0]:.2f}') and min(lengths) > 0
    assert frames_of(together) == round(30 * sum(lengths))
    assert tree.find('.//video').get('src') == links[3].partition('#')[0]
    (left,) = tree.findall(".//ul[@class='left']/li")
    assert left.text.startswith('broken.mp4: cannot be opened') and str(films) not in left.text
    with av.open(str(together)) as container:
        assert [chapter['metadata']['title'] for chapter in container.chapters()] == [HOSTILE[:-4], 'a']


def test_what_is_there_stays_and_what_makes_no_sense_is_refused(command, films, tmp_path):
    (films / 'broken.mp4').unlink()
    places = films / 'summaries'
    places.mkdir()
    (places / 'index.html').write_text('mine')
    assert command(f'--videos={films}', '--storyboard=') is None
    assert 'data-command="trsum recut a-summary.json"' in (places / 'a-summary.html').read_text()
    assert (places / 'index.html').read_text() == 'mine'
    assert len(parsed(places / 'index-2.html').findall('.//article')) == 2

    again = f'--videos={films}', f'--output={tmp_path}/others', *NO_FILES
    assert command(*again, '--page=') is None
    assert not list((tmp_path / 'others').glob('*.html'))
    # Without pages of its own it leads to the films.
    assert command(*again, '--page=', f'--index={tmp_path}/i.html', '--overwrite') is None
    links = [link.get('href') for link in parsed(tmp_path / 'i.html').iter('a')]
    assert all(leads_to(link, tmp_path / 'i.html').suffix == '.mp4' for link in links) and len(links) == 6

    assert 'exists already' in command(*again, '--page=', f'--index={tmp_path}/i.html')
    assert 'ending in .html' in command(*again, f'--index={tmp_path}/i.txt', '--overwrite')
    told = command(*again, f'--together={tmp_path}/all.avi', '--overwrite')
    assert '--together' in told and 'ending in .mp4' in told
    told = command(*again, f'--together={films}/a.mp4', '--overwrite')
    assert 'expected a file of its own, found the video' in told
    for flag in ('index=x.html', 'together=x.mp4'):
        told = command(f'--video={films}/a.mp4', f'--output={tmp_path}/x.mp4', f'--{flag}')
        assert 'expected several videos' in told
