// Tokens made by `jose`, and those that it refuses to make, by node's own cryptography. Arguments:
// the issuer and the shared secret. It prints its public keys as a JWK set. Each line of its input
// is a recipe; the answer is `{"token": TEXT}`:
//   make    sign, unsecured, encrypt, nested, general, flattened, detached: by `jose`
//           forge: header and claims as they stand (a text stays as it is), signed by `signer`
//           twin: the other ECDSA signature of `token`
//   alg     algorithm of the key; `key: foreign` takes a key that is in no set
//   header  members of the header, over `alg` and `kid`
//   claims  members of the claims, over those of a valid token; `$now+N` is a time, `$absent` removes
import { createHmac, createPublicKey, sign as signature } from 'node:crypto';
import { createInterface } from 'node:readline';
import * as jose from 'jose';

const [issuer, secret] = process.argv.slice(1);
const FAMILY = {
  RS256: 'RSA', RS384: 'RSA', RS512: 'RSA', PS256: 'RSA', PS384: 'RSA', PS512: 'RSA',
  ES256: 'P-256', ES384: 'P-384', EdDSA: 'Ed25519',
};
const encoder = new TextEncoder();
const base64url = (bytes) => Buffer.from(bytes).toString('base64url');

async function pairs() {
  const pair = (alg) => jose.generateKeyPair(alg, { extractable: true });
  // Keys of web cryptography belong to one algorithm: that of a JWK without `alg` is chosen later.
  const jwk = async (alg) => jose.exportJWK((await pair(alg)).privateKey);
  return { RSA: await jwk('RS256'), 'P-256': await jwk('ES256'), 'P-384': await jwk('ES384'), Ed25519: await jwk('EdDSA') };
}

const own = await pairs();
const foreign = await pairs();
const publicPart = ({ kty, crv, x, y, n, e }) => JSON.parse(JSON.stringify({ kty, crv, x, y, n, e }));

// The key of a recipe. HMAC takes the shared secret, or the public key in one of its forms.
async function key({ alg, key }) {
  if (!alg.startsWith('HS')) return jose.importJWK((key === 'foreign' ? foreign : own)[FAMILY[alg]], alg);
  return hmacKey(key);
}

function hmacKey(form = 'secret') {
  const family = form.split('-')[1] === 'rsa' ? 'RSA' : 'P-256';
  const exported = createPublicKey({ key: publicPart(own[family]), format: 'jwk' });
  return {
    secret: () => encoder.encode(secret),
    empty: () => new Uint8Array(),
    pem: () => encoder.encode(exported.export({ type: 'spki', format: 'pem' })),
    der: () => exported.export({ type: 'spki', format: 'der' }),
    jwk: () => encoder.encode(JSON.stringify({ ...publicPart(own[family]), kid: family })),
    x: () => Buffer.from(own[family].x, 'base64url'),
    n: () => Buffer.from(own[family].n ?? '', 'base64url'),
  }[form.split('-')[0]]();
}

function header({ alg, header = {} }) {
  const base = FAMILY[alg] ? { alg, kid: FAMILY[alg] } : { alg };
  return without({ ...base, ...filled(header) });
}

function claims({ claims = {} }) {
  const exp = Math.floor(Date.now() / 1000) + 600;
  return without({ iss: issuer, aud: 'orders', sub: 'alice', exp, ...filled(claims) });
}

const without = (members) => Object.fromEntries(Object.entries(members).filter(([, value]) => value !== '$absent'));

// Times, own keys, and nested and long values.
function filled(value) {
  if (Array.isArray(value)) return value.map(filled);
  if (value && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, filled(inner)]));
  }
  if (typeof value !== 'string') return value;
  const now = value.match(/^\$now([+-][\d.]+)$/);
  if (now) return Math.floor(Date.now() / 1000) + Number(now[1]);
  const long = value.match(/^\$long (\d+)$/);
  if (long) return 'x'.repeat(Number(long[1]));
  const deep = value.match(/^\$deep (\d+)$/);
  if (deep) return JSON.parse('['.repeat(Number(deep[1])) + ']'.repeat(Number(deep[1])));
  if (value === '$jwk own') return publicPart(own['P-256']);
  if (value === '$jwk foreign') return publicPart(foreign['P-256']);
  return value;
}

