// What the tests of both SDKs share: the gateways, their admin API, and a fetch
// that watches an SDK's own retries.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

const env = (name) => {
  assert.ok(process.env[name], `${name} is not set: these tests are started by go test in test/compat`);
  return process.env[name];
};

// near is `pontage dev`; far has providers that the Go test plays.
export const near = { base: env('NEAR_URL'), key: env('NEAR_KEY'), testKey: env('NEAR_TEST_KEY'), admin: env('NEAR_ADMIN_URL'), token: env('NEAR_ADMIN_TOKEN') };
export const far = { base: env('FAR_URL'), key: env('FAR_KEY') };

// five has the services of the example, each with its URL, its keys and what the
// error reference promises; broken has them, too, and nobody else asks it.
const fleets = JSON.parse(readFileSync(env('FLEETS'), 'utf8'));
export const five = fleets.five;
export const broken = { ...fleets.broken, arm: (point, times) => ask('POST', '/admin/v1/test/fault', { point, times }, fleets.broken) };

// ask calls the admin API of a gateway.
export async function ask(method, path, body, gateway = near) {
  const resp = await fetch(gateway.admin + path, {
    method,
    headers: { authorization: `Bearer ${gateway.token}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  const text = await resp.text();
  assert.ok(resp.ok, `${method} ${path}: ${resp.status} ${text}`);
  return JSON.parse(text);
}

// newKey makes an account with some dollars, and a key.
export async function newKey(usd, more = {}) {
  const account = await ask('POST', '/admin/v1/accounts', { name: 'npm' });
  if (usd) await ask('POST', `/admin/v1/accounts/${account.id}/credits`, { amount_usd: usd, kind: 'topup' });
  return ask('POST', `/admin/v1/accounts/${account.id}/keys`, { name: 'npm', ...more });
}

// script makes the simulator go through steps for a model. Tests run side by
// side, those in Go too: each scripts a model that no other uses.
export const script = (model, ...steps) => ask('PUT', '/admin/v1/test/sim', { model, steps });

// watch is a fetch that counts attempts, and how many of them came before the
// time that the answer before had advised.
export function watch() {
  const w = { tries: 0, told: 0, early: 0, until: 0 };
  w.fetch = async (url, init) => {
    w.tries++;
    if (performance.now() < w.until) w.early++;
    const resp = await fetch(url, init);
    const ms = resp.headers.get('retry-after-ms');
    if (ms) {
      w.told++;
      w.until = performance.now() + Number(ms) - 2; // timers of Node may be a millisecond early
    }
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

// play is the mark that makes the far gateway's providers answer with a file.
export const play = (name) => `[play:${name}]`;

export const pixel = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==';

export const schema = { type: 'object', properties: { n: { type: 'integer' } }, required: ['n'], additionalProperties: false };
export const cities = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] };

// twoCalls is a step that calls a tool twice at once.
export const twoCalls = {
  tool_calls: ['Paris', 'Oslo'].map((city) => ({ name: 'weather', arguments: { city } })),
  chunks: 5,
};

// What an SDK must retry twice, and what never: faults that a test key asks for.
export const retried = ['upstream_failed', 'upstream_overloaded', 'upstream_timeout', 'internal', 'upstream_rate_limited', 'balance_held', 'no_target'];
export const final = [
  'upstream_auth', 'upstream_quota', 'daily_requests_exceeded', 'daily_spend_exceeded', 'balance_insufficient', 'plan_quota_exceeded',
  'content_policy', 'context_length_exceeded', 'invalid_json', 'key_invalid', 'model_not_found',
];
