// Checks an archive of convoledger without a line of its code: after what its documentation says, on other people's libraries.
//
//   ARCHIVE=you.zip KEY=name+hash+base64 node archive.mjs

import { strict as assert } from 'node:assert';
import { createDecipheriv, createHash, createPublicKey, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';

import { blake3 } from '@noble/hashes/blake3.js';
import { unzipSync } from 'fflate';
import { decompress } from 'fzstd';

const files = unzipSync(readFileSync(process.env.ARCHIVE));
const text = (name) => Buffer.from(files[name]).toString();
const sha256 = (...parts) => parts.reduce((hash, part) => hash.update(part), createHash('sha256')).digest();

// C2SP signed-note: a text, an empty line, signatures of `key id ‖ Ed25519`.
const [keyName, keyId, ...encoded] = process.env.KEY.trim().split('+');
const raw = Buffer.from(encoded.join('+'), 'base64').subarray(1);
const publicKey = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: raw.toString('base64url') }, format: 'jwk' });
function opened(note) {
  const end = note.indexOf('\n\n') + 1;
  const lines = note.slice(end + 1).split('\n').filter((line) => line.startsWith(`— ${keyName} `));
  const signed = lines.map((line) => Buffer.from(line.split(' ')[2], 'base64'));
  const held = signed.some(
    (bytes) => bytes.subarray(0, 4).toString('hex') === keyId && verify(null, Buffer.from(note.slice(0, end)), publicKey, bytes.subarray(4)),
  );
  assert(held, 'the key did not sign it');
  return note.slice(0, end);
}

const manifest = JSON.parse(text('manifest.json'));
assert.equal(opened(text('manifest.note')), `convoledger archive, v1\n${sha256(files['manifest.json']).toString('hex')}\n`);
assert.equal(sha256(files['SHA256SUMS']).toString('hex'), manifest.sums);
const sums = new Map(text('SHA256SUMS').trim().split('\n').map((line) => line.split('  ').reverse()));
for (const [name, content] of Object.entries(files)) {
  if (['manifest.json', 'manifest.note', 'SHA256SUMS'].includes(name)) continue;
  assert.equal(sha256(content).toString('hex'), sums.get(name), name);
  sums.delete(name);
}
assert.equal(sums.size, 0, 'files are missing');
const [origin, size, root] = opened(text('checkpoint')).split('\n');
assert(origin.startsWith(`${manifest.origin}/`));
assert.equal(Number(size), manifest.size);

