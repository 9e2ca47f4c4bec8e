"""HTTP Message Signatures (RFC 9421) with HMAC, by the standard library alone. Each line of its input is a
recipe; the answer is `{"fields": [[NAME, VALUE], …]}`, the fields to add to the request:

  method, url, fields   the request; `url` is absolute
  body                  content in hexadecimal digits; `Content-Digest` is added
  digest                algorithms of the digest. Default: sha-256
  covered               component identifiers, as `"@method"` or `"@query-param";name="x"`
  params                parameters after `created`, as written
  created               seconds before now. Default: 0
  secret                secret as text
  style                 `aliyun` or `tencent`, with `key` and `nonce`, for these formats. Default: rfc9421
"""

import base64
import hashlib
import hmac
import json
import sys
import time
from urllib.parse import parse_qsl, quote, urlsplit

HASHES = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512, "md5": hashlib.md5}


def derived(name, rest, request):
    url = urlsplit(request["url"])
    query = url.query
    if name == "@query-param":
        wanted = rest.split('name="')[1].rstrip('"')
        values = [value for key, value in parse_qsl(query, keep_blank_values=True) if quote(key, safe="*-._") == wanted]
        return quote(values[0], safe="*-._")
    port = url.port if url.port not in (None, {"http": 80, "https": 443}[url.scheme]) else None
    authority = url.hostname.lower() + (f":{port}" if port else "")
    target = url.path + (f"?{query}" if query else "")
    return {
        "@method": request["method"],
        "@target-uri": f"{url.scheme}://{authority}{target}",
        "@authority": authority,
        "@scheme": url.scheme,
        "@request-target": target,
        "@path": url.path,
        "@query": f"?{query}",
    }[name]


def value(component, request, fields):
    name, _, rest = component.partition('"')[2].partition('"')
    if name.startswith("@"):
        return derived(name, rest, request)
    return ", ".join(value.strip() for key, value in fields if key.lower() == name)


def sign(request):
    fields = [tuple(field) for field in request.get("fields", [])]
    added = []
    if "body" in request:
        body = bytes.fromhex(request["body"])
        digests = [
            f"{name}=:{base64.b64encode(HASHES[name](body).digest()).decode()}:"
            for name in request.get("digest", ["sha-256"])
        ]
        added.append(("Content-Digest", ", ".join(digests)))
    covered = request["covered"]
    created = int(time.time()) - request.get("created", 0)
    params = f"({' '.join(covered)});created={created}{request.get('params', '')}"
    lines = [f"{component}: {value(component, request, fields + added)}" for component in covered]
    lines.append(f'"@signature-params": {params}')
    mac = hmac.new(request["secret"].encode(), "\n".join(lines).encode(), hashlib.sha256).digest()
    added.append(("Signature-Input", f"sig={params}"))
    added.append(("Signature", f"sig=:{base64.b64encode(mac).decode()}:"))
    return added


def parameters(url):
    pairs = sorted(parse_qsl(url.query, keep_blank_values=True))
    text = "&".join(f"{name}={value}" if value else name for name, value in pairs)
    return url.path + (f"?{text}" if text else "")


def mac(request, lines):
    digest = hmac.new(request["secret"].encode(), "\n".join(lines).encode(), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def aliyun(request):
    added = [("Accept", "application/json")]
    md5 = ""
    if "body" in request:
        md5 = base64.b64encode(hashlib.md5(bytes.fromhex(request["body"])).digest()).decode()
        added.append(("Content-MD5", md5))
    own = {
        "x-ca-key": request["key"],
        "x-ca-nonce": request["nonce"],
        "x-ca-timestamp": str(int(time.time() * 1000)),
    }
    lines = [request["method"], "application/json", md5, "", ""]
    lines += [f"{name}:{own[name]}" for name in sorted(own)]
    lines.append(parameters(urlsplit(request["url"])))
    added += own.items()
    added.append(("X-Ca-Signature-Headers", ",".join(own)))
    added.append(("X-Ca-Signature", mac(request, lines)))
    return added


def tencent(request):
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())
    added = [("X-Date", date), ("Accept", "application/json"), ("Source", request["nonce"])]
    md5 = ""
    if "body" in request:
        digits = hashlib.md5(bytes.fromhex(request["body"])).hexdigest()
        md5 = base64.b64encode(digits.encode()).decode()
        added.append(("Content-MD5", md5))
    lines = [f"x-date: {date}", f"source: {request['nonce']}"]
    lines += [request["method"], "application/json", "", md5, parameters(urlsplit(request["url"]))]
    signature = mac(request, lines)
    credential = f'hmac id="{request["key"]}", algorithm="hmac-sha256", headers="x-date source", signature="{signature}"'
    added.append(("Authorization", credential))
    return added


STYLES = {"rfc9421": sign, "aliyun": aliyun, "tencent": tencent}

print(json.dumps({}), flush=True)
for line in sys.stdin:
    try:
        recipe = json.loads(line)
        fields = STYLES[recipe.get("style", "rfc9421")](recipe)
        print(json.dumps({"fields": fields}), flush=True)
    except Exception as error:  # the test shows it
        print(json.dumps({"error": repr(error)}), flush=True)
