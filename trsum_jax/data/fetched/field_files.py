"""The four feature files that the whole field uses: what they are, where they are had, which file is one."""

import os
import pathlib
from typing import NamedTuple

from trsum_jax.data.fetched import download, git_lfs
from trsum_jax.files import sha256

REPOSITORY = 'https://github.com/mehryar72/RS-SUM'
SERVER = f'{REPOSITORY}.git/info/lfs'
_VSUMM = (
    'de Avila, Lopes, da Luz and Araujo: VSUMM, a mechanism designed to produce static video summaries and '
    'a novel evaluation method. Pattern Recognition Letters 32(1), 2011'
)


class FieldFile(NamedTuple):
    """One of the four.

    Attributes:
        name: its file's.
        size: in bytes.
        digest: its SHA-256, as the pointer in the repository gives it.
        dataset: its name.
        cite: the dataset's paper.
        terms: of the dataset, in words.
    """

    name: str
    size: int
    digest: str
    dataset: str
    cite: str
    terms: str


FIELD_FILES = {
    'summe': FieldFile(
        'eccv16_dataset_summe_google_pool5.h5',
        37_099_544,
        'db3816d2504f322c1107fd5e4d8d612380b1f3ca9cb1e5ce06a113f6515ab278',
        'SumMe',
        'Gygli, Grabner, Riemenschneider and Van Gool: Creating summaries from user videos. ECCV 2014',
        'for research purposes only',
    ),
    'tvsum': FieldFile(
        'eccv16_dataset_tvsum_google_pool5.h5',
        125_126_256,
        'ec9cbcc715887d30ba2ad46764cb810f07eb6d6241e96c0eac5fca51d398228b',
        'TVSum',
        'Song, Vallmitjana, Stent and Jaimes: TVSum: summarizing web videos using titles. CVPR 2015',
        'its videos are CC BY 3.0',
    ),
    'ovp': FieldFile(
        'eccv16_dataset_ovp_google_pool5.h5',
        40_816_768,
        'cdb0ffb5bdfaa8d416d61f9ff5dcdd8cfd57e58647f641f189a6f690d17e4398',
        'OVP',
        _VSUMM,
        'see its authors',
    ),
    'youtube': FieldFile(
        'eccv16_dataset_youtube_google_pool5.h5',
        60_632_496,
        '2df860644854c1d0c567f5daa600e2b758c687856c13bf2baaaeb1e4583ecddd',
        'YouTube',
        _VSUMM,
        'see its authors',
    ),
}


def fetch_field_file(name: str, folder: pathlib.Path) -> pathlib.Path:
    """Gives one of the four from a folder, fetching it first where it is not there.

    Args:
        name: of `FIELD_FILES`.
        folder: where it is kept; made where it is missing.

    Returns:
        The file, whole and of the right hash.

    Raises:
        InputError: as `download.fetch`.
    """
    file = FIELD_FILES[name]
    return download.fetch(
        f'{REPOSITORY}, LFS file {file.name}',
        folder,
        digest=file.digest,
        most=file.size,
        by_hand=' (docs/data.md says where the field shares it)',
        name=file.name,
        locate=lambda: git_lfs.locate(SERVER, file.digest, file.size),
    )


def which_field_file(path: str | os.PathLike) -> str:
    """Says whether a file is one of the four; only a file of the right size is read.

    Args:
        path: any.

    Returns:
        In words: its name for `trsum fetch`, or how it differs; `no` alone where it is nothing like them.
    """
    path = pathlib.Path(path)
    size = path.stat().st_size if path.is_file() else 0
    for name, file in FIELD_FILES.items():
        if size == file.size:
            found = sha256(path)
            if found == file.digest:
                return f'{name}, to the bit'
            return f'no: of the size of {name}, with the SHA-256 {found} in place of {file.digest}'
    return 'no'
