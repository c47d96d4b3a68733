"""Pages for the browser: from a template to one file that asks the network for nothing."""

import base64
import hashlib
import importlib.resources
import io
import os
import pathlib
import urllib.parse
from collections.abc import Iterator
from typing import Any, BinaryIO

import jinja2
import numpy as np
from PIL import Image

from trsum_jax import files
from trsum_jax.video.summary import clock

_QUALITY = 80
# Divisible by 3: pieces of base64 then join without padding in between.
_PIECE = 3 << 20


def render(output: pathlib.Path, template: str, *, ratio: float = 1.0, **fields: Any) -> None:
    """Writes a page, whole or not at all; a piece at a time, so that it never sits in memory with its film.

    Args:
        output: the page; replaced where it exists.
        template: the name of its template in this folder.
        ratio: width by height of the film, for the style.
        fields: of the template; it also gets `style`, and the filters `clock` and `digest`.

    Raises:
        InputError: it cannot be written.
    """
    jinja = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    jinja.filters |= {'clock': clock, 'digest': _digest}
    style = f'{source("page.css")}:root {{ --ratio: {ratio:.4f} }}\n'
    pieces = jinja.from_string(source(template)).generate(style=style, **fields)
    with files.replacing(output) as temporary, temporary.open('w', encoding='utf-8', newline='\n') as page:
        page.writelines(pieces)


def data_uri(kind: str, file: BinaryIO) -> Iterator[str]:
    """A file as an address that holds it, in pieces.

    Args:
        kind: its MIME type.
        file: open for reading.

    Yields:
        The pieces of the address.
    """
    yield f'data:{kind};base64,'
    while piece := file.read(_PIECE):
        yield base64.b64encode(piece).decode('ascii')


def jpeg_uri(picture: np.ndarray) -> str:
    """A picture, [H, W, 3] uint8, as an address that holds it as JPEG."""
    jpeg = io.BytesIO()
    Image.fromarray(picture).save(jpeg, 'JPEG', quality=_QUALITY)
    jpeg.seek(0)
    return ''.join(data_uri('image/jpeg', jpeg))


def reference(file: pathlib.Path, output: pathlib.Path) -> str:
    """A file's place as seen from the folder of a page or a JSON, as a relative URL."""
    place = pathlib.Path(os.path.relpath(file, output.parent))
    return urllib.parse.quote(os.fsencode(place.as_posix()))


def source(name: str) -> str:
    """The text of a file of this folder, as it was installed."""
    return importlib.resources.files(__package__).joinpath(name).read_text(encoding='utf-8')


def _digest(text: str) -> str:
    """What a content security policy calls an inline style or script: its SHA-256."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
