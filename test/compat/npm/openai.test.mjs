// The official SDK of OpenAI for Node, as its users write it.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import OpenAI from 'openai';
import { cities, far, final, near, newKey, pixel, play, retried, schema, script, thrown, twoCalls, watch } from './lib.mjs';

const client = (key = near.key, more = {}) => new OpenAI({ baseURL: near.base + '/v1', apiKey: key, maxRetries: 0, ...more });
const away = () => client(far.key, { baseURL: far.base + '/v1' });
const simulating = (fault, more = {}) => client(near.testKey, { defaultHeaders: { 'X-Pontage-Simulate': fault }, ...more });
const say = (model, content, more = {}) => ({ model, messages: [{ role: 'system', content: 'Be brief.' }, { role: 'user', content }], ...more });
const weather = { type: 'function', function: { name: 'weather', description: 'The weather of a city', parameters: cities } };

describe('openai', { concurrency: 16 }, () => {
  for (const model of ['gpt-5-mini', 'claude-sonnet-4-5']) {
    test(`chat with ${model}`, async () => {
      const { data, response, request_id } = await client().chat.completions.create(say(model, 'Hello')).withResponse();
      assert.equal(data.model, model);
      assert.equal(data.choices.length, 1);
      assert.equal(data.choices[0].finish_reason, 'stop');
      assert.ok(data.choices[0].message.content);
      assert.equal(data.usage.total_tokens, data.usage.prompt_tokens + data.usage.completion_tokens);
      assert.match(request_id, /^req_/);
      assert.equal(data._request_id, response.headers.get('x-request-id'));
    });

    test(`stream with ${model}`, async () => {
      const stream = await client().chat.completions.create(say(model, 'Hello', { stream: true, stream_options: { include_usage: true } }));
      let text = '', finish = '', usage;
      const ids = new Set();
      for await (const chunk of stream) {
        ids.add(chunk.id);
        text += chunk.choices[0]?.delta?.content ?? '';
        finish += chunk.choices[0]?.finish_reason ?? '';
        usage = chunk.usage ?? usage;
      }
      assert.ok(text);
      assert.equal(finish, 'stop');
      assert.ok(usage.completion_tokens > 0);
      assert.equal(ids.size, 1);
    });
  }

  test('the stream helper', async () => {
    const runner = client().chat.completions.stream(say('gpt-5-mini', 'Hello'));
    let text = '';
    runner.on('content', (delta) => (text += delta));
    const done = await runner.finalChatCompletion();
    assert.equal(done.choices[0].message.content, text);
    assert.equal(done.choices[0].finish_reason, 'stop');
  });

  test('several choices', async () => {
    const done = await client().chat.completions.stream(say('gpt-5-mini', 'Hello', { n: 3 })).finalChatCompletion();
    assert.deepEqual(done.choices.map((c) => [c.index, c.finish_reason, !!c.message.content]), [0, 1, 2].map((i) => [i, 'stop', true]));
  });

  for (const stream of [false, true]) {
    test(`an agent's loop of tools, stream: ${stream}`, async () => {
      const asked = [];
      const runner = client().chat.completions.runTools(say('gpt-5-mini', 'What is the weather like?', {
        stream,
        tools: [{ type: 'function', function: { ...weather.function, parse: JSON.parse, function: ({ city }) => (asked.push(city), 'sunny') } }],
      }));
      assert.ok(await runner.finalContent());
      assert.equal(asked.length, 1);
      assert.equal(typeof asked[0], 'string');
      assert.deepEqual(runner.messages.map((m) => m.role), ['system', 'user', 'assistant', 'tool', 'assistant']);
    });
  }

  test('two tools at once, streamed', async () => {
    await script('gpt-5', twoCalls);
    const done = await client().chat.completions.stream(say('gpt-5', 'Compare.', { tools: [weather], tool_choice: 'required' })).finalChatCompletion();
    const calls = done.choices[0].message.tool_calls;
    assert.equal(done.choices[0].finish_reason, 'tool_calls');
    assert.deepEqual(calls.map((c) => JSON.parse(c.function.arguments).city), ['Paris', 'Oslo']);
    assert.equal(new Set(calls.map((c) => c.id)).size, 2);
  });

  test('images', async () => {
    const content = [{ type: 'text', text: 'What is this?' }, { type: 'image_url', image_url: { url: `data:image/png;base64,${pixel}` } }];
    const got = await client().chat.completions.create(say('gpt-5-mini', content));
    assert.match(got.choices[0].message.content, /one image/);
  });

  test('structured output', async () => {
    const got = await client().chat.completions.parse(say('gpt-5-mini', 'Hello', { response_format: { type: 'json_schema', json_schema: { name: 'answer', strict: true, schema } } }));
    assert.ok(Number.isInteger(JSON.parse(got.choices[0].message.content).n));
  });

  test('embeddings, which it asks for in base64', async () => {
    const w = watch();
    let asked;
    const spy = (url, init) => ((asked = JSON.parse(init.body)), w.fetch(url, init));
    const ask = (more) => client(near.key, { fetch: spy }).embeddings.create({ model: 'text-embedding-3-small', input: ['one', 'two'], dimensions: 8, ...more });
    const packed = await ask({});
    assert.equal(asked.encoding_format, 'base64');
    const plain = await ask({ encoding_format: 'float' });
    assert.equal(packed.data.length, 2);
    for (const i of [0, 1]) {
      assert.equal(packed.data[i].embedding.length, 8);
      assert.deepEqual(Array.from(packed.data[i].embedding), plain.data[i].embedding.map(Math.fround));
    }
    // A provider that sends numbers all the same is packed here.
    const got = await away().embeddings.create({ model: 'embed-far', input: [play('numbers'), 'two'] });
    assert.deepEqual(got.data.map((d) => Array.from(d.embedding)), [[0.5, -0.25, 1.5], [0.125, 2, -3]]);
  });

  test('models', async () => {
    const ids = [];
    for await (const m of client().models.list()) ids.push(m.id);
    assert.ok(ids.length > 100);
    for (const id of [ids[0], ids.find((id) => id.includes('/'))]) assert.equal((await client().models.retrieve(id)).id, id);
    assert.ok((await thrown(client().models.retrieve('gpt-nothing'))) instanceof OpenAI.NotFoundError);
  });

  // fails checks an error with all that the SDK keeps of it.
  const fails = (err, type, status, code) => {
    assert.equal(err.constructor, type, `${err.constructor.name}: ${err.message}`);
    assert.ok(err instanceof OpenAI.APIError);
    assert.equal(err.status, status);
    assert.equal(err.code, code);
    assert.ok(err.type && err.error.message && err.message.startsWith(`${status} `));
    assert.match(err.requestID, /^req_/);
    assert.notEqual(err.param, 'None');
  };

  test('error classes', async () => {
    const poor = await newKey('');
    const off = await newKey('1');
    await fetch(`${near.admin}/admin/v1/keys/${off.id}`, { method: 'PATCH', headers: { authorization: `Bearer ${near.token}`, 'content-type': 'application/json' }, body: '{"active":false}' });
    const slow = await newKey('1', { limits: { requests: 1, per: '1h' } });
    await client(slow.key).chat.completions.create(say('gpt-5-mini', 'Hello'));
    const hello = say('gpt-5-mini', 'Hello');
    for (const [key, body, type, status, code] of [
      ['sk-pontage-nobody', hello, OpenAI.AuthenticationError, 401, 'invalid_api_key'],
      [poor.key, hello, OpenAI.APIError, 402, 'insufficient_balance'],
      [off.key, hello, OpenAI.PermissionDeniedError, 403, 'key_inactive'],
      [near.key, say('gpt-nothing', 'Hello'), OpenAI.NotFoundError, 404, 'model_not_found'],
      [near.key, { ...hello, messages: undefined }, OpenAI.BadRequestError, 400, 'missing_required_parameter'],
      [near.key, say('gpt-4.1-mini', 'Hello', { temperature: 3 }), OpenAI.BadRequestError, 400, 'invalid_value'],
      [slow.key, hello, OpenAI.RateLimitError, 429, 'rate_limit_exceeded'],
    ]) {
      for (const stream of [false, true]) fails(await thrown(client(key).chat.completions.create({ ...body, stream })), type, status, code);
    }
  });

  for (const [fault, type, status, code] of [
    ['content_policy', OpenAI.BadRequestError, 400, 'content_policy_violation'],
    ['context_length_exceeded', OpenAI.BadRequestError, 400, 'context_length_exceeded'],
    ['balance_held', OpenAI.APIError, 402, 'balance_held'],
    ['body_too_large', OpenAI.APIError, 413, 'request_too_large'],
    ['daily_requests_exceeded', OpenAI.RateLimitError, 429, 'daily_requests_exceeded'],
    ['upstream_rate_limited', OpenAI.RateLimitError, 429, 'upstream_rate_limited'],
    ['internal', OpenAI.InternalServerError, 500, 'internal_error'],
    ['upstream_auth', OpenAI.InternalServerError, 502, 'upstream_authentication_failed'],
    ['upstream_overloaded', OpenAI.InternalServerError, 503, 'server_is_overloaded'],
    ['upstream_timeout', OpenAI.InternalServerError, 504, 'upstream_timeout'],
  ]) {
    test(`the fault ${fault}`, async () => {
      for (const stream of [false, true]) fails(await thrown(simulating(fault).chat.completions.create(say('gpt-5-mini', 'Hello', { stream }))), type, status, code);
    });
  }

  for (const how of ['simulated', 'cut', 'truncated']) {
    test(`a stream that breaks off raises: ${how}`, async () => {
      const model = { simulated: 'gpt-5-mini', cut: 'gpt-4o-mini', truncated: 'o1' }[how];
      if (how !== 'simulated') await script(model, { fault: how, after: 2 });
      const c = how === 'simulated' ? simulating('stream_interrupted;after=2') : client();
      const stream = await c.chat.completions.create(say(model, 'Hello', { stream: true }));
      let text = '', finish = '';
      const err = await thrown((async () => {
        for await (const chunk of stream) {
          text += chunk.choices[0]?.delta?.content ?? '';
          finish += chunk.choices[0]?.finish_reason ?? '';
        }
      })());
      assert.ok(err instanceof OpenAI.APIError, String(err));
      assert.ok(err.code && err.type && err.message, JSON.stringify(err));
      assert.ok(text);
      assert.equal(finish, '');
    });
  }

  for (const [fault, tries] of [...retried.map((f) => [f, 3]), ...final.map((f) => [f, 1])]) {
    test(`${tries === 1 ? 'no retry' : 'retries'} after ${fault}`, async () => {
      const w = watch();
      await thrown(simulating(fault, { maxRetries: 2, fetch: w.fetch }).chat.completions.create(say('gpt-5-mini', 'Hello')));
      assert.equal(w.tries, tries);
      assert.equal(w.early, 0);
    });
  }

  test('a rate limit is waited out', async () => {
    const { key } = await newKey('1', { limits: { requests: 1, per: '1500ms' } });
    const w = watch();
    for (let i = 0; i < 2; i++) await client(key, { maxRetries: 2, fetch: w.fetch }).chat.completions.create(say('gpt-5-mini', 'Hello'));
    assert.deepEqual([w.tries, w.told, w.early], [3, 1, 0]);
  });

  test('a model of the other family', async () => {
    const whole = await away().chat.completions.create(say('claude-far', play('tools'), { tools: [weather] }));
    const streamed = await away().chat.completions.stream(say('claude-far', play('tools'), { tools: [weather] })).finalChatCompletion();
    for (const got of [whole, streamed]) {
      assert.equal(got.model, 'claude-far');
      assert.equal(got.choices[0].finish_reason, 'tool_calls');
      assert.equal(got.choices[0].message.content, 'Let me look.');
      assert.deepEqual(got.choices[0].message.tool_calls.map((c) => [c.id, JSON.parse(c.function.arguments).city]), [['toolu_paris', 'Paris'], ['toolu_oslo', 'Oslo']]);
    }
    const text = await away().chat.completions.stream(say('claude-far', play('thinking'))).finalChatCompletion();
    assert.equal(text.choices[0].message.content, 'Done.');
  });
});
