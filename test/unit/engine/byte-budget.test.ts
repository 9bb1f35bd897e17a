import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ByteBudget } from '../../../host-helper/engine/byte-budget.ts';

const options = { bytesPerSecond: 1000, burstBytes: 500, borrowBytes: 2000 };

describe('the byte budget', () => {
  it('refills at its rate, up to the burst', () => {
    const budget = new ByteBudget(options);
    budget.take(0, 500);
    assert.equal(budget.balance(100), 100);
    assert.equal(budget.balance(10_000), 500);
  });

  it('lets nobody begin in debt, but those who may borrow, down to what may be borrowed', () => {
    const budget = new ByteBudget(options);
    budget.take(0, 1500);
    assert.deepEqual([budget.allows(0, false), budget.allows(0, true)], [false, true]);
    budget.take(0, 1000);
    assert.equal(budget.allows(0, true), false);
  });

  it('says how long to wait, and is right', () => {
    const budget = new ByteBudget(options);
    budget.take(0, 1500);
    const waitMs = budget.waitMs(0, false);
    assert.equal(budget.allows(waitMs - 2, false), false);
    assert.equal(budget.allows(waitMs, false), true);
    assert.equal(budget.waitMs(waitMs, false), 0);
  });

  it('takes back what was charged too much, and never saves more than the burst', () => {
    const budget = new ByteBudget(options);
    budget.take(0, 400);
    budget.take(0, -300);
    assert.equal(budget.balance(0), 400);
    budget.take(0, -300);
    assert.equal(budget.balance(0), 500);
  });

  it('is no limit when it is infinite', () => {
    const budget = new ByteBudget({ bytesPerSecond: Infinity, burstBytes: Infinity, borrowBytes: Infinity });
    budget.take(0, 1e15);
    assert.equal(budget.allows(0, false), true);
  });

  it('gains nothing from a clock that steps back', () => {
    const budget = new ByteBudget(options);
    budget.take(1000, 500);
    budget.balance(0);
    assert.equal(budget.balance(1000), 0);
  });
});
