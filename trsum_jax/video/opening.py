"""The one door between file names and FFmpeg, which takes names for addresses and some files for scripts."""

import contextlib
import os
import pathlib
import re
from collections.abc import Iterator, Mapping

import av
import av.logging

from trsum_jax.errors import InputError
from trsum_jax.files import shown

# The demuxers that hold moving pictures and read nothing but the file that they are given. What is not here
# is refused: playlists and scripts (hls, dash, concat, sdp, vobsub, …) name other files or machines, image2
# takes a name for a pattern, lavfi and the like make pictures or record them.
FORMATS = (
    # What telephones, cameras and editors write: .mp4 .mov .m4v .3gp .3g2 .f4v, .mkv .webm, .avi, .mxf, .dv.
    *('mov', 'matroska', 'webm', 'avi', 'mxf', 'dv', 'gxf', 'lxf'),
    # Broadcast, discs and recorders: .mpg .vob .m2p, .ts .mts .m2ts, TiVo, Windows and Linux recorders.
    *('mpeg', 'mpegts', 'mpegtsraw', 'ty', 'wtv', 'nuv', 'pva'),
    # The web of earlier years: .flv, .wmv .asf, .rm .rmvb, .ogv, .nsv, .viv, .swf, .nut.
    *('flv', 'kux', 'asf', 'asf_o', 'rm', 'ogg', 'nsv', 'vivo', 'swf', 'nut'),
    # Surveillance: .dav and other recorders of shops and streets, cameras that send MIME parts.
    *('dhav', 'ifv', 'luodat', 'hxvs', 'iv8', 'mpjpeg', 'mxg'),
    # Laboratories: high speed, astronomy, uncompressed.
    *('cine', 'ser', 'yuv4mpegpipe'),
    # Streams without a container, as encoders and cutting tools leave them.
    *('h261', 'h263', 'h264', 'hevc', 'vvc', 'evc', 'm4v', 'mpegvideo', 'vc1', 'vc1test', 'dirac', 'ivf'),
    *('av1', 'obu', 'avs2', 'avs3', 'cavsvideo', 'mjpeg', 'smjpeg', 'dnxhd', 'apv'),
    # Moving pictures of the web.
    *('gif', 'apng', 'jpegxl_anim', 'flic'),
)
# Known only to be refused in the right words.
_PLAYLISTS = ('hls', 'dash', 'concat', 'imf', 'sdp', 'rtsp', 'webm_dash_manifest', 'vobsub', 'mlv')
_SOUNDS = (
    'aac',
    'ac3',
    'aiff',
    'amr',
    'ape',
    'au',
    'caf',
    'dts',
    'eac3',
    'flac',
    'mp3',
    'oma',
    'w64',
    'wav',
    'wv',
)
# A scheme of two letters or more, which no drive has; `Path` makes one slash of two.
ADDRESS = re.compile(r'[A-Za-z][A-Za-z0-9+.-]+:/')
# Bytes of a tag that are no UTF-8 come as surrogates: of PyAV 19 always, of an older one when told so.
_TAGS = {} if int(av.__version__.split('.')[0]) >= 19 else {'metadata_errors': 'surrogateescape'}


def open_input(path: str | os.PathLike) -> av.container.InputContainer:
    """Opens a video for reading: that file, no other one and no address, whatever its name and content.

    Args:
        path: a file on this machine, of any name: with a colon, `%d`, a line break, bytes that are no text.

    Returns:
        The open container; tags that are not UTF-8 have escapes such as `\\xe9` in them.

    Raises:
        InputError: no such file, one that may not be read, or not a video of `FORMATS`.
    """
    place = pathlib.Path(path)
    if not place.is_file():
        if ADDRESS.match(str(path)):
            raise InputError(
                f'{shown(path)}: expected a file on this machine, found an address; download it first'
            )
        found = 'a folder' if place.is_dir() else 'something else' if place.exists() else 'nothing'
        raise InputError(f'{shown(path)}: expected a video file, found {found} there; check the path')
    try:
        return _open(path)
    except PermissionError as error:
        raise InputError(
            f'{shown(path)}: may not be read ({error.strerror}); ask its owner, or chmod'
        ) from error
    except av.error.FFmpegError as error:
        if form := _refused_format(path):
            raise InputError(f'{shown(path)}: {_in_words(form)}') from error
        raise InputError(
            f'{shown(path)}: cannot be opened as a video ({error.strerror}); expected a whole file that '
            'FFmpeg reads (mp4, mkv, webm, …). Does it play? Fetch it again if a download broke off'
        ) from error


