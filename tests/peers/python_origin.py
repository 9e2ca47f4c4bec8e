"""An origin of another make: `http.server`, with chunks read as carelessly as `int` does. A line
for each request that came whole, `METHOD PATH BODY`, with unusual bytes as `\\xHH` and `-` for no
body."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def shown(body):
    plain = set(range(0x20, 0x7F)) - {0x22, 0x5C}
    return "".join(chr(b) if b in plain else f"\\x{b:02X}" for b in body) or "-"


class Origin(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def body(self):
        if "chunked" not in self.headers.get("transfer-encoding", "").lower():
            return self.exactly(int(self.headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.exactly(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def exactly(self, size):
        read = self.rfile.read(size)
        if len(read) < size:
            raise ConnectionError("the body ended early")
        return read

    def answer(self):
        try:
            body = self.body()
        except (ConnectionError, ValueError):
            self.close_connection = True
            return
        print(self.command, self.path, shown(body), flush=True)
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Origin)
print(server.server_port, flush=True)
server.serve_forever()
