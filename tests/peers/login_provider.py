"""An OpenID provider on loopback that logs every browser in as `alice`, and can misbehave. It prints
its port. Each line of its input sets its faults; the answer is what it received since the last line:

  metadata   members over those of the metadata; `null` removes one
  response   parameters over those of the authorization response; `null` removes one
  claims     members over those of the ID token; `null` removes one
  answer     members over those of the token endpoint's answer; `null` removes one
  status     status of the token endpoint
  raw        body of the token endpoint
  signer     `other`: the ID token is signed with an unpublished key
"""

import base64
import hashlib
import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote_plus, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

CLIENT = ("the gateway", "s3cret+of%the: gateway")
KEYS = {name: ec.generate_private_key(ec.SECP256R1()) for name in ("own", "other")}
faults, seen, codes, refreshes = {}, [], {}, {}
lock = threading.Lock()


def over(known, changes):
    merged = {**known, **(changes or {})}
    return {name: value for name, value in merged.items() if value is not None}


def half_hash(text):
    digest = hashlib.sha256(text.encode()).digest()
    return base64.urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()


class Provider(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, kind="application/json", fields=()):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        for name, value in fields:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/.well-known/openid-configuration":
            paths = {"authorization": "authorize", "token": "token", "end_session": "logout"}
            metadata = {f"{name}_endpoint": f"{ISSUER}/{path}" for name, path in paths.items()}
            metadata |= {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks"}
            metadata["authorization_response_iss_parameter_supported"] = True
            return self.answer(200, over(metadata, faults.get("metadata")))
        if url.path == "/jwks":
            jwk = jwt.get_algorithm_by_name("ES256").to_jwk(KEYS["own"].public_key(), as_dict=True)
            jwk.pop("key_ops", None)
            return self.answer(200, {"keys": [{**jwk, "kid": "own", "use": "sig"}]})
        if url.path == "/logout":
            with lock:
                seen.append({"path": url.path, **query})
            return self.answer(303, b"", fields=[("location", query["post_logout_redirect_uri"])])
        if url.path != "/authorize":
            return self.answer(404, b"")
        with lock:
            code = f"code-{len(codes)}"
            codes[code] = query
            seen.append({"path": url.path, **query})
        response = {"code": code, "state": query.get("state"), "iss": ISSUER}
        response = over(response, faults.get("response"))
        back = f"{query['redirect_uri']}?{urlencode(response)}"
        self.answer(303, b"", fields=[("location", back)])

    def do_POST(self):
        length = int(self.headers.get("content-length", 0))
        form = parse_qs(self.rfile.read(length).decode())
        form = {name: values[0] for name, values in form.items()}
        word, _, pair = self.headers.get("authorization", "").partition(" ")
        pair = base64.b64decode(pair).decode().split(":") if word == "Basic" else ["", ""]
        client = tuple(unquote_plus(part) for part in pair)
        with lock:
            seen.append({"path": self.path, **form})
            status, answer = self.grant(form, client)
        if "raw" in faults:
            return self.answer(faults.get("status", 200), faults["raw"].encode())
        if "status" in faults:
            return self.answer(faults["status"], {"error": "invalid_grant"})
        self.answer(status, answer, fields=[("cache-control", "no-store")])

    def grant(self, form, client):
        if client != CLIENT:
            return 401, {"error": "invalid_client"}
        if form["grant_type"] == "refresh_token":
            asked = refreshes.pop(form["refresh_token"], None)
        else:
            asked = codes.pop(form.get("code"), None)
            verifier = form.get("code_verifier", "").encode()
            digest = base64.urlsafe_b64encode(hashlib.sha256(verifier).digest())
            challenge = digest.rstrip(b"=").decode()
            is_own = asked and asked["redirect_uri"] == form["redirect_uri"]
            if not is_own or asked["code_challenge"] != challenge:
                asked = None
        if asked is None:
            return 400, {"error": "invalid_grant"}
        now, access = int(time.time()), f"access-{len(seen)}"
        refresh = f"refresh-{len(seen)}"
        refreshes[refresh] = asked
        claims = {"iss": ISSUER, "aud": CLIENT[0], "sub": "alice", "iat": now, "exp": now + 60}
        claims |= {"nonce": asked["nonce"], "at_hash": half_hash(access)}
        claims |= {"groups": ["staff", "admins"], "email": "alice@example.org"}
        claims = over(claims, faults.get("claims"))
        key = KEYS[faults.get("signer", "own")]
        token = jwt.encode(claims, key, algorithm="ES256", headers={"kid": "own"})
        answer = {"access_token": access, "token_type": "Bearer", "id_token": token}
        answer |= {"expires_in": 300, "refresh_token": refresh, "scope": asked["scope"]}
        return 200, over(answer, faults.get("answer"))


server = ThreadingHTTPServer(("127.0.0.1", 0), Provider)
server.daemon_threads = True
ISSUER = f"http://127.0.0.1:{server.server_address[1]}"
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
for line in sys.stdin:
    faults = json.loads(line)
    with lock:
        told, seen[:] = list(seen), []
    print(json.dumps({"seen": told}), flush=True)
