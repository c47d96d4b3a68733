"""What people give by mistake or have in odd shape: a summary that plays, or one message and no file."""

import os
import subprocess
import sys
import wave

import numpy as np
import pytest

pytest.importorskip('av')
pytest.importorskip('skimage')

import av
from rendered import scene, steady, write_video
from summarizing import black, film

pytestmark = pytest.mark.usefixtures('programs_shared')


def refused(command, path, message, tmp_path):
    output = tmp_path / 'out'
    output.mkdir()
    told = command(f'--video={path}', f'--output={output}/s.mp4')
    assert told is not None, 'went through'
    assert message in told
    assert '\n' not in told
    assert list(output.iterdir()) == []


def plays(command, path, tmp_path, *flags):
    """Summarizes; gives the summary's pictures [n, H, W, 3] and its length in seconds."""
    output = tmp_path / 's.mp4'
    assert command(f'--video={path}', f'--output={output}', *flags) is None
    with av.open(str(output)) as container:
        stream = container.streams.video[0]
        pictures = [frame.to_ndarray(format='rgb24') for frame in container.decode(stream)]
        length = float(stream.duration * stream.time_base)
    assert pictures
    for ending in ('.html', '.json', '.png'):
        assert output.with_suffix(ending).stat().st_size > 100
    return np.stack(pictures), length


def write_sound(path):
    with wave.open(str(path), 'wb') as sound:
        sound.setparams((1, 2, 8000, 0, 'NONE', ''))
        sound.writeframes(bytes(16_000))


def test_sound_only(command, tmp_path):
    write_sound(tmp_path / 'a.wav')
    refused(command, tmp_path / 'a.wav', 'expected a video stream, found only audio', tmp_path)


def test_no_video_stream(command, tmp_path):
    with av.open(str(tmp_path / 'a.mkv'), 'w') as container:
        stream = container.add_stream('ass')
        packet = av.Packet(b'0,0,Default,,0,0,0,,hello')
        packet.stream, packet.pts, packet.dts, packet.duration = stream, 0, 0, 1000
        container.mux(packet)
    refused(command, tmp_path / 'a.mkv', 'expected a video stream, found only subtitle', tmp_path)


def test_zero_length(command, tmp_path):
    (tmp_path / 'a.mp4').touch()
    refused(command, tmp_path / 'a.mp4', 'a.mp4: cannot be opened as a video', tmp_path)


def test_a_header_without_frames(command, tmp_path):
    whole = steady(tmp_path / 'b.mkv', 5, 10).read_bytes()
    (tmp_path / 'a.mkv').write_bytes(whole[: whole.index(b'\x1f\x43\xb6\x75')])  # before the first cluster
    refused(command, tmp_path / 'a.mkv', 'a.mkv: cannot be opened as a video (End of file)', tmp_path)


def test_text_renamed(command, tmp_path):
    (tmp_path / 'a.mp4').write_text('what I did on holiday\n' * 100)
    refused(command, tmp_path / 'a.mp4', 'a.mp4: cannot be opened as a video', tmp_path)


def test_absent(command, tmp_path):
    refused(command, tmp_path / 'a.mp4', 'expected a video file, found nothing there', tmp_path)


def test_folder_instead_of_a_file(command, tmp_path):
    refused(command, tmp_path, 'expected a video file, found a folder there', tmp_path)


def test_address(command, tmp_path):
    address = 'https://example.org/holiday.mp4'
    refused(command, address, 'found an address; download it first', tmp_path)


def test_unreadable(command, tmp_path):
    film(tmp_path / 'a.mp4')
    (tmp_path / 'a.mp4').chmod(0)
    if os.access(tmp_path / 'a.mp4', os.R_OK):
        pytest.skip('this user may read every file (root)')
    refused(command, tmp_path / 'a.mp4', 'a.mp4: may not be read (Permission denied)', tmp_path)


def test_unreadable_as_the_system_says_it(command, tmp_path, monkeypatch):
    film(tmp_path / 'a.mp4')

    def denied(name, **_):
        raise av.error.PermissionError(13, 'Permission denied', name)

    monkeypatch.setattr('trsum_jax.video.opening.av.open', denied)
    refused(command, tmp_path / 'a.mp4', 'a.mp4: may not be read (Permission denied)', tmp_path)


