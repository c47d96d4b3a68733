"""Git's storage of large files (LFS), asked over plain HTTPS where a file of it is to be had.

Reference: the batch API and the basic transfer of git-lfs, `docs/api/` in its repository.
"""

import json

from trsum_jax.data.fetched import answers
from trsum_jax.data.fetched.answers import Unfetched
from trsum_jax.data.fetched.download import Address
from trsum_jax.files import shown

_KIND = 'application/vnd.git-lfs+json'


def locate(server: str, digest: str, size: int, *, patience: float = answers.PATIENCE) -> Address:
    """Asks a server where one of its files can be read.

    Args:
        server: its address, such as `https://github.com/OWNER/NAME.git/info/lfs`.
        digest: the file's SHA-256, which is its name there.
        size: its bytes.
        patience: seconds that the server may take to begin its answer.

    Returns:
        The address, which most servers give for some minutes.

    Raises:
        Unfetched: no network, a refusal, an answer of another kind.
    """
    question = {
        'operation': 'download',
        'transfers': ['basic'],
        'objects': [{'oid': digest, 'size': size}],
    }
    told = {'Accept': _KIND, 'Content-Type': _KIND}
    answer = answers.post(f'{server}/objects/batch', json.dumps(question).encode(), told, patience=patience)
    try:
        found = json.loads(answer)['objects'][0]
        if 'error' in found:
            code, message = found['error'].get('code'), found['error'].get('message')
            raise Unfetched(f'its LFS says {shown(str(code)[:20])}, {shown(str(message)[:300])}')
        action = found['actions']['download']
        url, headers = action['href'], dict(action.get('header') or {})
        if (found['oid'], found['size']) != (digest, size) or not isinstance(url, str):
            raise ValueError('another file')
        if not all(isinstance(value, str) for value in headers.values()):
            raise ValueError('headers that are no text')
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise Unfetched('its LFS answers in another way than git-lfs lays down') from error
    if not answers.may_follow(server, url):
        raise Unfetched(f'its LFS sends on to {shown(url[:200])}, which is no https address')
    return Address(url, headers)
