// The official SDK of Google for Node, as its users write it.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ApiError, GoogleGenAI } from '@google/genai';
import { near, newKey, script, thrown, twoCalls } from './lib.mjs';

const client = (key = near.key, more = {}) => new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: near.base, ...more } });
const simulating = (fault) => client(near.testKey, { headers: { 'X-Pontage-Simulate': fault } });
const parameters = { type: 'OBJECT', properties: { city: { type: 'STRING' } }, required: ['city'] };
const tools = [{ functionDeclarations: [{ name: 'weather', description: 'The weather of a city', parameters }] }];

// collect reads a stream to its end.
async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

describe('gemini', { concurrency: 16 }, () => {
  for (const model of ['gpt-5-mini', 'claude-sonnet-4-5']) {
    for (const apiVersion of ['v1', 'v1beta']) {
      test(`an answer of ${model} at ${apiVersion}`, async () => {
        const got = await client(near.key, { apiVersion }).models.generateContent({ model, contents: 'Hello', config: { systemInstruction: 'Be brief.' } });
        assert.ok(got.text);
        assert.equal(got.modelVersion, model);
        assert.equal(got.candidates[0].finishReason, 'STOP');
        assert.equal(got.usageMetadata.totalTokenCount, got.usageMetadata.promptTokenCount + got.usageMetadata.candidatesTokenCount);
      });
    }

    test(`a stream of ${model}`, async () => {
      const chunks = await collect(await client().models.generateContentStream({ model, contents: 'Hello' }));
      assert.ok(chunks.length > 2);
      assert.ok(chunks.map((c) => c.text ?? '').join(''));
      const last = chunks.at(-1);
      assert.equal(last.candidates[0].finishReason, 'STOP');
      assert.ok(last.usageMetadata.candidatesTokenCount > 0);
      assert.equal(new Set(chunks.map((c) => c.responseId)).size, 1);
    });

    test(`tokens counted for ${model}`, async () => {
      const got = await client().models.countTokens({ model, contents: 'Hello' });
      assert.ok(got.totalTokens > 0);
    });
  }

  test('a chat keeps its history', async () => {
    const chat = client().chats.create({ model: 'gpt-5-mini' });
    await collect(await chat.sendMessageStream({ message: 'Hello' }));
    await chat.sendMessage({ message: 'And again' });
    const roles = chat.getHistory(true).map((c) => c.role);
    assert.equal(roles.filter((r) => r === 'user').length, 2);
    assert.ok(roles.includes('model'));
  });

  for (const stream of [false, true]) {
    test(`two functions at once, stream: ${stream}`, async () => {
      const model = stream ? 'gpt-4.1' : 'gpt-4.1-mini';
      await script(model, twoCalls);
      const ask = { model, contents: 'Compare.', config: { tools, toolConfig: { functionCallingConfig: { mode: 'ANY' } } } };
      const chunks = stream ? await collect(await client().models.generateContentStream(ask)) : [await client().models.generateContent(ask)];
      const calls = chunks.flatMap((c) => c.functionCalls ?? []);
      assert.deepEqual(calls.map((c) => c.args.city), ['Paris', 'Oslo']);
      assert.equal(new Set(calls.map((c) => c.id)).size, 2);
      const contents = [
        { role: 'user', parts: [{ text: 'Compare.' }] },
        { role: 'model', parts: calls.map((functionCall) => ({ functionCall })) },
        { role: 'user', parts: calls.map(({ id, name }) => ({ functionResponse: { id, name, response: { output: 'sunny' } } })) },
      ];
      const after = await client().models.generateContent({ model: 'claude-sonnet-4-5', contents, config: { tools } });
      assert.ok(after.text);
    });
  }

  test('structured output', async () => {
    const responseSchema = { type: 'OBJECT', properties: { n: { type: 'INTEGER' } }, required: ['n'] };
    const got = await client().models.generateContent({ model: 'gpt-5-mini', contents: 'Count.', config: { responseMimeType: 'application/json', responseSchema } });
    assert.equal(typeof JSON.parse(got.text).n, 'number');
  });

  test('embeddings', async () => {
    const got = await client().models.embedContent({ model: 'text-embedding-3-small', contents: ['one', 'two'], config: { outputDimensionality: 8 } });
    assert.deepEqual(got.embeddings.map((e) => e.values.length), [8, 8]);
  });

  test('the list of models', async () => {
    const names = [];
    for await (const m of await client().models.list({ config: { pageSize: 100 } })) names.push(m.name);
    assert.ok(names.includes('models/gpt-5-mini'));
    assert.equal(new Set(names).size, names.length);
    assert.equal((await client().models.get({ model: 'gpt-5-mini' })).name, 'models/gpt-5-mini');
  });

  for (const [fault, status] of Object.entries({ rate_limited: 429, upstream_failed: 502, overloaded: 503, balance_insufficient: 402, content_policy: 400, model_not_found: 404 })) {
    for (const stream of [false, true]) {
      test(`${fault} is an error of ${status}, stream: ${stream}`, async () => {
        const ask = { model: 'gpt-5-mini', contents: 'Hello' };
        const err = await thrown(stream ? simulating(fault).models.generateContentStream(ask) : simulating(fault).models.generateContent(ask));
        assert.ok(err instanceof ApiError);
        assert.equal(err.status, status);
        assert.equal(JSON.parse(err.message).error.code, status);
      });
    }
  }

  test('a stream that breaks off', async () => {
    const stream = await simulating('upstream_failed;after=3').models.generateContentStream({ model: 'gpt-5-mini', contents: 'Hello' });
    let said = '';
    const err = await thrown((async () => { for await (const c of stream) said += c.text ?? ''; })());
    assert.ok(said);
    assert.ok(err instanceof ApiError);
    assert.equal(err.status, 502);
  });

  test('no money', async () => {
    const { key } = await newKey();
    const err = await thrown(client(key).models.generateContent({ model: 'gpt-5-mini', contents: 'Hello' }));
    assert.equal(err.status, 402);
    assert.equal(JSON.parse(err.message).error.status, 'RESOURCE_EXHAUSTED');
  });
});
