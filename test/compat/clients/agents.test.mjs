// OpenAI's Agents SDK for Node, as its users write it.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Agent, OpenAIProvider, Runner, tool } from '@openai/agents';
import OpenAI from 'openai';
import { z } from 'zod';
import { gateway, models, newKey, prompt, spent, thrown, told, watch, weather } from './lib.mjs';

// runner asks through responses or chat completions.
const runner = (key, surface, fetch, maxRetries = 0) => new Runner({
  tracingDisabled: true,
  modelProvider: new OpenAIProvider({ useResponses: surface === 'responses', openAIClient: new OpenAI({ baseURL: gateway.base + '/v1', apiKey: key, maxRetries, fetch }) }),
});

const forecaster = (model) => new Agent({
  name: 'Forecaster', instructions: 'Be brief.', model: models[model], modelSettings: { reasoning: { effort: 'medium', summary: 'auto' } },
  tools: [tool({ ...weather, parameters: z.object({ city: z.string() }), execute: async ({ city }) => `sunny in ${city}` })],
});

// run runs an agent to its end.
async function run(runner, agent, input, stream) {
  const result = await runner.run(agent, input, { stream });
  if (stream) {
    for await (const event of result) assert.ok(event.type);
    await result.completed;
  }
  return result;
}

describe('agents', { concurrency: 16 }, () => {
  for (const surface of ['responses', 'chat']) {
    for (const family of ['chat', 'responses', 'messages', 'gemini']) {
      for (const stream of [false, true]) {
        test(`${surface} calls a tool of a model that speaks ${family}, stream: ${stream}`, async () => {
          const { key, account } = await newKey('1');
          const { name, prompt: text } = prompt('agents');
          const r = runner(key, surface);
          const first = await run(r, forecaster(family), text, stream);
          assert.equal(first.finalOutput, 'The tool said: sunny in Bergen');
          assert.equal(first.state.usage.totalTokens, 240);
          await told(name, { family });
          await spent(account, 2);
        });
      }
    }

    // What the SDK makes of an answer comes back with the next question.
    for (const family of ['chat', 'responses']) {
      for (const stream of [false, true]) {
        test(`${surface} goes on with what a model that speaks ${family} said, stream: ${stream}`, async () => {
          const { key, account } = await newKey('1');
          const { prompt: text } = prompt('agents');
          const r = runner(key, surface);
          const first = await run(r, forecaster(family), text, stream);
          const next = await run(r, forecaster(family), [...first.history, { role: 'user', content: 'And now?' }], stream);
          assert.equal(next.finalOutput, 'The tool said: sunny in Bergen');
          await spent(account, 3);
        });
      }
    }

    test(`${surface} stops without money`, async () => {
      const { key } = await newKey('');
      const w = watch();
      const err = await thrown(run(runner(key, surface, w.fetch, 2), forecaster('chat'), prompt('agents').prompt, true));
      assert.equal(err.status, 402);
      assert.match(err.message, /^402 This request needs \$/);
      assert.equal(w.tries, 1);
    });
  }
});
