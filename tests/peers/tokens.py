"""Tokens made by PyJWT. Arguments: the issuer and the shared secret. It prints its public keys as a
JWK set. Each line of its input is a recipe; the answer is `{"token": TEXT}`:

  alg     algorithm; `none` makes an unsecured token
  header  members of the header beside `alg`, `typ` and `kid`
  claims  members of the claims, over those of a valid token; `$now+N` is a time, `$absent` removes,
          `$nan`, `$infinity` and `$integer TEXT` are numbers that only Python writes
  foreign    true: another key of the same type signs, which is not in the JWK set
  detached   true: the payload is signed as it stands and is not in the token (RFC 7797)
"""

import json
import sys
import time

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ISSUER, SECRET = sys.argv[1:3]
MAKE = {
    "RSA": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
}
OWN = {kid: make() for kid, make in MAKE.items()}
FAMILY = {"RS": "RSA", "PS": "RSA", "ES256": "P-256", "ES384": "P-384", "EdDSA": "Ed25519"}


def family(alg):
    return FAMILY.get(alg) or FAMILY.get(alg[:2])


def public_keys():
    for kid, alg in (("RSA", "RS256"), ("P-256", "ES256"), ("P-384", "ES384"), ("Ed25519", "EdDSA")):
        jwk = jwt.get_algorithm_by_name(alg).to_jwk(OWN[kid].public_key(), as_dict=True)
        jwk.pop("key_ops", None)
        yield {**jwk, "kid": kid, "use": "sig"}


def filled(value):
    if not isinstance(value, str) or not value.startswith("$"):
        return value
    if value.startswith("$now"):
        offset = float(value[4:])
        return int(time.time()) + (int(offset) if offset.is_integer() else offset)
    if value.startswith("$integer "):
        return int(value[9:])
    return {"$nan": float("nan"), "$infinity": float("inf")}[value]


def claims(recipe):
    members = {"iss": ISSUER, "aud": "orders", "sub": "alice", "exp": int(time.time()) + 600}
    members.update(recipe.get("claims", {}))
    return {name: filled(value) for name, value in members.items() if value != "$absent"}


def token(recipe):
    alg = recipe["alg"]
    kid = family(alg)
    header = {**({"kid": kid} if kid else {}), **recipe.get("header", {})}
    own = MAKE[kid]() if recipe.get("foreign") else OWN.get(kid)
    key = own if kid else SECRET if alg.startswith("HS") else None
    if recipe.get("detached"):
        payload = json.dumps(claims(recipe)).encode()
        return jwt.api_jws.encode(payload, key, alg, headers=header, is_payload_detached=True)
    # Its own checks of the claims are those of an honest issuer.
    payload = json.dumps(claims(recipe), separators=(",", ":")).encode()
    return jwt.api_jws.encode(payload, key, alg, headers=header)


print(json.dumps({"keys": list(public_keys())}), flush=True)
for line in sys.stdin:
    try:
        answer = {"token": token(json.loads(line))}
    except Exception as error:  # The test shows it.
        answer = {"error": repr(error)}
    print(json.dumps(answer), flush=True)
