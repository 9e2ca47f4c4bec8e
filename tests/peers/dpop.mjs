// Proofs of possession (RFC 9449) made by `dpop`. It prints the names of its keys. Each line of its input
// is a recipe; the answer is `{"proof": TEXT}`:
//   key     one of the printed names
//   htm, htu, nonce, token   as the library takes them
//   age_s   age of the proof in seconds (default 0)
import { createInterface } from 'node:readline';
import { generateKeyPair, generateProof } from 'dpop';

const NAMES = ['ES256', 'other ES256', 'Ed25519', 'RS256', 'PS256'];
const keys = {};
for (const name of NAMES) keys[name] = await generateKeyPair(name.split(' ').pop());
console.log(JSON.stringify(NAMES));
for await (const line of createInterface({ input: process.stdin })) {
  const { key, htm, htu, nonce, token, age_s } = JSON.parse(line);
  // The library reads the clock before it waits for the first time.
  const now = Date.now;
  Date.now = () => now() - 1000 * (age_s ?? 0);
  const made = generateProof(keys[key], htu, htm, nonce ?? undefined, token);
  Date.now = now;
  console.log(JSON.stringify({ proof: await made }));
}
process.exit(0);
