"""Servers on loopback for tests: one that answers by a handler, and a file as an answer."""

import contextlib
import http.server
import re
import threading


class Quiet(http.server.BaseHTTPRequestHandler):
    """A handler that logs nothing and can send a part of a file."""

    def send_file(self, content, wanted, stop_after=None):
        """Sends what follows the first byte of a `Range`; None is all. It breaks off after some bytes."""
        start = int(re.fullmatch(r'bytes=(\d+)-', wanted)[1]) if wanted else 0
        if start and start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header('Content-Length', str(len(content) - start))
        if start:
            self.send_header('Content-Range', f'bytes {start}-{len(content) - 1}/{len(content)}')
        self.end_headers()
        self.wfile.write(content[start:][:stop_after])

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def running(handler, ending=lambda: None):
    """Serves by a handler; yields the server's address. `ending` is called before it is shut down."""
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f'http://127.0.0.1:{server.server_port}'
        finally:
            ending()
            server.shutdown()
            thread.join()
