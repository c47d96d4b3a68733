"""A server of Git LFS on loopback, for one file: the batch API and the basic transfer."""

import contextlib
import hashlib
import json
import threading

import loopback


@contextlib.contextmanager
def serving(
    content, *, answer=None, status=200, kind='application/vnd.git-lfs+json', stop_after=None, hangs=False
):
    """Serves a file.

    Args:
        content: of the file.
        answer: to the question where the file is, in place of the true one: a function of the file's address.
        status: of that answer.
        kind: likewise, its type.
        stop_after: breaks the file off after as many bytes; None is never.
        hangs: waits there instead, as long as the server runs.

    Yields:
        The server's address, and what it was asked: method, path, headers and body.
    """
    asked, over = [], threading.Event()
    digest = hashlib.sha256(content).hexdigest()

    def true_answer(href):
        download = {'href': href, 'header': {'X-Token': 'abc'}, 'expires_in': 600}
        one = {'oid': digest, 'size': len(content), 'authenticated': True, 'actions': {'download': download}}
        return {'transfer': 'basic', 'objects': [one], 'hash_algo': 'sha256'}

    class Handler(loopback.Quiet):
        def note(self):
            body = self.rfile.read(int(self.headers.get('Content-Length', 0)))
            asked.append((self.command, self.path, dict(self.headers), body))

        def do_POST(self):
            self.note()
            told = (answer or true_answer)(f'http://127.0.0.1:{self.server.server_port}/file?signed=1')
            told = told if isinstance(told, bytes) else json.dumps(told).encode()
            self.send_response(status)
            self.send_header('Content-Type', kind)
            self.send_header('Content-Length', str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def do_GET(self):
            self.note()
            self.send_file(content, self.headers.get('Range'), stop_after)
            if hangs:
                over.wait()

    with loopback.running(Handler, ending=over.set) as address:
        yield f'{address}/owner/name.git/info/lfs', asked
