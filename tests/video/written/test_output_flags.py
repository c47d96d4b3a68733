"""The command from flags to files, on a black film: nothing is trained."""

import json

import av
import pytest
from rendered import write_video
from summarizing import black, film

from trsum_jax.video import choosing, recutting


@pytest.fixture
def films(tmp_path):
    folder = tmp_path / 'films'
    folder.mkdir()
    for name in ('a', 'b'):
        write_video(folder / f'{name}.mp4', black(20), range(0, 2000, 100), fps=10)
    (folder / 'a.srt').write_text('1\n00:00:00,000 --> 00:00:02,000\nall along\n')
    return folder


NO_PICTURES = ('--page=', '--storyboard=', '--json=')


def test_subtitles_are_cut_along_where_there_are_some(command, films, tmp_path, capsys):
    assert command(f'--videos={films}', '--chapters=.txt', *NO_PICTURES) is None
    made = sorted(path.name for path in (films / 'summaries').iterdir())
    assert made == [
        *(f'a-summary{end}' for end in ('.mp4', '.srt', '.txt')),
        *(f'b-summary{end}' for end in ('.mp4', '.txt')),
    ]
    assert (films / 'summaries' / 'b-summary.txt').read_text().startswith('0:00 Shot')
    assert 'all along' in (films / 'summaries' / 'a-summary.srt').read_text()
    assert 'a-summary.srt' in capsys.readouterr().out

    told = command(f'--videos={films}', f'--chapters={tmp_path}/c.txt', '--overwrite')
    assert 'expected an ending, .txt, with --videos of 2' in told

    to = f'--output={tmp_path}/s.mp4'
    told = command(f'--video={films}/b.mp4', to, f'--subtitles={tmp_path}/s.srt')
    assert 'expected subtitles in the video, or as' in told
    told = command(f'--video={films}/a.mp4', to, f'--subtitles={films}/a.srt', '--overwrite')
    assert 'found its subtitles' in told
    assert 'all along' in (films / 'a.srt').read_text()
    assert 'ending in .srt' in command(f'--video={films}/a.mp4', to, f'--subtitles={tmp_path}/s.vtt')
    assert command(f'--video={films}/a.mp4', to, '--subtitles=', *NO_PICTURES) is None
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ['s.mp4']


@pytest.mark.parametrize(
    ('ending', 'form', 'codec', 'kind'),
    [('mov', 'mov', 'h264', 'video/mp4'), ('webm', 'webm', 'vp9', 'video/webm')],
)
def test_the_ending_tells_the_kind_of_film(command, films, tmp_path, capsys, ending, form, codec, kind):
    assert command(f'--videos={films}', f'--output=.{ending}', '--json=', '--storyboard=') is None
    places = films / 'summaries'
    films_made = sorted(path.name for path in places.glob(f'*.{ending}'))
    assert films_made == [f'a-summary.{ending}', f'b-summary.{ending}']
    with av.open(str(places / films_made[0])) as container:
        assert form in container.format.name.split(',')
        assert container.streams.video[0].codec_context.codec.canonical_name == codec
        assert sum(1 for _ in container.decode(video=0)) == 3
    assert f'data:{kind};base64,' in (places / 'a-summary.html').read_text()
    # Beside its video it is known for what it is.
    (films / f'b-summary.{ending}').write_bytes((places / films_made[1]).read_bytes())
    assert command(f'--videos={films}', f'--output={tmp_path}/more', *NO_PICTURES) is None
    assert f'summaries that were made before: b-summary.{ending}' in capsys.readouterr().err
    assert 'expected a folder' in command(f'--videos={films}', f'--output={tmp_path}/all.{ending}')


def test_parts_go_to_folders_of_their_own(command, films, tmp_path, capsys):
    # Two parts of a film that is shorter than one would be.
    places = (f'--clips={tmp_path}/parts', f'--stills={tmp_path}/parts', '--preview=.gif', '--shortest=0.1')
    assert command(f'--videos={films}', *places, *NO_PICTURES) is None
    made = {path.name for path in (tmp_path / 'parts').iterdir()}
    ends = ('-01.mp4', '-02.mp4', '-01.jpg', '-02.jpg')
    assert made == {f'{name}-summary{end}' for name in 'ab' for end in ends}
    assert {path.suffix for path in (films / 'summaries').iterdir()} == {'.mp4', '.gif', '.srt'}
    assert f'{tmp_path}/parts' in capsys.readouterr().out
    to = f'--output={tmp_path}/a-summary.mp4'
    (tmp_path / 'parts' / 'a-summary-01.mp4').unlink()
    told = command(f'--video={films}/a.mp4', to, *places)
    assert 'a-summary-02.mp4: exists already' in told
    assert 'is a file' in command(f'--video={films}/a.mp4', to, f'--clips={films}/b.mp4')
    assert not (tmp_path / 'a-summary.mp4').exists()


def test_shots_are_kept_and_dropped_by_the_numbers_of_the_summary_before(command, tmp_path):
    video = film(tmp_path / 'a.mp4', range(6))

    def shots(name, *marks):
        asked = '--quick', f'--output={tmp_path}/{name}.mp4', *NO_PICTURES[:2], *marks
        assert command(f'--video={video}', *asked) is None
        return json.loads((tmp_path / f'{name}.json').read_text())['shots']

    before = shots('one', '--seconds=4.5')
    shown, hidden = ([one['number'] for one in before if one['chosen'] == chosen] for chosen in (True, False))
    marks = f'--keep={hidden[0]}', f'--drop={shown[0]}'
    after = shots('two', '--seconds=4.5', *marks)
    frames = [set(range(one['first_frame'], one['last_frame'] + 1)) for one in before]
    spans = [(one['first_frame'], one['last_frame'] + 1) for one in after if one['chosen']]
    seen = {frame for span in spans for frame in range(*span)}
    assert frames[hidden[0] - 1] <= seen
    assert not frames[shown[0] - 1] & seen
    # The same marks on the JSON choose the same.
    assert [one['number'] for one in before] == list(range(1, len(before) + 1))
    kept, dropped = recutting.parse_marks(str(hidden[0]), str(shown[0]))
    again, _ = choosing.choose_again(recutting.read_summary(tmp_path / 'one.json')[0], kept, dropped)
    assert seen == {frame for first, last in again.parts for frame in range(first, last + 1)}

    asked = '--quick', '--seconds=4.5', f'--output={tmp_path}/x.mp4', '--keep=7'
    assert 'from 1 to 6' in command(f'--video={video}', *asked)
    (tmp_path / 'b.mp4').symlink_to(video)
    told = command(f'--videos={tmp_path}', '--quick', '--keep=1')
    assert told.startswith('--keep and --drop: expected one video, whose shots they are, found ')
