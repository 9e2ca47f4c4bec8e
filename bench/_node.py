"""Helpers of the benchmarks that run gwd: a project, an upstream, the admin socket, and the memory of gwd."""
import http.client, json, os, socket, subprocess, sys, threading, time

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.path.join(HERE, "..", "target", "bin")
GWC = os.path.abspath(os.environ.get("GWC") or os.path.join(BIN, "gwc"))
GWD = os.path.abspath(os.environ.get("GWD") or os.path.join(BIN, "gwd"))

def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0)); return s.getsockname()[1]

class Unix(http.client.HTTPConnection):
    def __init__(self, path): super().__init__("gwd"); self.path = path
    def connect(self): self.sock = socket.socket(socket.AF_UNIX); self.sock.connect(self.path)

def upstream():
    """Starts an upstream that answers every request with 204 and keeps connections open. Returns its port."""
    server = socket.create_server(("127.0.0.1", 0), backlog=64)
    def serve(conn):
        try:
            data = b""
            while chunk := conn.recv(65536):
                data += chunk
                while b"\r\n\r\n" in data:
                    data = data.split(b"\r\n\r\n", 1)[1]
                    conn.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        except OSError: pass
    def accept():
        while True:
            conn, _ = server.accept()
            threading.Thread(target=serve, args=(conn,), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()
    return server.getsockname()[1]

def at(values, q): return sorted(values)[min(len(values) - 1, int(len(values) * q))]

class Project:
    """Project in a folder, with a store, a key, and a gwd that follows its channel."""
    def __init__(self, folder): self.folder, self.gwd = folder, None
    def path(self, name): return os.path.join(self.folder, name)
    def write(self, name, text):
        with open(self.path(name), "w") as file: file.write(text)
    def gwc(self, *args):
        done = subprocess.run([GWC, "--project", self.folder, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=self.folder)
        if done.returncode: sys.exit(f"gwc {' '.join(args)}: {done.stdout.decode()}")
    def keygen(self): self.gwc("keygen", "bench", "--out", self.path("keys"), "--roles", "build,release", "--trust", self.path("trust.json"))
    def apply(self): self.gwc("apply", "--key", self.path("keys/bench.pem"), "--yes", "--reason", "bench")
    def start(self, *more, access_log="off"):
        self.gwd = subprocess.Popen([GWD, "run", "--store", self.path("releases"), "--trust", self.path("trust.json"), "--state", self.path("state"),
                                     "--channel", "prod", "--admin", "unix:" + self.path("admin"), "--access-log", access_log, "--pre-stop", "0s", *more],
                                    stdout=subprocess.DEVNULL, stderr=open(self.path("log"), "w"))
    def stop(self):
        if self.gwd: self.gwd.terminate(); self.gwd.wait(60)
    def log(self):
        with open(self.path("log")) as file: return file.read()
    def ask(self, method, target, body=None):
        conn = Unix(self.path("admin")); conn.request(method, target, json.dumps(body) if body is not None else None)
        answer = conn.getresponse(); text = answer.read(); conn.close()
        return answer.status, json.loads(text) if text else None
    def wait_for(self, what):
        end = time.time() + 60
        while time.time() < end:
            if self.gwd.poll() is not None: sys.exit("gwd ended: " + self.log()[-2000:])
            try:
                status = self.ask("GET", "/v1/status")[1]
                if what(status): return status
            except OSError: pass
            time.sleep(0.01)
        sys.exit("gwd did not reach the expected state: " + self.log()[-2000:])
    def memory_mib(self):
        """Memory of gwd that no other process shares (USS), in MiB."""
        with open(f"/proc/{self.gwd.pid}/smaps_rollup") as file:
            sizes = [line.split() for line in file if line.startswith("Private_")]
        return sum(int(size[1]) for size in sizes) / 1024
