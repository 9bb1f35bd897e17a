import assert from 'node:assert/strict';
import { test } from 'node:test';
import { importedUpstream } from '../../../host-helper/session/import-upstream.ts';

test('an archive does not choose where keys go: its address is said, and not followed', () => {
  for (const named of [
    'https://evil.example/v1',
    'http://127.0.0.1:2375',
    'file:///etc/shadow',
    'other',
    '',
  ]) {
    const { upstream, note } = importedUpstream(named, undefined);
    assert.equal(upstream, 'keys', named);
    assert.match(note ?? '', /--upstream/, named);
  }
  assert.match(importedUpstream('https://evil.example/v1', undefined).note ?? '', /evil\.example/);
});

test('what a host has by its own choice stays, and the word of a person counts', () => {
  for (const named of ['scripted', 'keys'])
    assert.deepEqual(importedUpstream(named, undefined), { upstream: named, note: undefined });
  assert.deepEqual(importedUpstream('https://evil.example', 'https://mine.example'), {
    upstream: 'https://mine.example',
    note: undefined,
  });
});

test('of an address only a plain host is shown', () => {
  for (const named of [
    'https://ada:secret@evil.example/?key=secret',
    'https://evil.example/\u001b[2Jsecret',
    'x://\u202esecret',
    `https://${'secret'.repeat(100)}/`,
  ]) {
    const note = importedUpstream(named, undefined).note ?? '';
    assert.doesNotMatch(note, /secret|[^ -~]/, named);
  }
});
