// Responses with the official SDK of OpenAI for Node, as its users write it.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import OpenAI from 'openai';
import { cities, near } from './lib.mjs';

const client = (key = near.key, more = {}) => new OpenAI({ baseURL: near.base + '/v1', apiKey: key, maxRetries: 0, ...more });
const weather = { type: 'function', name: 'weather', description: 'The weather of a city', parameters: cities, strict: false };

describe('responses', { concurrency: 8 }, () => {
  for (const model of ['gpt-5-mini', 'claude-sonnet-4-5']) {
    test(`a conversation with ${model}`, async () => {
      const first = await client().responses.create({ model, input: 'Hello', instructions: 'Be brief.' });
      assert.equal(first.status, 'completed');
      assert.ok(first.output_text);
      assert.match(first.id, /^resp_/);
      assert.equal(first.usage.total_tokens, first.usage.input_tokens + first.usage.output_tokens);
      const second = await client().responses.create({ model, input: 'And?', previous_response_id: first.id });
      assert.equal(second.previous_response_id, first.id);
      assert.ok(second.usage.input_tokens > first.usage.input_tokens);
      assert.equal((await client().responses.retrieve(first.id)).output_text, first.output_text);
      const items = [];
      for await (const item of client().responses.inputItems.list(first.id)) items.push(item);
      assert.deepEqual(items.map((i) => [i.role, i.content[0].text]), [['user', 'Hello']]);
      await client().responses.delete(first.id);
      await assert.rejects(client().responses.retrieve(first.id), OpenAI.NotFoundError);
      await assert.rejects(client().responses.create({ model, input: 'x', previous_response_id: first.id }), (e) => e.code === 'previous_response_not_found' && e.param === 'previous_response_id');
    });

    test(`the stream helper with ${model}`, async () => {
      const runner = client().responses.stream({ model, input: 'Hello' });
      let text = '', next = 0;
      runner.on('event', (e) => assert.equal(e.sequence_number, next++));
      runner.on('response.output_text.delta', (e) => (text += e.delta));
      const done = await runner.finalResponse();
      assert.ok(text);
      assert.equal(done.output_text, text);
      assert.equal(done.status, 'completed');
    });

    test(`a loop of tools with ${model}`, async () => {
      const input = [{ role: 'user', content: 'What is the weather like in Bergen?' }];
      const asked = await client().responses.create({ model, input, tools: [weather], tool_choice: 'required', store: false });
      const call = asked.output.find((i) => i.type === 'function_call');
      assert.equal(call.name, 'weather');
      assert.equal(typeof JSON.parse(call.arguments).city, 'string');
      input.push(...asked.output, { type: 'function_call_output', call_id: call.call_id, output: 'sunny' });
      const told = await client().responses.create({ model, input, tools: [weather], store: false });
      assert.ok(told.output_text);
    });
  }

  test('a stream in the background, left and read on', async () => {
    const stream = await client().responses.create({ model: 'gpt-5-mini', input: 'Hello', background: true, stream: true, max_output_tokens: 200 });
    const events = [];
    for await (const e of stream) {
      assert.equal(e.sequence_number, events.length);
      events.push(e);
      if (events.length === 5) break;
    }
    const { id } = events[0].response;
    for await (const e of await client().responses.retrieve(id, { stream: true, starting_after: 4 })) {
      assert.equal(e.sequence_number, events.length);
      events.push(e);
    }
    const { response } = events.at(-1);
    assert.equal(events.at(-1).type, 'response.completed');
    const runner = client().responses.stream({ response_id: id, starting_after: 4 });
    const again = [];
    runner.on('event', (e) => again.push(e));
    assert.equal((await runner.finalResponse()).output[0].content[0].text, response.output[0].content[0].text);
    assert.deepEqual(again.map((e) => e.sequence_number), events.slice(5).map((e) => e.sequence_number));
    assert.ok((await client().responses.inputTokens.count({ model: 'gpt-5-mini', input: 'Hello' })).input_tokens > 0);
  });

  test('in the background', async () => {
    let r = await client().responses.create({ model: 'gpt-5-mini', input: 'Hello', background: true, max_output_tokens: 200 });
    assert.equal(r.status, 'queued');
    for (const end = Date.now() + 60_000; r.status === 'queued' || r.status === 'in_progress'; ) {
      assert.ok(Date.now() < end);
      await new Promise((ok) => setTimeout(ok, 20));
      r = await client().responses.retrieve(r.id);
    }
    assert.equal(r.status, 'completed');
    assert.ok(r.output_text);
  });

  test('a stream that breaks', async () => {
    const stream = await client(near.testKey, { defaultHeaders: { 'X-Pontage-Simulate': 'stream_interrupted;after=2' } }).responses.create({ model: 'gpt-5-mini', input: 'Hello', stream: true });
    let said = 0;
    await assert.rejects(async () => {
      for await (const e of stream) said += e.type === 'response.output_text.delta';
    }, OpenAI.APIError);
    assert.ok(said > 0);
  });

  test('what is refused names its parameter', async () => {
    for (const [more, param] of [[{ max_output_tokens: 1 }, 'max_output_tokens'], [{ conversation: 'conv_1' }, 'conversation'], [{ prompt: { id: 'pmpt_1' } }, 'prompt']]) {
      await assert.rejects(client().responses.create({ model: 'gpt-5-mini', input: 'Hello', ...more }), (e) => e.status === 400 && e.param === param);
    }
  });
});
