import assert from 'node:assert/strict';
import test from 'node:test';
import { mergeText } from '../../../host-helper/store/text-merge.ts';

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');

void test('changes to different lines come together, with line endings and odd bytes as they were', () => {
  const merged = mergeText(
    bytes('a\r\nb\r\nc\r\nd\r\n\xe9'),
    bytes('A\r\nb\r\nc\r\nd\r\n\xe9'),
    bytes('a\r\nb\r\nc\r\nD\r\n\xe9'),
  );
  assert.deepEqual(merged, { content: bytes('A\r\nb\r\nc\r\nD\r\n\xe9'), conflict: false });
});

void test('the same change on both sides is one change', () => {
  assert.deepEqual(mergeText(bytes('a\nb\n'), bytes('a\nx\n'), bytes('a\nx\n')), {
    content: bytes('a\nx\n'),
    conflict: false,
  });
});

void test('changes to the same line stand side by side between markers', () => {
  const merged = mergeText(bytes('a\nb\nc\n'), bytes('a\nmine\nc\n'), bytes('a\ntheirs\nc\n'));
  assert.equal(merged?.conflict, true);
  assert.equal(merged.content.toString(), 'a\n<<<<<<< yours\nmine\n=======\ntheirs\n>>>>>>> session\nc\n');
});

void test('what is no text, or has too many lines, is not merged', () => {
  assert.equal(mergeText(bytes('a'), bytes('a\0'), bytes('b')), undefined);
  assert.equal(mergeText(bytes('a'), bytes('\n'.repeat(30_000)), bytes('b')), undefined);
});
