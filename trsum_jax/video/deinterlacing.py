"""Interlaced pictures made progressive: players and pages show whole pictures, and combs spoil features."""

import collections
from collections.abc import Iterable, Iterator

import av
import av.filter

# One picture for every frame, so that times and numbers stay; frames that are progressive pass.
_FILTER, _HOW = 'bwdif', 'mode=send_frame:deint=interlaced'
# Pixels: the filter has no use for less.
_LEAST = 8


def deinterlaced(frames: Iterable[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    """Frames one for one, the interlaced ones deinterlaced by FFmpeg's bwdif, with stamps as they were.

    Args:
        frames: decoded, in order of presentation. Up to the first interlaced one they are passed on at once,
            from then on each is held until the next one has come.

    Yields:
        The frames, whole pictures all of them.
    """
    graph, form, waiting = None, None, collections.deque()
    for frame in frames:
        if graph is None and not (frame.interlaced_frame and min(frame.width, frame.height) >= _LEAST):
            yield frame
            continue
        if form != (frame.width, frame.height, frame.format.name):
            if graph is not None:
                yield from _passed(graph, None, waiting)
            form = (frame.width, frame.height, frame.format.name)
            graph = _graph(frame)
        waiting.append(frame)
        yield from _passed(graph, frame, waiting)
    if graph is not None:
        yield from _passed(graph, None, waiting)


def _graph(frame: av.VideoFrame) -> av.filter.Graph:
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
    )
    graph.link_nodes(source, graph.add(_FILTER, _HOW), graph.add('buffersink')).configure()
    return graph


def _passed(
    graph: av.filter.Graph, frame: av.VideoFrame | None, waiting: collections.deque[av.VideoFrame]
) -> Iterator[av.VideoFrame]:
    """What the filter gives for one frame more, or at the end."""
    graph.vpush(frame)
    while waiting:
        try:
            shown = graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
        before = waiting.popleft()
        shown.pts, shown.dts, shown.time_base = before.pts, before.dts, before.time_base
        shown.duration, shown.opaque = before.duration, before.opaque
        yield shown
