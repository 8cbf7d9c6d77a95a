// The AI SDK of Vercel, as its users write it.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createAnthropic } from '@ai-sdk/anthropic';
import { createGoogleGenerativeAI } from '@ai-sdk/google';
import { createOpenAI } from '@ai-sdk/openai';
import { APICallError, generateText, isStepCount, jsonSchema, RetryError, streamText, tool } from 'ai';
import { gateway, models, newKey, prompt, repeats, spent, states, thrown, told, turn, watch, weather } from './lib.mjs';

globalThis.AI_SDK_LOG_WARNINGS = false;

// The ways to ask: each makes a model, and the options that have it think.
const ways = {
  chat: {
    model: (key, id, more) => createOpenAI({ baseURL: gateway.base + '/v1', apiKey: key, ...more }).chat(id),
    options: {},
  },
  responses: {
    model: (key, id, more) => createOpenAI({ baseURL: gateway.base + '/v1', apiKey: key, ...more })(id),
    options: { openai: { store: false, reasoningEffort: 'medium', reasoningSummary: 'auto', include: ['reasoning.encrypted_content'], forceReasoning: true } },
    thinks: true,
  },
  messages: {
    model: (key, id, more) => createAnthropic({ baseURL: gateway.base + '/v1', apiKey: key, ...more })(id),
    options: { anthropic: { thinking: { type: 'enabled', budgetTokens: 2000 } } },
    thinks: true,
  },
  gemini: {
    model: (key, id, more) => createGoogleGenerativeAI({ baseURL: gateway.base + '/v1beta', apiKey: key, ...more })(id),
    options: { google: { thinkingConfig: { includeThoughts: true, thinkingBudget: 2000 } } },
    thinks: true,
  },
};

const tools = {
  weather: tool({
    description: weather.description,
    inputSchema: jsonSchema({ type: 'object', properties: { city: { type: 'string' } }, required: ['city'], additionalProperties: false }),
    execute: async ({ city }) => `sunny in ${city}`,
  }),
};

// run asks, whole or streamed, and returns the same of both.
async function run(stream, options) {
  const ask = { tools, stopWhen: isStepCount(5), maxRetries: 0, ...options };
  if (!stream) return generateText(ask);
  let failed;
  const got = streamText({ ...ask, onError: ({ error }) => (failed = error) });
  let text = '';
  for await (const part of got.fullStream) if (part.type === 'text-delta') text += part.text;
  if (failed) throw failed;
  const [steps, totalUsage, finishReason] = await Promise.all([got.steps, got.totalUsage, got.finishReason]);
  return { text, steps, totalUsage, finishReason };
}

describe('vercel', { concurrency: 16 }, () => {
  for (const [surface, way] of Object.entries(ways)) {
    for (const family of ['chat', 'responses', 'messages', 'gemini']) {
      for (const stream of [false, true]) {
        test(`${surface} calls a tool of a model that speaks ${family}, stream: ${stream}`, async () => {
          const { key, account } = await newKey('1');
          const { name, prompt: text } = prompt(`vercel-${surface}-${family}-${stream}`);
          const got = await run(stream, { model: way.model(key, models[family]), prompt: text, providerOptions: way.options });
          repeats(got.text, surface, family);
          assert.equal(got.finishReason, 'stop');
          assert.equal(got.steps.length, 2);
          assert.equal(got.steps[0].finishReason, 'tool-calls');
          assert.deepEqual(got.steps[0].toolCalls.map((c) => [c.toolName, c.input]), [['weather', { city: 'Bergen' }]]);
          assert.equal(got.totalUsage.inputTokens, 2 * turn.input);
          assert.equal(got.totalUsage.inputTokenDetails.cacheReadTokens, 2 * turn.cached);
          assert.equal(got.totalUsage.outputTokens, 2 * turn.output);
          if (way.thinks && family !== 'chat') assert.equal(got.steps[0].reasoningText, 'I need the tool.');
          await told(name, { family, states: states(name, family, way.thinks) });
          await spent(account, 2);
        });
      }
    }

    // failed checks an error with all that the SDK keeps of it.
    const failed = (err, status, retryable) => {
      assert.ok(APICallError.isInstance(err), `${err}`);
      assert.equal(err.statusCode, status);
      assert.equal(err.isRetryable, retryable);
      assert.ok(err.message && err.message !== 'Error' && err.data?.error?.message === err.message, `${err.message}: ${err.responseBody}`);
      assert.match(err.responseHeaders['x-request-id'], /^req_/);
    };

    for (const stream of [false, true]) {
      test(`${surface}: without money it stops, stream: ${stream}`, async () => {
        const { key } = await newKey('');
        const w = watch();
        failed(await thrown(run(stream, { model: way.model(key, models.chat, { fetch: w.fetch }), prompt: prompt('vercel-poor').prompt, maxRetries: 2 })), 402, false);
        assert.equal(w.tries, 1);
      });

      test(`${surface}: over the rate it waits as long as it is told, stream: ${stream}`, async () => {
        const { key } = await newKey('1', { limits: { requests: 1, per: '2s' } });
        const w = watch();
        const { name, prompt: text } = prompt(`vercel-${surface}-rate-${stream}`);
        const got = await run(stream, { model: way.model(key, models.chat, { fetch: w.fetch }), prompt: text, maxRetries: 2 });
        repeats(got.text, surface, 'chat');
        assert.deepEqual([w.tries, w.early], [3, 0]);
        await told(name, { family: 'chat' });
      });

      test(`${surface}: over the rate for long it gives up, stream: ${stream}`, async () => {
        const { key } = await newKey('1', { limits: { requests: 1, per: '1h' } });
        const w = watch();
        const model = way.model(key, models.chat, { fetch: w.fetch });
        const err = await thrown(run(stream, { model, prompt: prompt('vercel-slow').prompt, maxRetries: 1 }));
        assert.ok(RetryError.isInstance(err), `${err}`);
        failed(err.lastError, 429, true);
        assert.ok(Number(err.lastError.responseHeaders['retry-after']) > 60);
        assert.equal(w.tries, 3);
      });

      test(`${surface}: a provider that is down, stream: ${stream}`, async () => {
        const { key, account } = await newKey('1');
        const w = watch();
        const err = await thrown(run(stream, { model: way.model(key, models.down, { fetch: w.fetch }), prompt: prompt('vercel-down').prompt, maxRetries: 1 }));
        failed(RetryError.isInstance(err) ? err.lastError : err, 503, true);
        assert.equal(w.tries, 2);
        await spent(account, 0);
      });
    }
  }
});
