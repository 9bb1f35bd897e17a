import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import {
  frameTypes,
  packFrame,
  packStruct,
  sentryVersion,
  structs,
} from '../../../host-helper/inspector/sentry-frames.ts';
import { startSentry } from '../../../host-helper/inspector/sentry-process.ts';
import type { Sentry } from '../../../host-helper/inspector/sentry.ts';
import { silentLogger } from '../../../host-helper/log.ts';

/** A sentry that says it is ready and has one answer to whatever it is asked; without one it is silent. */
async function standIn(context: TestContext, answer?: Buffer): Promise<Sentry> {
  const directory = mkdtempSync(join(tmpdir(), 'sentry-process-'));
  context.after(() => rmSync(directory, { recursive: true, force: true }));
  const counts = { features: 0, hintsDetailLength: 0, verifyDetailLength: 0 };
  const ready = packFrame(frameTypes.ready, 0, 0, [
    packStruct(structs.ready, { version: sentryVersion, ...counts }),
  ]);
  const says = (frame: Buffer): string =>
    `process.stdout.write(Buffer.from('${frame.toString('base64')}', 'base64'));`;
  const binaryPath = join(directory, 'sentry');
  const reply = answer ? says(answer) : '';
  const lines = [`#!${process.execPath}`, says(ready), `process.stdin.on('data', () => {${reply}});`];
  writeFileSync(binaryPath, lines.join('\n'), { mode: 0o755 });
  const patience = answer ? {} : { silenceMaxMs: 50 };
  const sentry = await startSentry({ binaryPath, stateDir: directory, log: silentLogger, ...patience });
  context.after(() => sentry.close());
  return sentry;
}

/** Settles with why the sentry died. */
const death = (sentry: Sentry): Promise<string> => new Promise((settle) => sentry.onDied(settle));

test('a sentry that does not answer is taken for dead, and every request fails', async (context) => {
  const sentry = await standIn(context);
  const died = death(sentry);
  const requests = [sentry.fence(1), sentry.states(1, [1]), sentry.unwatch(1)];
  for (const request of requests) await assert.rejects(request, { code: 'sentryFailed' });
  assert.match(await died, /silent for 0.05 s/);
  await assert.rejects(sentry.fence(1), { code: 'sentryFailed' });
});

test('a reply that cannot be read fails the request it answers, too', async (context) => {
  const sentry = await standIn(context, packFrame(frameTypes.fenceEnd, 1, 1, ['short']));
  const died = death(sentry);
  await assert.rejects(sentry.fence(1), { code: 'sentryFailed', message: /shorter than its fields/ });
  assert.match(await died, /cannot be read/);
});