@pytest.mark.parametrize(
    ('name', 'codec', 'tags'), [('a.mp4', 'libx264', b'avc1'), ('a.avi', 'mpeg4', b'FMP4 mp4v')]
)
def test_codec_that_is_not_there(command, tmp_path, name, codec, tags):
    content = steady(tmp_path / name, 20, 10, codec=codec).read_bytes()
    for tag in tags.split():
        content = content.replace(tag, b'zz00')
    (tmp_path / name).write_bytes(content)
    refused(
        command,
        tmp_path / name,
        f'{name}: its pictures are in a codec that this FFmpeg has no decoder',
        tmp_path,
    )


def test_cut_off_without_its_index(command, tmp_path):
    whole = film(tmp_path / 'a.mp4').read_bytes()
    (tmp_path / 'a.mp4').write_bytes(whole[: len(whole) // 2])
    refused(command, tmp_path / 'a.mp4', 'Fetch it again if a download broke off', tmp_path)


def test_cut_off_but_readable(command, tmp_path, capsys):
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (60, 48, 64, 3), np.uint8)
    whole = write_video(tmp_path / 'a.mkv', pictures, range(0, 6000, 100)).read_bytes()
    (tmp_path / 'a.mkv').write_bytes(whole[: len(whole) // 2])
    _, length = plays(command, tmp_path / 'a.mkv', tmp_path)
    assert 0 < length < 1
    assert 'cut short' in capsys.readouterr().err


@pytest.mark.parametrize('n_frames', [1, 2])
def test_next_to_nothing(command, tmp_path, n_frames, capsys):
    pictures, length = plays(command, steady(tmp_path / 'a.mp4', n_frames, 10), tmp_path)
    assert len(pictures) == 1
    assert 0 < length <= 0.2
    assert ('it is a single frame' in capsys.readouterr().err) == (n_frames == 1)


def test_all_black(command, tmp_path, capsys):
    path = write_video(tmp_path / 'a.mp4', black(100), range(0, 10_000, 100))
    pictures, length = plays(command, path, tmp_path)
    assert pictures.max() < 20
    assert 0 < length <= 1.5
    told = capsys.readouterr()
    assert 'nothing tells its parts apart' in told.err
    assert 'even distances' in told.err
    assert 'nan' not in told.out.lower()


def test_slide_show_of_two_pictures(command, tmp_path):
    path = write_video(tmp_path / 'a.mkv', [scene(0), scene(1)], [0, 5000])
    pictures, _ = plays(command, path, tmp_path)
    assert len(pictures) == 1
    near = [np.abs(pictures[0].astype(int) - scene(seed)).mean() for seed in (0, 1)]
    assert min(near) < 8


def test_one_pixel(command, tmp_path):
    pictures = (np.full((1, 1, 3), 10 * (i // 10 % 20), np.uint8) for i in range(120))
    path = tmp_path / 'a.mkv'
    with av.open(str(path), 'w') as container:
        stream = container.add_stream('ffv1', rate=10)
        stream.width = stream.height = 1
        stream.pix_fmt = 'yuv444p'
        for i, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format='rgb24')
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    shown, length = plays(command, path, tmp_path)
    assert shown.shape[1] <= 2
    assert 0 < length <= 1.8


def test_eight_thousand_pixels_wide(command, tmp_path):
    picture = scene(0, height=4320, width=7680)
    path = write_video(tmp_path / 'a.mp4', [picture, picture[::-1]], [0, 500], fps=2, codec='mpeg4')
    shown, _ = plays(command, path, tmp_path)
    assert shown.shape == (1, 4320, 7680, 3)


def test_as_a_command_one_line_and_an_exit_code(tmp_path):
    write_sound(tmp_path / 'a.wav')
    run = [
        sys.executable,
        '-m',
        'trsum_jax.summarize',
        f'--video={tmp_path}/a.wav',
        f'--output={tmp_path}/s.mp4',
    ]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ''
    assert done.stderr.startswith('error: ')
    assert done.stderr.count('\n') == 1
    assert [path.name for path in tmp_path.iterdir()] == ['a.wav']
