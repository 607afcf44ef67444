// graphql-http's audit of a GraphQL server over HTTP.
//
//   URL=http://127.0.0.1:8080/graphql TOKEN=… node audit.mjs
//
// Prints what failed and the counts; exits with 1 when a MUST or a SHOULD failed.

import { auditServer } from 'graphql-http';

const { URL: url, TOKEN: token } = process.env;
const fetchFn = (address, init = {}) =>
  fetch(address, { ...init, headers: { ...init.headers, authorization: `Bearer ${token}` } });

const results = await auditServer({ url, fetchFn });
const failed = { MUST: 0, SHOULD: 0, MAY: 0 };
const total = { MUST: 0, SHOULD: 0, MAY: 0 };
for (const { id, name, status, reason } of results) {
  const [level] = name.match(/^(MUST|SHOULD|MAY)/);
  total[level] += 1;
  if (status !== 'ok') {
    failed[level] += 1;
    console.log(`${id} ${name}: ${reason}`);
  }
}
for (const level of Object.keys(total)) {
  console.log(`${level}: ${total[level]} audits, ${failed[level]} failed`);
}
process.exit(failed.MUST + failed.SHOULD === 0 ? 0 : 1);