const uuid = (id) => (id ? Buffer.from(id.replaceAll('-', ''), 'hex') : Buffer.alloc(0));
const number = (bytes, value) => {
  const buffer = Buffer.alloc(8);
  buffer.writeBigInt64BE(BigInt(value));
  return buffer.subarray(8 - bytes);
};
const micros = (time) => BigInt(Date.parse(time.replace(/\.\d+/, ''))) * 1000n + BigInt(/\.(\d{6})/.exec(time)[1]);
const fields = (...parts) => Buffer.concat(parts.flatMap((part) => [number(4, part.length), part]));
// RFC 8785, for facts: whole numbers, strings and keys of plain ASCII.
const canonical = (value) => {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  return `{${Object.keys(value).sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`).join(',')}}`;
};
const digest = (context, bytes) => Buffer.from(blake3(bytes, { context: new TextEncoder().encode(context) }));

// RFC 9162 § 2.1.3.2.
function rootBy(leaf, index, leaves, path) {
  let [fn, sn, hash] = [BigInt(index), BigInt(leaves) - 1n, leaf];
  for (const beside of path) {
    assert(sn > 0n);
    if (fn & 1n || fn === sn) {
      hash = sha256(Buffer.of(1), beside, hash);
      while (!(fn & 1n) && fn) [fn, sn] = [fn >> 1n, sn >> 1n];
    } else {
      hash = sha256(Buffer.of(1), hash, beside);
    }
    [fn, sn] = [fn >> 1n, sn >> 1n];
  }
  assert.equal(sn, 0n);
  return hash;
}

function words(event, part) {
  const { subject, generation, nonce, ciphertext, key } = part.sealed;
  const [sealed, about] = [Buffer.from(ciphertext, 'base64'), [uuid(subject), number(4, generation)]];
  const hashed = digest('convoledger words digest v1', fields(Buffer.of(part.part), ...about, Buffer.from(nonce, 'hex'), sealed));
  assert.equal(hashed.toString('hex'), part.digest);
  const rest = Buffer.concat([Buffer.alloc(4), Buffer.from(nonce, 'hex').subarray(16)]);
  const cipher = createDecipheriv('chacha20-poly1305', Buffer.from(key, 'hex'), rest, { authTagLength: 16 });
  cipher.setAAD(Buffer.concat([Buffer.from('convoledger words v1'), fields(
    uuid(manifest.ledger), uuid(event.owner), ...about, uuid(event.id), Buffer.from(event.kind), number(2, event.kindVersion), Buffer.of(part.part),
  )]), { plaintextLength: sealed.length - 16 });
  cipher.setAuthTag(sealed.subarray(-16));
  const plain = Buffer.concat([cipher.update(sealed.subarray(0, -16)), cipher.final()]);
  const said = plain[0] === 1 ? decompress(plain.subarray(1)) : plain.subarray(1);
  assert(isDeepStrictEqual(JSON.parse(Buffer.from(said).toString()), part.said), `words of event ${event.position}`);
}

// Conversations that expired, and whose expiry, which says what was left of them, was not met yet.
const begun = new Map();
const versions = new Map();
let [last, events] = [0, 0];
for (const name of Object.keys(files).filter((name) => name.startsWith('events/')).sort()) {
  for (const line of text(name).trim().split('\n')) {
    const event = JSON.parse(line);
    const parts = event.words ?? [];
    assert(event.position > last, 'events are in order');
    assert.equal(event.version, (versions.get(event.stream) ?? 0) + 1, 'no version is missing');
    [last, events] = [event.position, events + 1];
    versions.set(event.stream, event.version);
    const place = event.place ? Buffer.concat([number(4, event.place.segment), number(4, event.place.depth)]) : Buffer.alloc(0);
    const hash = digest('convoledger event digest v1', fields(
      uuid(event.owner), uuid(event.stream), uuid(event.id), uuid(event.command), number(2, event.commandNth),
      Buffer.from(event.commandDigest ?? '', 'hex'), uuid(event.actor), uuid(event.correlation), uuid(event.causation),
      number(8, micros(event.occurredAt)), place, Buffer.from(event.kind), number(2, event.kindVersion),
      Buffer.from(canonical(event.facts)), Buffer.concat(parts.map((part) => Buffer.concat([Buffer.of(part.part), Buffer.from(part.digest, 'hex')]))),
    ));
    const leaf = sha256(Buffer.of(0), Buffer.of(1), fields(
      Buffer.from(manifest.origin), uuid(event.history), number(8, event.position), uuid(event.owner), uuid(event.stream),
      number(4, event.version), number(8, micros(event.recordedAt)), hash,
    ));
    if (event.expired) {
      if (event.version === 1) begun.set(event.stream, { by: event.expired, digests: [] });
      assert.equal(begun.get(event.stream).by, event.expired);
      begun.get(event.stream).digests.push(hash);
    } else {
      assert.equal(leaf.toString('base64'), event.leaf, `the leaf of event ${event.position}`);
      const left = begun.get(event.stream);
      if (left) {
        assert.deepEqual([event.kind, event.position], ['conversation.expired', left.by]);
        assert.equal(digest('convoledger left digest v1', fields(...left.digests)).toString('hex'), event.facts.left);
        begun.delete(event.stream);
      }
    }
    const path = event.proof.map((beside) => Buffer.from(beside, 'base64'));
    assert.equal(rootBy(Buffer.from(event.leaf, 'base64'), event.position - 1, size, path).toString('base64'), root, `event ${event.position} is in the log`);
    parts.filter((part) => part.state === 'opened').forEach((part) => words(event, part));
  }
}
for (const line of text('streams.jsonl').trim().split('\n')) {
  const { stream, version } = JSON.parse(line);
  assert.equal(versions.get(stream), version, `stream ${stream} is whole`);
}
assert.equal(begun.size, 0, 'every expiry is there');
assert.equal(events, manifest.counts.events);
console.log(`${events} events hold`);
