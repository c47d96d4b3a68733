"""Git LFS is asked as its documents lay down, and what it answers is taken for what it is."""

import hashlib
import http.server
import json
import threading

import lfs_server
import pytest

from trsum_jax.data.fetched import download, git_lfs
from trsum_jax.data.fetched.answers import Unfetched
from trsum_jax.data.fetched.download import Address

CONTENT = b'the file'
DIGEST = hashlib.sha256(CONTENT).hexdigest()
QUOTA = 'This repository is over its data quota.'


def locate(server, **options):
    return git_lfs.locate(server, DIGEST, len(CONTENT), **options)


def test_the_question_and_the_answer_are_those_of_the_batch_api():
    with lfs_server.serving(CONTENT) as (server, asked):
        address = locate(server)
    [(method, path, headers, body)] = asked
    assert (method, path) == ('POST', '/owner/name.git/info/lfs/objects/batch')
    assert headers['Accept'] == headers['Content-Type'] == 'application/vnd.git-lfs+json'
    objects = [{'oid': DIGEST, 'size': len(CONTENT)}]
    assert json.loads(body) == {'operation': 'download', 'transfers': ['basic'], 'objects': objects}
    assert address.url.endswith('/file?signed=1')
    assert address.headers == {'X-Token': 'abc'}


def answered(**changes):
    """An answer with other values for the file; None takes one away."""

    def answer(href):
        one = {'oid': DIGEST, 'size': len(CONTENT), 'actions': {'download': {'href': href}}} | changes
        return {'objects': [{key: value for key, value in one.items() if value is not None}]}

    return answer


def leading(href, **more):
    return answered(actions={'download': {'href': href} | more})


ODD = 'answers in another way than git-lfs lays down'


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (
            {'answer': lambda _: {'message': QUOTA}, 'status': 403},
            f'the server says 403, Forbidden: {QUOTA}',
        ),
        ({'answer': lambda _: b'<html>', 'status': 404, 'kind': 'text/html'}, 'the server says 404, Not'),
        (
            {'answer': lambda _: b'<html>log in', 'kind': 'text/html'},
            'a web page came .* does the network ask for a login',
        ),
        (
            {'answer': answered(actions=None, error={'code': 404, 'message': 'does not\nexist'})},
            r'its LFS says 404, does not\\nexist',
        ),
        ({'answer': lambda _: b'no JSON'}, ODD),
        ({'answer': lambda _: b'[' * 60_000}, ODD),
        ({'answer': lambda _: {'objects': []}}, ODD),
        ({'answer': lambda _: [1]}, ODD),
        ({'answer': answered(actions=None)}, ODD),
        ({'answer': answered(error='gone')}, ODD),
        ({'answer': answered(oid='0' * 64)}, ODD),
        ({'answer': answered(size=9)}, ODD),
        ({'answer': leading(7)}, ODD),
        ({'answer': leading('http://127.0.0.1/x', header={'A': 7})}, ODD),
        ({'answer': lambda _: b' ' * 70_000}, 'more than 65,536 bytes'),
        ({'answer': leading('file:///etc/passwd')}, 'sends on to file:///etc/passwd, which is no https'),
        ({'answer': leading('ftp://127.0.0.1/x')}, 'which is no https address'),
    ],
)
def test_other_answers_are_told_in_words(options, message):
    with lfs_server.serving(CONTENT, **options) as (server, _), pytest.raises(Unfetched, match=message):
        locate(server)


def test_a_server_that_is_not_there():
    with lfs_server.serving(CONTENT) as (server, _):
        pass
    with pytest.raises(Unfetched, match='refused'):
        locate(server)


def test_what_a_server_wants_to_be_told_no_other_server_is(tmp_path):
    heard = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            heard.append(self.headers.get('Authorization'))
            self.send_response(302)
            self.send_header('Location', locate(other).url)
            self.end_headers()

        def log_message(self, *_):
            pass

    def address():
        return Address(f'http://127.0.0.1:{server.server_port}/x', {'Authorization': 'Basic abc'})

    with (
        lfs_server.serving(CONTENT) as (other, asked),
        http.server.HTTPServer(('127.0.0.1', 0), Handler) as server,
    ):
        threading.Thread(target=server.handle_request).start()
        how = {'digest': DIGEST, 'most': 100, 'by_hand': '', 'name': 'file', 'locate': address}
        assert download.fetch('somewhere', tmp_path, **how).read_bytes() == CONTENT
    assert heard == ['Basic abc']
    assert 'Authorization' not in asked[-1][2]