// Signature of forged parts.
function forged(signer, bytes) {
  const ecdsa = (jwk, dsaEncoding) => signature('sha256', bytes, { key: jwk, format: 'jwk', dsaEncoding });
  const [kind, form] = signer.split(' ');
  return {
    p256: () => ecdsa(own['P-256'], 'ieee-p1363'),
    'p256-der': () => ecdsa(own['P-256'], 'der'),
    foreign: () => ecdsa(foreign['P-256'], 'ieee-p1363'),
    ed25519: () => signature(null, bytes, { key: own.Ed25519, format: 'jwk' }),
    rsa: () => signature('sha256', bytes, { key: own.RSA, format: 'jwk' }),
    hs: () => createHmac('sha256', hmacKey(form)).update(bytes).digest(),
    none: () => Buffer.alloc(0),
    zero: () => Buffer.alloc(64),
    // r and s are the order of the group.
    order: () => Buffer.from(ORDER.repeat(2), 'hex'),
    // r = 1, s = 1.
    one: () => Buffer.from(('00'.repeat(31) + '01').repeat(2), 'hex'),
  }[kind]();
}

const ORDER = 'ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551';

// s and n - s are both signatures of ECDSA.
function twin(token) {
  const [head, body, text] = token.split('.');
  const bytes = Buffer.from(text, 'base64url');
  const s = BigInt(`0x${ORDER}`) - BigInt(`0x${bytes.subarray(32).toString('hex')}`);
  const other = Buffer.concat([bytes.subarray(0, 32), Buffer.from(s.toString(16).padStart(64, '0'), 'hex')]);
  return `${head}.${body}.${base64url(other)}`;
}

function forge(recipe) {
  const part = (given, whole) => base64url(typeof given === 'string' ? given : JSON.stringify(whole));
  const signed = `${part(recipe.header, header(recipe))}.${part(recipe.claims, claims(recipe))}`;
  return `${signed}.${base64url(forged(recipe.signer, Buffer.from(signed)))}`;
}

const MAKERS = {
  sign: async (recipe) => new jose.SignJWT(claims(recipe)).setProtectedHeader(header(recipe)).sign(await key(recipe)),
  unsecured: async (recipe) => new jose.UnsecuredJWT(claims(recipe)).encode(),
  forge: async (recipe) => forge(recipe),
  twin: async (recipe) => twin(recipe.token),
  // To a public key of the verifier, as anybody can; and with the shared secret.
  encrypt: async (recipe) => {
    const jwk = publicPart(own[recipe.alg.startsWith('RSA') ? 'RSA' : 'P-256']);
    const to = recipe.alg === 'dir' ? encoder.encode(secret).slice(0, 32) : await jose.importJWK(jwk, recipe.alg);
    return new jose.EncryptJWT(claims(recipe)).setProtectedHeader(header({ ...recipe, header: { enc: 'A256GCM' } })).encrypt(to);
  },
  // A signed token as the payload of a signed token.
  nested: async (recipe) => {
    const inner = await MAKERS.sign({ alg: 'ES256' });
    return new jose.CompactSign(encoder.encode(inner)).setProtectedHeader(header(recipe)).sign(await key(recipe));
  },
  general: async (recipe) => {
    const text = encoder.encode(JSON.stringify(claims(recipe)));
    const signer = new jose.GeneralSign(text).addSignature(await key(recipe)).setProtectedHeader(header(recipe));
    return JSON.stringify(await signer.sign());
  },
  flattened: async (recipe) => {
    const text = encoder.encode(JSON.stringify(claims(recipe)));
    return JSON.stringify(await new jose.FlattenedSign(text).setProtectedHeader(header(recipe)).sign(await key(recipe)));
  },
  // RFC 7797: the payload is signed as it stands and is not in the token.
  detached: async (recipe) => {
    const text = encoder.encode(JSON.stringify(claims(recipe)));
    const protectedHeader = { ...header(recipe), b64: false, crit: ['b64'] };
    const jws = await new jose.FlattenedSign(text).setProtectedHeader(protectedHeader).sign(await key(recipe));
    return `${jws.protected}..${jws.signature}`;
  },
};

const keys = Object.entries(own).map(([kid, jwk]) => ({ ...publicPart(jwk), kid, use: 'sig' }));
console.log(JSON.stringify({ keys }));
for await (const line of createInterface({ input: process.stdin })) {
  const recipe = JSON.parse(line);
  const answer = await MAKERS[recipe.make](recipe).then((token) => ({ token }), (error) => ({ error: String(error) }));
  console.log(JSON.stringify(answer));
}
process.exit(0);
