/** A fake helper in a process of its own: prints its socket, and ends a while after its socket does, as one that still tidies up. */

import { setTimeout as sleep } from 'node:timers/promises';
import { startFakeHelper } from '../server/fake-helper.ts';

const tidyingUpMs = 500;

const helper = await startFakeHelper({
  handlers: {
    'helper/stop': (params) => {
      console.log(JSON.stringify(params));
      setImmediate(() => void end());
      return Promise.resolve({});
    },
  },
});
console.log(helper.socketPath);

async function end(): Promise<void> {
  await helper[Symbol.asyncDispose]();
  await sleep(tidyingUpMs);
}
