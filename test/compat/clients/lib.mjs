// What the tests of frameworks share: the gateway, its admin API, and the
// requests that its providers have received.
import assert from 'node:assert/strict';

const env = (name) => {
  assert.ok(process.env[name], `${name} is not set: these tests are started by go test in test/compat`);
  return process.env[name];
};

export const gateway = { base: env('AGENTS_URL'), admin: env('AGENTS_ADMIN_URL'), token: env('AGENTS_ADMIN_TOKEN') };
// models by who serves them: chat, responses, messages, gemini, down.
export const models = JSON.parse(env('AGENTS_MODELS'));
// A turn of any model, in nano-dollars, and what it uses.
export const turn = JSON.parse(env('AGENTS_TURN'));
const teller = env('TELLER_URL');

async function ask(method, path, body) {
  const resp = await fetch(gateway.admin + path, {
    method,
    headers: { authorization: `Bearer ${gateway.token}`, 'content-type': 'application/json' },
    body: body && JSON.stringify(body),
  });
  const text = await resp.text();
  assert.ok(resp.ok, `${method} ${path}: ${resp.status} ${text}`);
  return JSON.parse(text);
}

// newKey makes an account with some dollars, and a key.
export async function newKey(usd, more = {}) {
  const account = await ask('POST', '/admin/v1/accounts', { name: 'framework' });
  if (usd) await ask('POST', `/admin/v1/accounts/${account.id}/credits`, { amount_usd: usd, kind: 'topup' });
  return { account: account.id, key: (await ask('POST', `/admin/v1/accounts/${account.id}/keys`, { name: 'framework', ...more })).key };
}

// spent asserts that an account that had a dollar paid for so many turns.
export async function spent(account, turns) {
  const nanos = (usd) => Number((usd + '000000000').replace(/^(\d+)\.(\d{9}).*$/, '$1$2'));
  const want = 1_000_000_000 - turns * turn.nanos;
  let left;
  for (const end = Date.now() + 5000; left !== want && Date.now() < end; await new Promise((ok) => setTimeout(ok, 10))) {
    const a = await ask('GET', `/admin/v1/accounts/${account}`);
    left = nanos(a.balance_usd);
    if (nanos(a.held_usd)) left = -1; // its last charge is on its way
  }
  assert.equal(left, want);
}

// heard returns the requests with the mark of that name.
export const heard = async (name) => (await (await fetch(`${teller}/heard/${name}`)).json()) ?? [];

// watch is a fetch that counts attempts, and how many of them came before the
// time that the answer before had advised.
export function watch() {
  const w = { tries: 0, early: 0, until: 0 };
  w.fetch = async (url, init) => {
    w.tries++;
    if (performance.now() < w.until) w.early++;
    const resp = await fetch(url, init);
    const ms = resp.headers.get('retry-after-ms');
    if (ms) w.until = performance.now() + Number(ms) - 2; // timers of Node may be a millisecond early
    return resp;
  };
  return w;
}

// thrown returns what a promise is rejected with.
export async function thrown(promise) {
  try {
    await promise;
  } catch (err) {
    return err;
  }
  assert.fail('nothing was thrown');
}

export const weather = { name: 'weather', description: 'The weather of a city' };

// repeats asserts that a model repeats what the tool said. Clients of Gemini's
// protocol put a result into an object, which other models are told as it is.
export function repeats(text, surface, family) {
  if (surface !== 'gemini' || family === 'gemini') return assert.equal(text, 'The tool said: sunny in Bergen');
  assert.match(text, /^The tool said: \{.*"sunny in Bergen"\}$/);
}

let number = 0;
// prompt returns a prompt with a mark of its own, and the mark's name.
export function prompt(who) {
  const name = `${who}-${process.pid}-${++number}`;
  return { name, prompt: `What is the weather like in Bergen? [tell:${name}]` };
}

// states are those that must come back to a provider with the call. What Google
// documents for a call whose signature was lost stands where the client cannot
// keep it.
export function states(name, family, keeps) {
  if (keeps && family !== 'chat') return [`state-of-${name}-1`];
  return family === 'gemini' ? ['skip_thought_signature_validator'] : [];
}

// told checks what the provider got in a conversation that called the tool once,
// and returns it.
export async function told(name, { family, states }) {
  const got = await heard(name);
  assert.deepEqual(got.map((h) => [h.family, h.tools, h.results?.length ?? 0, h.refused]), [
    [family, ['weather'], 0, ''],
    [family, ['weather'], 1, ''],
  ]);
  assert.match(got[1].results[0], /sunny in Bergen/);
  if (states !== undefined) assert.deepEqual(got[1].states ?? [], states);
  return got;
}
