// The certified OpenID Provider `oidc-provider` on loopback. Arguments: its port (0: any free one) and
// the folder of its keys, with which it starts again as the same provider. It prints its port.
// Tokens for a resource that ends in `/opaque` or `/short` (4s) are opaque, all others JWT.
// Each line of its input is a command, answered by one line:
//   {"alg": "RS256", "published": ["a", "b"], "signs": "b"}   the keys that it publishes and signs with
//   with "logins": {"redirect": URL, "after": URL}            users can also log in at the client `the gateway`
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { exportJWK, generateKeyPair } from 'jose';
import Provider from 'oidc-provider';

// node --eval has no script among its arguments.
const [port, folder] = process.argv.slice(1);
// The provider warns about its own defaults.
console.info = console.warn = () => {};
let issuer;
let handle = (_, response) => response.writeHead(503).end();
const server = createServer((request, response) => handle(request, response));

async function key(kid, alg) {
  const file = join(folder, `${alg}.${kid}.jwk`);
  if (!existsSync(file)) {
    const { privateKey } = await generateKeyPair(alg, { extractable: true });
    writeFileSync(file, JSON.stringify({ ...(await exportJWK(privateKey)), kid, alg, use: 'sig' }));
  }
  return JSON.parse(readFileSync(file));
}

// Tokens for these resources are known to the provider alone.
const isOpaque = (audience) => /\/(opaque|short)$/.test(audience);

const client = (client_id, client_secret, grant_types) => (
  { client_id, client_secret, grant_types, redirect_uris: [], response_types: [] }
);

// The client at which users log in, and what a provider needs for it.
const loginClient = ({ redirect, after }) => ({
  ...client('the gateway', 's3cret+of%the: gateway', ['authorization_code']),
  redirect_uris: [redirect],
  post_logout_redirect_uris: [after],
  response_types: ['code'],
});

async function provider({ alg, published, signs, logins }) {
  return new Provider(issuer, {
    jwks: { keys: await Promise.all(published.map((kid) => key(kid, alg))) },
    clients: [
      client('app', 'secret of the app', ['client_credentials']),
      logins ? loginClient(logins) : client('the gateway', 's3cret+of%the: gateway', []),
      {
        ...client('mutual', 'secret of mutual', ['client_credentials']),
        tls_client_certificate_bound_access_tokens: true,
      },
    ],
    clientDefaults: { id_token_signed_response_alg: alg, introspection_signed_response_alg: alg },
    enabledJWA: {
      idTokenSigningAlgValues: [alg],
      dPoPSigningAlgValues: ['ES256', 'Ed25519', 'RS256', 'PS256'],
      introspectionSigningAlgValues: [alg],
    },
    scopes: ['read', 'write'],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: Boolean(logins) },
      dPoP: { enabled: true },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        // The certificate that TLS would have verified, in one line.
        getCertificate: (ctx) => ctx.get('x-test-certificate') || undefined,
      },
      introspection: { enabled: true },
      // Answers are signed if the gateway accepts that (RFC 9701).
      jwtIntrospection: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_, audience) => ({
          audience,
          scope: 'read write',
          accessTokenTTL: audience.endsWith('/short') ? 4 : 600,
          ...(isOpaque(audience)
            ? { accessTokenFormat: 'opaque' }
            : { accessTokenFormat: 'jwt', jwt: { sign: { alg, kid: signs } } }),
        }),
      },
    },
  });
}

server.listen(Number(port), '127.0.0.1', async () => {
  issuer = `http://127.0.0.1:${server.address().port}`;
  console.log(server.address().port);
  for await (const line of createInterface({ input: process.stdin })) {
    const next = await provider(JSON.parse(line));
    handle = next.callback();
    console.log('{}');
  }
  process.exit(0);
});
