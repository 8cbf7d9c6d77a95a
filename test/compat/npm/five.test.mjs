// The official SDKs for Node at five services side by side and at the default
// contract: every error is of the class and has the fields that docs/errors.md
// promises.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import { broken, five, thrown, watch } from './lib.mjs';

const text = 'Bonjour, ça va?';
const play = { text: '[play:text]', cut: '[play:cut]', 'cut-error': '[play:cut-error]' };
const asks = (model, content, more = {}) => ({ model, max_tokens: 50, messages: [{ role: 'user', content }], ...more });

// What each SDK has for a status.
const classes = {
  chat: {
    400: OpenAI.BadRequestError, 401: OpenAI.AuthenticationError, 403: OpenAI.PermissionDeniedError, 404: OpenAI.NotFoundError,
    409: OpenAI.ConflictError, 422: OpenAI.UnprocessableEntityError, 429: OpenAI.RateLimitError, other: OpenAI.APIError, 500: OpenAI.InternalServerError,
  },
  messages: {
    400: Anthropic.BadRequestError, 401: Anthropic.AuthenticationError, 402: Anthropic.PaymentRequiredError, 403: Anthropic.PermissionDeniedError,
    404: Anthropic.NotFoundError, 408: Anthropic.RequestTimeoutError, 409: Anthropic.ConflictError, 413: Anthropic.ContentTooLargeError,
    422: Anthropic.UnprocessableEntityError, 429: Anthropic.RateLimitError, 503: Anthropic.ServiceUnavailableError, 504: Anthropic.GatewayTimeoutError,
    529: Anthropic.OverloadedError, other: Anthropic.APIError, 500: Anthropic.InternalServerError,
  },
};
const classOf = (surface, status) => classes[surface][status] ?? classes[surface][status > 500 ? 500 : 'other'];

// The two SDKs. ask returns the whole answer or a stream; delta is the text of a
// stream's event, and finish why it ended. Of an error, error is the member of
// the body, fields are those that the SDK has read out of it, and words its
// message.
const sdks = {
  node: {
    surface: 'chat',
    client: (s, key, more) => new OpenAI({ baseURL: s.URL + s.Chat, apiKey: key, ...more }),
    // Without chat completions there is still the SDK's way to call anything.
    ask: (c, s, body, options) => (s.Post ? c.post(s.Post, { body, stream: body.stream ?? false, ...options }) : c.chat.completions.create(body, options)),
    text: (got) => got.choices[0].message.content,
    delta: (chunk) => chunk.choices?.[0]?.delta?.content ?? '',
    finish: (chunk) => chunk.choices?.[0]?.finish_reason ?? '',
    error: (err) => err.error,
    fields: (err) => ({ type: err.type, code: err.code, param: err.param }),
    words: (err) => err.message.replace(`${err.status} `, ''),
    any: OpenAI.APIError,
  },
  'node-anthropic': {
    surface: 'messages',
    client: (s, key, { at = 0, ...more }) => new Anthropic({ baseURL: s.URL + s.Messages[at], apiKey: key, ...more }),
    ask: (c, s, body, options) => c.messages.create(body, options),
    text: (got) => got.content[0].text,
    delta: (event) => event.delta?.text ?? '',
    finish: (event) => event.delta?.stop_reason ?? '',
    error: (err) => err.error.error,
    fields: (err) => ({ type: err.type }),
    words: (err) => err.apiMessage,
    any: Anthropic.APIError,
  },
};

const tries = ({ Status: s, Retry }) => (Retry === 'yes' || (Retry === 'up to you' && (s === 408 || s === 409 || s === 429 || s >= 500)) ? 2 : 1);
const copy = ({ message, param, ...rest }) => rest;

// raised checks an error against a row of the reference. Where words is set, they
// count, too.
function raised(sdk, row, err, { words = false, param } = {}) {
  const want = JSON.parse(row.Example).error;
  const got = sdk.error(err);
  assert.equal(err.constructor, classOf(sdk.surface, row.Status), `${err.constructor.name}: ${err.message}`);
  assert.ok(err instanceof sdk.any);
  assert.equal(err.status, row.Status);
  assert.match(err.requestID, /^req_/);
  assert.equal(err.headers.get('x-charge-usd'), '0.00');
  assert.ok(err.message.startsWith(`${row.Status} `) && err.message.length > 8, err.message);
  if (typeof want === 'string') return assert.equal(got, want); // a code, or a fixed sentence
  if (words) assert.deepEqual(got, want);
  else assert.deepEqual(copy(got), copy(want));
  if ('param' in want && param) assert.equal(got.param, param);
  assert.ok(got.message);
  assert.equal(sdk.words(err), got.message);
  for (const [name, value] of Object.entries(sdk.fields(err))) assert.equal(value, got[name]);
}

// read reads a stream, and returns what came and what was thrown.
async function read(sdk, stream) {
  const got = { text: '', finish: '', err: null };
  try {
    for await (const chunk of stream) {
      got.text += sdk.delta(chunk);
      got.finish += sdk.finish(chunk);
    }
  } catch (err) {
    got.err = err;
  }
  return got;
}

