// The official SDK of Anthropic for Node, as its users write it. It speaks
// version 2026-10-21 of the protocol, and sends its key as a bearer token.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import Anthropic from '@anthropic-ai/sdk';
import { jsonSchemaOutputFormat } from '@anthropic-ai/sdk/helpers/json-schema';
import { cities, far, final, near, newKey, pixel, play, retried, schema, script, thrown, twoCalls, watch } from './lib.mjs';

const client = (key = near.key, more = {}) => new Anthropic({ baseURL: near.base, apiKey: key, maxRetries: 0, ...more });
const away = () => client(far.key, { baseURL: far.base });
const simulating = (fault, more = {}) => client(near.testKey, { defaultHeaders: { 'X-Pontage-Simulate': fault }, ...more });
const tell = (model, content, more = {}) => ({ model, max_tokens: 2000, messages: [{ role: 'user', content }], ...more });
const claude = 'claude-sonnet-4-6';
const weather = { name: 'weather', description: 'The weather of a city', input_schema: cities };
const text = (message) => message.content.map((b) => b.text ?? '').join('');

describe('anthropic', { concurrency: 16 }, () => {
  for (const model of [claude, 'gpt-5-mini']) {
    test(`a message of ${model}`, async () => {
      const got = await client().messages.create(tell(model, 'Hello'));
      assert.equal(got.model, model);
      assert.equal(got.stop_reason, 'end_turn');
      assert.ok(text(got));
      assert.ok(got.usage.input_tokens > 0 && got.usage.output_tokens > 0);
      assert.match(got._request_id, /^req_/);
    });

    test(`a stream of ${model}`, async () => {
      const stream = client().messages.stream(tell(model, 'Hello'));
      let said = '';
      stream.on('text', (delta) => (said += delta));
      const got = await stream.finalMessage();
      assert.ok(said);
      assert.equal(text(got), said);
      assert.equal(got.stop_reason, 'end_turn');
      assert.match(stream.request_id, /^req_/);
      const events = [];
      for await (const e of await client().messages.create(tell(model, 'Hello', { stream: true }))) events.push(e.type);
      assert.equal(events[0], 'message_start');
      assert.deepEqual(events.slice(-3), ['content_block_stop', 'message_delta', 'message_stop']);
    });
  }

  test('a bearer token', async () => {
    const c = new Anthropic({ baseURL: near.base, authToken: near.key, maxRetries: 0 });
    assert.ok(text(await c.messages.create(tell(claude, 'Hello'))));
  });

  for (const stream of [false, true]) {
    test(`an agent's loop of tools, stream: ${stream}`, async () => {
      const asked = [];
      const runner = client().beta.messages.toolRunner({
        ...tell(claude, 'What is the weather like?'),
        stream,
        tools: [{ ...weather, parse: (v) => v, run: ({ city }) => (asked.push(city), 'sunny') }],
      });
      const got = await runner.runUntilDone();
      assert.ok(text(got));
      assert.equal(asked.length, 1);
      assert.equal(typeof asked[0], 'string');
    });
  }

  test('two tools at once, streamed', async () => {
    await script('claude-opus-4-7', twoCalls);
    const got = await client().messages.stream(tell('claude-opus-4-7', 'Compare.', { tools: [weather], tool_choice: { type: 'any' } })).finalMessage();
    const calls = got.content.filter((b) => b.type === 'tool_use');
    assert.equal(got.stop_reason, 'tool_use');
    assert.deepEqual(calls.map((c) => c.input.city), ['Paris', 'Oslo']);
    assert.equal(new Set(calls.map((c) => c.id)).size, 2);
    const after = await client().messages.create({
      ...tell(claude, 'Compare.', { tools: [weather] }),
      messages: [{ role: 'user', content: 'Compare.' }, { role: 'assistant', content: got.content }, { role: 'user', content: calls.map((c) => ({ type: 'tool_result', tool_use_id: c.id, content: 'sunny' })) }],
    });
    assert.ok(text(after));
  });

  test('thinking', async () => {
    const ask = tell(claude, 'Hello', { thinking: { type: 'enabled', budget_tokens: 1024 } });
    const whole = await client().messages.create(ask);
    const stream = client().messages.stream(ask);
    let seal = '';
    stream.on('signature', (s) => (seal = s));
    const streamed = await stream.finalMessage();
    for (const got of [whole, streamed]) {
      assert.deepEqual(got.content.map((b) => b.type), ['thinking', 'text']);
      assert.ok(got.content[0].thinking && got.content[0].signature);
      assert.ok(got.usage.output_tokens_details.thinking_tokens > 0);
    }
    assert.equal(seal, streamed.content[0].signature);
    await client().messages.create({ ...ask, messages: [...ask.messages, { role: 'assistant', content: streamed.content }, { role: 'user', content: 'And now?' }] });
  });

  test('images', async () => {
    const got = await client().messages.create(tell(claude, [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: pixel } }]));
    assert.match(text(got), /one image/);
  });

  test('structured output', async () => {
    const got = await client().messages.parse(tell(claude, 'Hello', { output_config: { format: jsonSchemaOutputFormat(schema) } }));
    assert.ok(Number.isInteger(got.parsed_output.n));
  });

  test('usage of the cache', async () => {
    const mark = { type: 'ephemeral' };
    const ask = tell(claude, [{ type: 'text', text: 'Hello' }], { system: [{ type: 'text', text: 'Know this. '.repeat(200), cache_control: mark }] });
    const first = await client().messages.create(ask);
    assert.ok(first.usage.cache_creation_input_tokens > 400);
    assert.equal(first.usage.cache_read_input_tokens, 0);
    ask.messages[0].content[0].cache_control = mark;
    const second = await client().messages.stream(ask).finalMessage();
    assert.equal(second.usage.cache_read_input_tokens, first.usage.cache_creation_input_tokens);
  });

  test('counting tokens', async () => {
    for (const model of [claude, 'gpt-5-mini']) {
      const { messages } = tell(model, 'word '.repeat(500));
      assert.ok((await client().messages.countTokens({ model, messages })).input_tokens >= 500);
    }
  });

  test('models, page by page', async () => {
    const ids = new Set();
    let pages = 0;
    for await (const page of (await client().models.list({ limit: 50 })).iterPages()) {
      pages++;
      for (const m of page.data) {
        assert.ok(m.type === 'model' && m.display_name && !ids.has(m.id));
        ids.add(m.id);
      }
    }
    assert.ok(ids.size > 100 && pages === Math.ceil(ids.size / 50), `${ids.size} models on ${pages} pages`);
    assert.equal((await client().models.retrieve(claude)).id, claude);
    const slash = [...ids].find((id) => id.includes('/'));
    assert.equal((await client().models.retrieve(slash)).id, slash);
    raises(await thrown(client().models.retrieve('claude-nothing')), Anthropic.NotFoundError, 404, 'not_found_error');
    raises(await thrown(client('sk-pontage-nobody').models.list()), Anthropic.AuthenticationError, 401, 'authentication_error');
  });

  // raises checks an error with all that the SDK keeps of it.
  const raises = (err, type, status, kind) => {
    assert.equal(err.constructor, type, `${err.constructor.name}: ${err.message}`);
    assert.ok(err instanceof Anthropic.APIError);
    assert.equal(err.status, status);
    assert.equal(err.type, kind);
    assert.ok(err.apiMessage);
    assert.match(err.requestID, /^req_/);
    assert.equal(err.error.request_id, err.requestID);
  };

  test('error classes', async () => {
    const poor = await newKey('');
    const narrow = await newKey('1', { models: ['gpt-4o'] });
    const slow = await newKey('1', { limits: { requests: 1, per: '1h' } });
    await client(slow.key).messages.create(tell(claude, 'Hello'));
    const hello = tell(claude, 'Hello');
    for (const [key, body, type, status, kind] of [
      ['sk-pontage-nobody', hello, Anthropic.AuthenticationError, 401, 'authentication_error'],
      [poor.key, hello, Anthropic.PaymentRequiredError, 402, 'billing_error'],
      [narrow.key, hello, Anthropic.PermissionDeniedError, 403, 'permission_error'],
      [near.key, tell('claude-nothing', 'Hello'), Anthropic.NotFoundError, 404, 'not_found_error'],
      [near.key, { ...hello, messages: undefined }, Anthropic.BadRequestError, 400, 'invalid_request_error'],
      [slow.key, hello, Anthropic.RateLimitError, 429, 'rate_limit_error'],
    ]) {
      for (const stream of [false, true]) raises(await thrown(client(key).messages.create({ ...body, stream })), type, status, kind);
    }
  });

  for (const [fault, type, status, kind] of [
    ['content_policy', Anthropic.BadRequestError, 400, 'invalid_request_error'],
    ['balance_held', Anthropic.PaymentRequiredError, 402, 'billing_error'],
    ['request_timeout', Anthropic.RequestTimeoutError, 408, 'timeout_error'],
    ['body_too_large', Anthropic.ContentTooLargeError, 413, 'request_too_large'],
    ['daily_requests_exceeded', Anthropic.RateLimitError, 429, 'rate_limit_error'],
    ['internal', Anthropic.InternalServerError, 500, 'api_error'],
    ['upstream_auth', Anthropic.InternalServerError, 502, 'api_error'],
    ['no_target', Anthropic.ServiceUnavailableError, 503, 'api_error'],
    ['upstream_timeout', Anthropic.GatewayTimeoutError, 504, 'timeout_error'],
    ['upstream_overloaded', Anthropic.OverloadedError, 529, 'overloaded_error'],
  ]) {
    test(`the fault ${fault}`, async () => {
      for (const stream of [false, true]) raises(await thrown(simulating(fault).messages.create(tell(claude, 'Hello', { stream }))), type, status, kind);
    });
  }

  for (const how of ['simulated', 'cut', 'truncated']) {
    test(`a stream that breaks off raises: ${how}`, async () => {
      const model = { simulated: claude, cut: 'claude-opus-4-8', truncated: 'claude-3-haiku-20240307' }[how];
      if (how !== 'simulated') await script(model, { fault: how, after: 2 });
      const c = how === 'simulated' ? simulating('stream_interrupted;after=2') : client();
      const stream = c.messages.stream(tell(model, 'Hello'));
      let said = '';
      stream.on('text', (delta) => (said += delta));
      const err = await thrown(stream.finalMessage());
      assert.ok(err instanceof Anthropic.APIError, String(err));
      assert.ok(err.type && err.apiMessage, JSON.stringify(err));
      assert.match(err.requestID, /^req_/);
      assert.ok(said);
    });
  }

  for (const [fault, tries] of [...retried.map((f) => [f, 3]), ...final.map((f) => [f, 1])]) {
    test(`${tries === 1 ? 'no retry' : 'retries'} after ${fault}`, async () => {
      const w = watch();
      await thrown(simulating(fault, { maxRetries: 2, fetch: w.fetch }).messages.create(tell(claude, 'Hello')));
      assert.equal(w.tries, tries);
      assert.equal(w.early, 0);
    });
  }

  test('a rate limit is waited out', async () => {
    const { key } = await newKey('1', { limits: { requests: 1, per: '1500ms' } });
    const w = watch();
    for (let i = 0; i < 2; i++) await client(key, { maxRetries: 2, fetch: w.fetch }).messages.create(tell(claude, 'Hello'));
    assert.deepEqual([w.tries, w.told, w.early], [3, 1, 0]);
  });

  test('a model of the other family', async () => {
    for (const name of ['tools', 'tools-mixed']) {
      const got = await away().messages.stream(tell('gpt-far', play(name), { tools: [weather] })).finalMessage();
      assert.equal(got.model, 'gpt-far');
      assert.equal(got.stop_reason, 'tool_use');
      assert.deepEqual(got.content.map((b) => [b.id, b.input.city]), [['call_paris', 'Paris'], ['call_oslo', 'Oslo']]);
    }
    const got = await away().messages.stream(tell('gpt-far', play('thinking'))).finalMessage();
    assert.deepEqual(got.content.map((b) => b.thinking ?? b.text), ['First, then second.', 'Done.']);
    assert.deepEqual([got.usage.input_tokens, got.usage.cache_read_input_tokens, got.usage.output_tokens], [16, 4, 30]);
  });

  // The Go test looks at what the provider received.
  test('its version reaches the provider', async () => {
    assert.equal(text(await away().messages.create(tell('claude-far', play('text') + '[note:npm]'))), 'Bonjour, ça va?');
  });
});
