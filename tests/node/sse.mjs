// graphql-sse, the client of its own protocol, against our streams: it subscribes, resumes, comes again, and is refused.
//
//   URL=http://127.0.0.1:8080/graphql TOKEN=… node sse.mjs
//
// The ledger must hold at least three events. Exits with 1 at the first disagreement.

import assert from 'node:assert/strict';
import { createClient } from 'graphql-sse';

const { URL: url, TOKEN: token } = process.env;
const EVENTS = 'subscription ($after: Cursor) { events(after: $after) { cursor position } }';

const client = (headers = { authorization: `Bearer ${token}` }, options = {}) =>
  createClient({ url, headers, retryAttempts: 0, ...options });

// `count` events after a cursor; then the subscription is given up.
const events = async (sse, count, after) => {
  const seen = [];
  for await (const { data, errors, extensions } of sse.iterate({ query: EVENTS, variables: { after } })) {
    assert.equal(errors, undefined);
    assert.equal(extensions.cursor, data.events.cursor, 'every item carries its cursor');
    seen.push(data.events);
    if (seen.length === count) break;
  }
  return seen;
};

const all = async (sse, query) => {
  const seen = [];
  for await (const result of sse.iterate({ query })) seen.push(result);
  return seen;
};

// Hands on the first event of a stream, and breaks off when its reader waits for the next.
const cutOnce = () => {
  let cut = false;
  return async (address, init) => {
    const response = await fetch(address, init);
    if (cut) return response;
    cut = true;
    const first = async (controller) => {
      let read = '';
      for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
        read += piece;
        const end = read.indexOf('\n\n');
        if (end < 0) continue;
        controller.enqueue(new TextEncoder().encode(read.slice(0, end + 2)));
        setTimeout(() => controller.error(new TypeError('cut')), 100);
        return;
      }
    };
    return new Response(new ReadableStream({ start: first }), response);
  };
};

const checks = {
  'a subscription resumes after its cursor, without a hole or a repeat': async () => {
    const sse = client();
    const [first, second] = await events(sse, 2);
    const [again] = await events(sse, 1, first.cursor);
    assert.deepEqual(again, second);
    const [third] = await events(sse, 1, second.cursor);
    assert.ok(third.position > second.position);
    sse.dispose();
  },
  'who is cut comes again with the id that he saw last': async () => {
    let last;
    const headers = () => ({ authorization: `Bearer ${token}`, ...(last && { 'last-event-id': last }) });
    const sse = client(headers, { retryAttempts: 1, retry: async () => {}, fetchFn: cutOnce() });
    const seen = [];
    for await (const { data, extensions } of sse.iterate({ query: EVENTS })) {
      seen.push(data.events.position);
      last = extensions.cursor;
      if (seen.length === 3) break;
    }
    sse.dispose();
    const whole = client();
    const three = await events(whole, 3);
    assert.deepEqual(seen, three.map(({ position }) => position));
    whole.dispose();
  },
  'a query is one result': async () => {
    const sse = client();
    assert.deepEqual(await all(sse, '{ __typename }'), [{ data: { __typename: 'Query' } }]);
    sse.dispose();
  },
  'a query that fails is one result, with errors': async () => {
    const sse = client();
    const [{ data, errors }, ...more] = await all(sse, '{ nothingOfThatName }');
    assert.deepEqual([data, errors.length, more], [undefined, 1, []]);
    sse.dispose();
  },
  'a wrong token is refused with 401': async () => {
    const sse = client({ authorization: 'Bearer wrong' });
    await assert.rejects(all(sse, '{ __typename }'), ({ response }) => response.status === 401);
    sse.dispose();
  },
};

for (const [name, check] of Object.entries(checks)) {
  const late = setTimeout(() => { console.error(`late: ${name}`); process.exit(1); }, 10_000);
  await check();
  clearTimeout(late);
  console.log(`ok: ${name}`);
}
process.exit(0);
