// Asks Perfetto's own trace processor, built for WebAssembly, about a file.
//
//   node perfetto_processor.mjs FOLDER TRACE SQL...
//
// FOLDER holds engine_bundle.js and trace_processor.wasm of a build of Perfetto's user interface.
// Prints the rows of each query as one line of JSON. A developer's tool: no test needs it.

import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import vm from 'node:vm';

const [folder, trace, ...queries] = process.argv.slice(2);

// -- The engine, which believes that it is a worker in a browser -------------------------

class XMLHttpRequest {  // fetches the one file the engine asks for, at once
  open() {}
  send() { this.response = readFileSync(join(folder, 'trace_processor.wasm')); }
}
const worker = {
  console: {log() {}, warn: console.error, error: console.error},
  TextDecoder, TextEncoder, URL, WebAssembly, XMLHttpRequest, Promise, Uint8Array, TypeError,
  performance, setTimeout, crypto,
  location: {href: 'http://localhost/engine_bundle.js'},
  WorkerGlobalScope() {},
};
worker.self = worker;
vm.createContext(worker);
vm.runInContext(readFileSync(join(folder, 'engine_bundle.js'), 'utf8'), worker);

let answer;
const port = {onmessage: null, postMessage(bytes) { answer(bytes); }};
worker.onmessage({data: port});

// -- Protocol buffers ---------------------------------------------------------------------

function varint(number) {
  const bytes = [];
  for (let left = BigInt(number); ; left >>= 7n) {
    if (left < 128n) return [...bytes, Number(left)];
    bytes.push(Number(left & 127n) | 128);
  }
}
const chunk = (field, bytes) =>
  Buffer.concat([Buffer.from([...varint(field << 3 | 2), ...varint(bytes.length)]), bytes]);
const number = (field, value) => Buffer.from([...varint(field << 3), ...varint(value)]);

function* fields(bytes) {
  let at = 0;
  const next = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++];
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = Number(next());
    if ((tag & 7) === 0) yield [tag >> 3, next()];
    else if ((tag & 7) === 1) { yield [tag >> 3, bytes.subarray(at, at + 8)]; at += 8; }
    else if ((tag & 7) === 2) {
      const length = Number(next());
      yield [tag >> 3, bytes.subarray(at, at + length)];
      at += length;
    } else throw new Error(`wire type ${tag & 7}`);
  }
}
function* varints(bytes) {
  for (let at = 0; at < bytes.length;) {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++];
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) break;
    }
    yield BigInt.asIntN(64, value);
  }
}

// -- Calls --------------------------------------------------------------------------------

let sequence = 0;
function call(method, field, args, isLast) {
  const parts = [number(1, ++sequence), number(2, method)];
  if (field) parts.push(chunk(field, args));
  const request = chunk(1, Buffer.concat(parts));
  return new Promise((resolve, reject) => {
    const replies = [];
    answer = (bytes) => {
      for (const [, message] of fields(Buffer.from(bytes))) {
        const reply = new Map(fields(message));
        if (reply.has(5)) reject(new Error(reply.get(5).toString()));
        replies.push(reply);
        if (!isLast || isLast(reply)) resolve(replies);
      }
    };
    port.onmessage({data: new Uint8Array(request)});
  });
}

async function query(sql) {
  const rows = [];
  const names = [], cells = [];
  const lastBatch = (reply) =>
    [...fields(reply.get(203))].some(([id, part]) =>
      id === 2 || (id === 3 && [...fields(part)].some(([inner, value]) => inner === 6 && value)));
  for (const reply of await call(3, 103, chunk(1, Buffer.from(sql)), lastBatch)) {
    for (const [id, part] of fields(reply.get(203))) {
      if (id === 1) names.push(part.toString());
      if (id === 2 && part.length) throw new Error(part.toString());
      if (id === 3) cells.push(...batch(part));
    }
  }
  while (cells.length) rows.push(Object.fromEntries(names.map((name) => [name, cells.shift()])));
  return rows;
}

function batch(bytes) {
  const types = [], integers = [], floats = [];
  let texts = [];
  for (const [id, part] of fields(bytes)) {
    if (id === 1) types.push(...[...varints(part)].map(Number));
    if (id === 2) integers.push(...varints(part));
    if (id === 3) for (let at = 0; at < part.length; at += 8) floats.push(part.readDoubleLE(at));
    if (id === 5) texts = part.toString().split('\0');
  }
  return types.map((type) => ({
    1: () => null, 2: () => Number(integers.shift()), 3: () => floats.shift(),
    4: () => texts.shift(),
  })[type]());
}

await new Promise((resolve) => setTimeout(resolve, 50));
const data = readFileSync(trace);
for (let at = 0; at < data.length; at += 1 << 20) {
  await call(1, 101, data.subarray(at, at + (1 << 20)));
}
await call(2);
for (const sql of queries) console.log(JSON.stringify(await query(sql)));
process.exit(0);
