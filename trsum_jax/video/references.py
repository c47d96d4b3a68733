"""Which packets hold reference frames, from which others are predicted; without decoding them."""

from collections.abc import Iterator

import av

# Of the head of a file: where the length of a packet's units is told, and which version is known.
_LENGTHS, _VERSION = {'h264': 4, 'hevc': 21}, 1
# Types of units with pixels: of H.264 slices (ITU-T H.264, table 7-1), of HEVC all below this (ITU-T H.265,
# table 7-1), of which the even ones up to the second are no reference for frames of their own layer.
_SLICES, _PIXELS, _LAST_PLAIN = {1, 2, 5}, 32, 14
# Of HEVC, too: pictures where one stream was joined to another (BLA), and the end of a stream.
_JOINS = {16, 17, 18, 36, 37}


def may_tell(context: av.codec.context.CodecContext) -> bool:
    """Whether packets of a stream tell it: of H.264 and HEVC, as .mp4, .mov and .mkv keep them."""
    place = _LENGTHS.get(context.codec.canonical_name)
    head = context.extradata
    return place is not None and bool(head) and head[0] == _VERSION and len(head) > place


def is_reference(context: av.codec.context.CodecContext, packet: av.Packet) -> bool | None:
    """Whether other frames may be predicted from that of a packet.

    H.264 says so (`nal_ref_idc`, clause 7.4.1). HEVC says it of frames of one temporal layer; where there
    are several, a frame that none of its own layer refers to may be referred to by higher ones.

    Args:
        context: of the stream, for which `may_tell` is true.
        packet: one of its packets.

    Returns:
        None where it cannot be told: damage, or several layers.
    """
    name = context.codec.canonical_name
    found = None
    for header in _headers(context, packet):
        if header is None:
            return None
        if name == 'h264':
            if header[0] & 31 in _SLICES:
                found = bool(found) or header[0] >> 5 & 3 > 0
        elif (kind := header[0] >> 1 & 63) < _PIXELS:
            if header[-1] & 7 != 1:
                return None
            found = bool(found) or kind > _LAST_PLAIN or kind % 2 == 1
    return found


def is_join(context: av.codec.context.CodecContext, packet: av.Packet) -> bool:
    """Whether an HEVC stream is joined to another here: frames after it may be coded and never be shown.

    Those are the leading pictures of a join that lean on what is not there (RASL; ITU-T H.265, 8.3.3). H.264
    has none.

    Args:
        context: of the stream, for which `may_tell` is true.
        packet: one of its packets.
    """
    if context.codec.canonical_name != 'hevc':
        return False
    return any(header and header[0] >> 1 & 63 in _JOINS for header in _headers(context, packet))


def _headers(context: av.codec.context.CodecContext, packet: av.Packet) -> Iterator[memoryview | None]:
    """The first two bytes of every unit of a packet; None where the lengths of these do not add up to it."""
    data, size = memoryview(packet), (context.extradata[_LENGTHS[context.codec.canonical_name]] & 3) + 1
    place = 0
    while place < len(data):
        begin = place + size
        place = begin + int.from_bytes(data[place:begin], 'big')
        if not begin < place <= len(data):
            yield None
            return
        yield data[begin : begin + 2]
