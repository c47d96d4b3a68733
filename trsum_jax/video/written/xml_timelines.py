"""Timelines in XML: FCPXML for Final Cut Pro, and Final Cut Pro 7's for Premiere and DaVinci Resolve."""

import pathlib
from fractions import Fraction
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from trsum_jax import files
from trsum_jax.video.reading import VideoReader
from trsum_jax.video.summary import Summary
from trsum_jax.video.timecode import Count

if TYPE_CHECKING:
    import opentimelineio

# Read by Final Cut Pro since 10.6 and by DaVinci Resolve; media lie in `media-rep` since 1.9.
_VERSION = '1.10'
_LAYOUTS = {1: 'mono', 2: 'stereo'}
# How FCPXML names the rates of a sequence's sound.
_RATES = {32000: '32k', 44100: '44.1k', 48000: '48k', 88200: '88.2k', 96000: '96k'}


def fcpxml(summary: Summary, count: Count, sound: list[dict]) -> str:
    """The cut as FCPXML: the parts one after another, each with all its sound.

    Written here: the adapter of OpenTimelineIO fails at 23.976 and 12.5 frames a second, and starts another
    program on the video.

    Args:
        summary: what to write.
        count: how frames are numbered; all times are multiples of its frame.
        sound: every sound track of the file, in order: `channels`, samples per second as `rate`, and whether
            it is `heard`; those that are not are there and switched off.

    Returns:
        The document.
    """
    frame = 1 / Fraction(count.rate).limit_denominator(1001)
    name, kind = files.shown(summary.path.name), {'tcFormat': 'DF' if count.drop else 'NDF'}
    width, height = upright_size(summary.path)

    def time(number: int) -> str:
        exact = number * frame
        return f'{exact.numerator}s' if exact.denominator == 1 else f'{exact.numerator}/{exact.denominator}s'

    root = ElementTree.Element('fcpxml', version=_VERSION)
    resources = ElementTree.SubElement(root, 'resources')
    shape = {'frameDuration': time(1), 'width': str(width), 'height': str(height)}
    ElementTree.SubElement(resources, 'format', id='r1', **shape)
    times = {'start': time(count.start), 'duration': time(count.number(summary.duration) - count.start)}
    has = {'hasVideo': '1', 'format': 'r1', 'videoSources': '1'}
    channels, heard = [track['channels'] for track in sound], [track for track in sound if track['heard']]
    if sound:
        has |= {'hasAudio': '1', 'audioSources': str(len(sound)), 'audioChannels': str(sum(channels))}
        has['audioRate'] = str(sound[0]['rate'])
    asset = ElementTree.SubElement(resources, 'asset', id='r2', name=name, **times, **has)
    ElementTree.SubElement(asset, 'media-rep', kind='original-media', src=summary.path.resolve().as_uri())

    title = f'{files.shown(summary.path.stem)} summary'
    event = ElementTree.SubElement(ElementTree.SubElement(root, 'library'), 'event', name=title)
    project = ElementTree.SubElement(event, 'project', name=title)
    spans = [tuple(map(count.number, span)) for span in summary.film_spans]
    whole = sum(last - first for first, last in spans)
    heading = {'format': 'r1', 'duration': time(whole), 'tcStart': '0s', **kind}
    if heard:
        heading['audioLayout'] = _LAYOUTS.get(max(track['channels'] for track in heard), 'surround')
        heading['audioRate'] = _RATES.get(heard[0]['rate'], '48k')
    spine = ElementTree.SubElement(ElementTree.SubElement(project, 'sequence', heading), 'spine')
    at = 0
    for first, last in spans:
        where = {'offset': time(at), 'start': time(first), 'duration': time(last - first)}
        sources = {} if heard or not sound else {'srcEnable': 'video'}
        clip = ElementTree.SubElement(spine, 'asset-clip', ref='r2', name=name, **where, **kind, **sources)
        if heard and len(sound) > 1:
            for place, track in enumerate(sound):
                begin = sum(channels[:place])
                those = ', '.join(str(begin + 1 + channel) for channel in range(track['channels']))
                on = '1' if track['heard'] else '0'
                ElementTree.SubElement(clip, 'audio-channel-source', srcCh=those, enabled=on)
        at += last - first
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding='unicode')
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n{text}\n'


def describe_for_xmeml(
    timeline: 'opentimelineio.schema.Timeline',
    summary: Summary,
    count: Count,
    sound: list[dict],
) -> None:
    """Tells the adapter of Final Cut Pro 7's XML what it does not see: size, timecode, channels of sound.

    Args:
        timeline: of pictures alone; gets a sound track for each channel, as the format has them.
        summary: what it shows.
        count: how its frames are numbered.
        sound: every sound track of the file: `channels`, samples per second as `rate`, and whether it is
            `heard`.
    """
    from opentimelineio import opentime, schema

    nominal = round(count.rate)
    rate = {'timebase': nominal, 'ntsc': 'FALSE' if nominal == count.rate else 'TRUE'}
    width, height = upright_size(summary.path)
    shape = {'rate': rate, 'width': width, 'height': height}
    stamps = {'displayformat': 'DF' if count.drop else 'NDF'}
    begin = opentime.RationalTime(0, count.rate)
    timeline.global_start_time = begin
    timeline.metadata['fcp_xml'] = {
        'media': {'video': {'format': {'samplecharacteristics': shape}}},
        'timecode': stamps,
    }
    media = {'video': {'samplecharacteristics': shape}}
    if sound:
        media['audio'] = [
            {'samplecharacteristics': {'samplerate': one['rate']}, 'channelcount': one['channels']}
            for one in sound
        ]
    (pictures,) = timeline.tracks
    for clip in pictures:
        clip.media_reference.metadata['fcp_xml'] = {'media': media, 'timecode': stamps}
    channel = 0
    for one in sound:
        for _ in range(one['channels']):
            channel += 1
            if not one['heard']:
                continue
            track = schema.Track(f'Audio {channel}', kind=schema.TrackKind.Audio)
            for clip in pictures:
                copy = clip.clone()
                source = {'mediatype': 'audio', 'trackindex': channel}
                copy.metadata['fcp_xml'] = {'sourcetrack': source}
                track.append(copy)
            timeline.tracks.append(track)


def upright_size(path: pathlib.Path) -> tuple[int, int]:
    """Width and height of a video as it is seen, in its own pixels.

    Args:
        path: the video.

    Returns:
        Pixels, as turned by the file's display matrix.

    Raises:
        InputError: nothing decodes.
    """
    with VideoReader(path) as reader:
        _, _, frame = next(reader.frames())
        size = frame.width, frame.height
        return size[::-1] if frame.rotation % 180 else size