def open_subtitles(path: str | os.PathLike) -> av.container.InputContainer:
    """Opens an .srt: that file and no other, as `open_input` does.

    Args:
        path: the file.

    Returns:
        The open container, whose one stream is its text.

    Raises:
        InputError: no such file, one that may not be read, or no SubRip.
    """
    try:
        options = {'protocol_whitelist': 'file', 'format_whitelist': 'srt'}
        return av.open(_address(path), format='srt', options=options)
    except (OSError, av.error.FFmpegError) as error:
        raise InputError(f'{shown(path)}: expected subtitles (SubRip), found none; mend the file') from error


def open_output(
    path: str | os.PathLike, form: str, options: Mapping[str, str] | None = None
) -> av.container.OutputContainer:
    """Opens a file for writing, whatever its name.

    Args:
        path: the file; replaced where it exists.
        form: FFmpeg's name of the container, such as `mp4`; the name of the file tells nothing.
        options: of the muxer.

    Returns:
        The open container.
    """
    options = {**(options or {}), 'protocol_whitelist': 'file'}
    return av.open(_address(path), 'w', format=form, options=options)


def packets(
    container: av.container.InputContainer, stream: av.stream.Stream, notes: list[str]
) -> Iterator[av.Packet]:
    """The packets of a stream up to where the file breaks off, which is noted.

    Args:
        container: an open file.
        stream: one of its streams.
        notes: gets a line if the file breaks off.

    Yields:
        av.Packet.
    """
    found = container.demux(stream)
    while True:
        try:
            packet = next(found, None)
        except av.error.FFmpegError as error:
            notes.append(f'breaks off ({error.strerror}); the part before it is used')
            return
        if packet is None:
            return
        yield packet


@contextlib.contextmanager
def naming(path: str | os.PathLike) -> Iterator[None]:
    """What FFmpeg refuses of a video on the way, in words: what is not foreseen, and so not caught before.

    Args:
        path: the video.

    Raises:
        InputError: where an error of FFmpeg comes through.
    """
    try:
        yield
    except av.error.FFmpegError as error:
        raise InputError(
            f'{shown(path)}: FFmpeg gives up on it ({error.strerror}); convert the video, or leave it out'
        ) from error


def cores(most: int) -> int:
    """The processor's cores that this process may have, but at most `most`."""
    there = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    return min(there, most)


def tags_of(source: av.container.InputContainer | av.stream.Stream) -> dict[str, str]:
    """The tags of an open file, or of a stream: bytes that are no UTF-8 are spelled out, as `\\xe9`."""

    def text(given: str) -> str:
        return given.encode('utf-8', 'surrogateescape').decode('utf-8', 'backslashreplace')

    return {text(name): text(value) for name, value in source.metadata.items()}


def _open(path: str | os.PathLike) -> av.container.InputContainer:
    options = {'protocol_whitelist': 'file', 'format_whitelist': ','.join(FORMATS)}
    return av.open(_address(path), options=options, **_TAGS)


def _address(path: str | os.PathLike) -> str:
    """FFmpeg takes what stands before a colon or a comma for a protocol, but not after `file:`."""
    return f'file:{pathlib.Path(path).absolute()}'


def _refused_format(path: str | os.PathLike) -> str | None:
    """FFmpeg's name of a format that is not in `FORMATS`, which it tells in its log only."""
    level, skips = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    # The message on a file of the same kind before this one is the same.
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture(local=True) as log, contextlib.suppress(av.error.FFmpegError):
            _open(path).close()
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skips)
    return next((name for _, name, message in log if message.startswith('Format not on whitelist')), None)


def _in_words(form: str) -> str:
    if form in _PLAYLISTS:
        return f'is a playlist ({form}), which names other files; give the video itself'
    if form in _SOUNDS:
        return f'expected a video stream, found only audio ({form}); leave this file out'
    if form == 'image2' or form.endswith('_pipe'):
        return f'expected a video, found a picture ({form}); leave this file out'
    kind = av.format.ContainerFormat(form.split(',')[0], 'r').long_name
    return f'expected a video (mp4, mkv, webm, …), found {kind} ({form}), which is not read here; convert it'