// broke checks what a stream threw that had begun.
function broke(sdk, s, got, w, exactly) {
  assert.ok(got.err instanceof sdk.any, `${got.err}, after ${got.text}, ${got.finish}`);
  assert.ok(got.text);
  assert.equal(got.finish, '');
  assert.equal(w.tries, 1);
  const frame = JSON.parse(s.Frames[sdk.surface]).error;
  const error = sdk.error(got.err);
  assert.equal(typeof error, typeof frame);
  if (exactly) assert.deepEqual(error, frame);
  assert.ok(typeof error === 'string' ? error : error.message, JSON.stringify(error));
}

describe('services', { concurrency: 64 }, () => {
  for (const s of five.services) {
    for (const [name, sdk] of Object.entries(sdks)) {
      if (sdk.surface === 'messages' && !s.Messages) continue;
      const rows = s.Rows[sdk.surface];
      const who = `${s.Name} ${name}`;

      for (const at of sdk.surface === 'messages' ? s.Messages.keys() : [0]) {
        test(`${who}: answers ${at}`, async () => {
          const c = sdk.client(s, s.Key, { at, maxRetries: 0 });
          const { data, response, request_id } = await sdk.ask(c, s, asks('gpt-5-mini', play.text)).withResponse();
          assert.equal(sdk.text(data), text);
          assert.match(request_id, /^req_/);
          assert.equal(request_id, response.headers.get('x-request-id'));
          const got = await read(sdk, await sdk.ask(c, s, asks('gpt-5-mini', play.text, { stream: true })));
          assert.deepEqual([got.text, got.err], [text, null]);
          assert.match(got.finish, /^(stop|end_turn)$/);
        });
      }

      for (const c of s.Cases) {
        for (const mode of ['whole', 'streamed']) {
          if (c.Surfaces && !c.Surfaces.includes(sdk.surface) && !c.Surfaces.includes(`${sdk.surface} ${mode}`)) continue;
          test(`${who}: ${c.Name}, ${mode}`, async () => {
            const w = watch();
            const body = JSON.parse(c.Body.replace('SDK', name).replace('MODE', mode));
            if (mode === 'streamed') body.stream = true;
            const client = sdk.client(s, c.Key, { maxRetries: 1, fetch: w.fetch });
            const err = await thrown(sdk.ask(client, s, body, { headers: c.Header ?? {} }));
            raised(sdk, rows[c.Fault], err, { param: c.Param });
            assert.deepEqual([w.tries, w.early], [c.Tries || tries(rows[c.Fault]), 0]);
          });
        }
      }

      for (const [fault, row] of Object.entries(rows)) {
        test(`${who}: the fault ${fault}`, async () => {
          const simulate = (what) => ({ headers: { 'X-Pontage-Simulate': what } });
          const hello = asks('gpt-5-mini', 'Hello');
          const once = sdk.client(s, s.TestKey, { maxRetries: 0 });
          const err = await thrown(sdk.ask(once, s, hello, simulate(fault)));
          raised(sdk, row, err, { words: true });
          assert.equal(err.headers.get('x-should-retry'), { yes: 'true', no: 'false', 'up to you': null }[row.Retry]);

          const w = watch();
          const wait = Number(err.headers.get('retry-after') ?? 0);
          if (wait <= 2 || tries(row) === 1) { // or the test takes long
            const client = sdk.client(s, s.TestKey, { maxRetries: 1, fetch: w.fetch });
            raised(sdk, row, await thrown(sdk.ask(client, s, { ...hello, stream: true }, simulate(fault))), { words: true });
            assert.deepEqual([w.tries, w.early], [tries(row), 0]);
          }

          const later = watch();
          const client = sdk.client(s, s.TestKey, { maxRetries: 1, fetch: later.fetch });
          const got = await read(sdk, await sdk.ask(client, s, { ...hello, stream: true }, simulate(`${fault};after=2`)));
          broke(sdk, s, got, later, fault === 'stream_interrupted');
        });
      }

      for (const how of ['cut', 'cut-error']) {
        test(`${who}: a provider that breaks off: ${how}`, async () => {
          const w = watch();
          const client = sdk.client(s, s.Key, { maxRetries: 1, fetch: w.fetch });
          broke(sdk, s, await read(sdk, await sdk.ask(client, s, asks('gpt-5-mini', play[how], { stream: true }))), w, false);
        });
      }
    }

    test(`${s.Name} node: models are listed, and looked for`, async () => {
      const c = sdks.node.client(s, s.Key, { maxRetries: 0 });
      const ids = [];
      for await (const m of c.models.list()) ids.push(m.id);
      assert.ok(ids.includes('gpt-5-mini'));
      assert.equal((await c.models.retrieve('gpt-5-mini')).id, 'gpt-5-mini');
      raised(sdks.node, s.Rows.chat.model_not_found, await thrown(c.models.retrieve('gpt-nothing')), { param: 'model' });
    });
  }

  // A handler fails, for whoever comes next: one after the other.
  describe('a defect', { concurrency: 1 }, () => {
    for (const s of broken.services) {
      for (const [name, sdk] of Object.entries(sdks)) {
        if (sdk.surface === 'messages' && !s.Messages) continue;
        test(`${s.Name} ${name}`, async () => {
          for (const stream of [false, true]) {
            const w = watch();
            await broken.arm('handler_panic', 2);
            const client = sdk.client(s, s.Key, { maxRetries: 1, fetch: w.fetch });
            raised(sdk, s.Rows[sdk.surface].internal, await thrown(sdk.ask(client, s, asks('gpt-5-mini', play.text, { stream }))));
            assert.deepEqual([w.tries, w.early], [2, 0]);
          }
        });
      }
    }
  });
});
