"""An origin in Bottle that answers with the path of the file that it would serve: decoded by Bottle,
which drops bytes that are not UTF-8, and normalised as `static_file` does."""

import posixpath
from wsgiref.simple_server import WSGIRequestHandler, make_server

from bottle import Bottle, request

app = Bottle()


@app.route("/<path:path>")
def served(path):
    return posixpath.normpath(request.path)


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


server = make_server("127.0.0.1", 0, app, handler_class=Quiet)
print(server.server_port, flush=True)
server.serve_forever()
