// Proofs of possession (RFC 9449) made by `dpop`. It prints the names of its keys. Each line of its input
// is a recipe; the answer is `{"proof": TEXT}`:
//   key     one of the printed names
//   htm, htu, nonce, token   as the library takes them
import { createInterface } from 'node:readline';
import { generateKeyPair, generateProof } from 'dpop';

const NAMES = ['ES256', 'other ES256', 'Ed25519', 'RS256', 'PS256'];
const keys = {};
for (const name of NAMES) keys[name] = await generateKeyPair(name.split(' ').pop());
console.log(JSON.stringify(NAMES));
for await (const line of createInterface({ input: process.stdin })) {
  const { key, htm, htu, nonce, token } = JSON.parse(line);
  console.log(JSON.stringify({ proof: await generateProof(keys[key], htu, htm, nonce, token) }));
}
process.exit(0);
