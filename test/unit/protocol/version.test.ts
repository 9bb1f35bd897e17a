import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorCodes, errorNameOf } from '../../../host-helper/protocol/errors.ts';
import { negotiateVersion, protocolVersion } from '../../../host-helper/protocol/version.ts';

test('the highest version that both sides speak is used', () => {
  const { current } = protocolVersion;
  assert.equal(negotiateVersion({ minimum: 1, current: current + 5 }), current);
  assert.equal(negotiateVersion({ minimum: current, current }), current);
});

test('ranges that do not meet give no version', () => {
  const { minimum, current } = protocolVersion;
  assert.equal(negotiateVersion({ minimum: current + 1, current: current + 2 }), undefined);
  assert.equal(negotiateVersion({ minimum: minimum - 2, current: minimum - 1 }), undefined);
});

test('every error has a code of its own, and each code leads back to its name', () => {
  const codes = Object.values(errorCodes);
  assert.equal(new Set(codes).size, codes.length);
  for (const [name, code] of Object.entries(errorCodes)) assert.equal(errorNameOf(code), name);
  assert.equal(errorNameOf(4711), 'internal');
});
