import assert from 'node:assert/strict';
import { test } from 'node:test';
import { upstreamByName } from '../../../host-helper/turns/upstreams.ts';

const env = { OPENAI_API_KEY: 'openai-secret', ANTHROPIC_API_KEY: 'anthropic-secret' };

test('each key goes to its own provider only', () => {
  const upstream = upstreamByName('keys', env, 'http://127.0.0.1:1');
  assert.deepEqual(upstream.headers, {});
  assert.deepEqual(upstream.credentials?.['anthropic-messages'], { 'x-api-key': 'anthropic-secret' });
  assert.doesNotMatch(JSON.stringify(upstream.credentials?.['anthropic-messages']), /openai-secret/);
  assert.deepEqual(upstream.credentials?.gemini, {});
});

test('a provider without a key has no upstream', () => {
  const upstream = upstreamByName('keys', { OPENAI_API_KEY: 'k' }, 'http://127.0.0.1:1');
  assert.equal(upstream.baseUrls['anthropic-messages'], undefined);
  assert.equal(upstream.baseUrls['openai-chat'], 'https://api.openai.com');
});

test('the scripted model gets no key at all', () => {
  const upstream = upstreamByName('scripted', env, 'http://127.0.0.1:1');
  assert.doesNotMatch(JSON.stringify(upstream), /secret/);
});

test('a base URL written with its version is used without it, because agents send the version themselves', () => {
  assert.equal(
    upstreamByName('http://localhost:9/v1/', {}, '').baseUrls['openai-chat'],
    'http://localhost:9',
  );
});

test('what is no upstream is refused with what would be one', () => {
  assert.throws(() => upstreamByName('nonsense', {}, ''), { code: 'invalidParams', message: /scripted/ });
  assert.throws(() => upstreamByName('file:///etc/passwd', {}, ''), { code: 'invalidParams' });
});
