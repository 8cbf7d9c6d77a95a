// LangChain for Node, as its users write it.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { AIMessageChunk, HumanMessage, ToolMessage } from '@langchain/core/messages';
import { tool } from '@langchain/core/tools';
import { ChatAnthropic } from '@langchain/anthropic';
import { ChatGoogleGenerativeAI } from '@langchain/google-genai';
import { ChatOpenAI } from '@langchain/openai';
import { z } from 'zod';
import { gateway, models, newKey, prompt, repeats, spent, states, thrown, told, turn, watch, weather } from './lib.mjs';

// The ways to ask, each with what has a model think.
const ways = {
  chat: {
    make: (model, key, fetch, maxRetries) => new ChatOpenAI({ model, apiKey: key, maxRetries, streamUsage: true, configuration: { baseURL: gateway.base + '/v1', fetch } }),
    status: (err) => err.status,
  },
  responses: {
    make: (model, key, fetch, maxRetries) => new ChatOpenAI({
      model, apiKey: key, maxRetries, useResponsesApi: true, zdrEnabled: true, reasoning: { effort: 'medium', summary: 'auto' },
      configuration: { baseURL: gateway.base + '/v1', fetch },
    }),
    status: (err) => err.status,
    stateful: true,
  },
  messages: {
    make: (model, key, fetch, maxRetries) => new ChatAnthropic({
      model, apiKey: key, maxRetries, maxTokens: 8000, thinking: { type: 'enabled', budget_tokens: 2000 },
      anthropicApiUrl: gateway.base, clientOptions: { fetch },
    }),
    status: (err) => err.status,
    stateful: true,
  },
  gemini: {
    make: (model, key, fetch, maxRetries) => new ChatGoogleGenerativeAI({ model, apiKey: key, maxRetries, baseUrl: gateway.base }),
    status: (err) => err.status,
    stateful: true,
    own: true, // its fetch cannot be watched
  },
};

const forecast = tool(async ({ city }) => `sunny in ${city}`, { ...weather, schema: z.object({ city: z.string() }) });

// invoke asks once, whole or streamed.
async function invoke(model, messages, stream) {
  if (!stream) return model.invoke(messages);
  let whole;
  for await (const chunk of await model.stream(messages)) whole = whole ? whole.concat(chunk) : chunk;
  assert.ok(whole instanceof AIMessageChunk);
  return whole;
}

// loop is an agent's loop.
async function loop(model, text, stream) {
  const bound = model.bindTools([forecast]);
  const messages = [new HumanMessage(text)];
  for (let i = 0; i < 4; i++) {
    const got = await invoke(bound, messages, stream);
    messages.push(got);
    if (!got.tool_calls?.length) return { text: got.text, messages };
    for (const call of got.tool_calls) {
      const result = await forecast.invoke(call);
      assert.ok(result instanceof ToolMessage);
      messages.push(result);
    }
  }
  assert.fail('it calls tools for ever');
}

describe('langchain', { concurrency: 16 }, () => {
  for (const [surface, way] of Object.entries(ways)) {
    for (const family of ['chat', 'responses', 'messages', 'gemini']) {
      for (const stream of [false, true]) {
        test(`${surface} calls a tool of a model that speaks ${family}, stream: ${stream}`, async () => {
          const { key, account } = await newKey('1');
          const { name, prompt: text } = prompt(`langchain-${surface}-${family}-${stream}`);
          const got = await loop(way.make(models[family], key, undefined, 0), text, stream);
          repeats(got.text, surface, family);
          const call = got.messages[1];
          assert.deepEqual(call.tool_calls.map((c) => [c.name, c.args]), [['weather', { city: 'Bergen' }]]);
          // Of a stream of messages it takes the input from the first event, before
          // a provider of another protocol has told it, and adds up the output.
          if (surface !== 'messages' || !stream) {
            assert.equal(call.usage_metadata.input_tokens, turn.input);
            assert.equal(call.usage_metadata.output_tokens, surface === 'gemini' ? turn.output - turn.reasoning : turn.output);
          }
          // It asks for reasoning only where it knows the model's name, and of
          // Gemini's protocol it keeps what calls hold, not thoughts.
          const asked = surface !== 'responses' || family !== 'messages';
          const kept = surface !== 'gemini' || family === 'gemini';
          const requests = await told(name, { family, states: states(name, family, way.stateful && asked && kept) });
          if (!asked) assert.equal(requests[0].body.thinking, undefined);
          await spent(account, 2);
        });
      }
    }

    for (const stream of [false, true]) {
      test(`${surface}: without money it stops, stream: ${stream}`, async () => {
        const { key } = await newKey('');
        const w = watch();
        const err = await thrown(invoke(way.make(models.chat, key, w.fetch, 2), prompt('langchain-poor').prompt, stream));
        assert.equal(way.status(err), 402, `${err}`);
        assert.match(err.message, /This request needs \$/);
        if (!way.own) assert.equal(w.tries, 1);
      });

      test(`${surface}: over the rate, stream: ${stream}`, async () => {
        const { key, account } = await newKey('1', { limits: { requests: 1, per: '1h' } });
        const { prompt: text } = prompt('langchain-slow');
        await invoke(way.make(models.chat, key, undefined, 0), text, stream);
        const err = await thrown(invoke(way.make(models.chat, key, undefined, 0), text, stream));
        assert.equal(way.status(err), 429, `${err}`);
        await spent(account, 1);
      });

      test(`${surface}: a provider that is down, stream: ${stream}`, async () => {
        const { key, account } = await newKey('1');
        const err = await thrown(invoke(way.make(models.down, key, undefined, 0), prompt('langchain-down').prompt, stream));
        assert.equal(way.status(err), 503, `${err}`);
        await spent(account, 0);
      });
    }
  }
});
