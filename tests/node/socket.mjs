// graphql-ws, the client that most people use, against our socket: it subscribes, resumes, and agrees on close codes.
//
//   URL=http://127.0.0.1:8080/graphql TOKEN=… node socket.mjs
//
// The ledger must hold at least three events. Exits with 1 at the first disagreement.

import assert from 'node:assert/strict';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

const { URL: address, TOKEN: token } = process.env;
const url = address.replace(/^http/, 'ws');
const EVENTS = 'subscription ($after: Cursor) { events(after: $after) { cursor position } }';

const client = (connectionParams = { authorization: `Bearer ${token}` }, options = {}) =>
  createClient({ url, webSocketImpl: WebSocket, connectionParams, retryAttempts: 0, ...options });

// `count` events after a cursor; then the subscription is given up.
const events = async (socket, count, after) => {
  const seen = [];
  for await (const { data, errors, extensions } of socket.iterate({ query: EVENTS, variables: { after } })) {
    assert.equal(errors, undefined);
    assert.equal(extensions.cursor, data.events.cursor, 'every item carries its cursor');
    seen.push(data.events);
    if (seen.length === count) break;
  }
  return seen;
};

const one = async (socket, query) => (await socket.iterate({ query }).next()).value;

const closed = (code, act, connectionParams) => new Promise((resolve, reject) => {
  const socket = client(connectionParams, { lazy: false, onNonLazyError: () => {} });
  socket.on('closed', (event) => {
    try {
      assert.equal(event.code, code, event.reason);
      assert.ok(Buffer.byteLength(event.reason) <= 123);
      resolve();
    } catch (error) {
      reject(error);
    }
  });
  socket.on('connected', (raw) => act?.(raw));
});

const raw = (...messages) => (socket) => messages.forEach((message) => socket.send(JSON.stringify(message)));

const subscribe = { type: 'subscribe', id: 'twice', payload: { query: EVENTS } };

const checks = {
  'a subscription resumes after its cursor, without a hole or a repeat': async () => {
    const socket = client();
    const [first, second] = await events(socket, 2);
    const [again] = await events(socket, 1, first.cursor);
    assert.deepEqual(again, second);
    const [third] = await events(socket, 1, second.cursor);
    assert.ok(third.position > second.position);
    await socket.dispose();
  },
  'a query runs over the socket': async () => {
    const socket = client();
    assert.equal((await one(socket, '{ __typename }')).data.__typename, 'Query');
    await socket.dispose();
  },
  'a query that fails is an error, and the socket stays': async () => {
    const socket = client();
    await assert.rejects(one(socket, '{ nothingOfThatName }'), (errors) => Array.isArray(errors));
    assert.equal((await one(socket, '{ __typename }')).data.__typename, 'Query');
    await socket.dispose();
  },
  'a wrong token closes with 4403': () => closed(4403, undefined, { authorization: 'Bearer wrong' }),
  'no token closes with 4403': () => closed(4403, undefined, {}),
  'an id in use closes with 4409': () => closed(4409, raw(subscribe, subscribe)),
  'a second connection_init closes with 4429': () => closed(4429, raw({ type: 'connection_init' })),
  'an unknown message closes with 4400': () => closed(4400, raw({ type: 'x'.repeat(500) })),
  'an operation before the acknowledgement closes with 4401': () => new Promise((resolve, reject) => {
    const socket = new WebSocket(url, 'graphql-transport-ws');
    socket.on('open', () => socket.send(JSON.stringify(subscribe)));
    socket.on('error', reject);
    socket.on('close', (code) => (code === 4401 ? resolve() : reject(new Error(`closed with ${code}`))));
  }),
};

for (const [name, check] of Object.entries(checks)) {
  const late = setTimeout(() => { console.error(`late: ${name}`); process.exit(1); }, 10_000);
  await check();
  clearTimeout(late);
  console.log(`ok: ${name}`);
}
process.exit(0);
