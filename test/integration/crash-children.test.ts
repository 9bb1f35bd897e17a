/**
 * The helper's C children killed at random instants: the sentry and the tree workers. What they guard stays shut meanwhile, work
 * goes on afterwards, and nothing that happened is ever taken for nothing.
 */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { childrenOf } from './bad-luck-fixture.ts';
import { pictureOf } from './crash-checks.ts';
import { CrashLab } from './crash-lab.ts';

const options = process.getuid?.() === 0 ? {} : { skip: 'needs root' };

/** A sentry that dies more often than this in ten minutes is not started again. */
const sentryDeaths = 3;
const workerDeaths = 9;
const longestMs = 250;

test(
  'a sentry or a tree worker that is killed at any instant opens nothing and hides nothing',
  options,
  async (context) => {
    const seed = Number(process.env['TURNTABLE_CRASH_SEED'] ?? (Date.now() % 1_000_000) + 1);
    context.diagnostic(`seed ${seed}`);
    let state = seed;
    const random = (below: number): number => (state = (state * 48_271) % 2_147_483_647) % below;

    const lab = await CrashLab.create(context);
    const folder = pictureOf(lab.helper.workspace);
    const session = await lab.start();
    await lab.startCounter(session);
    await lab.ask(session);
    const kills = [
      ...Array<string>(sentryDeaths).fill('sentry'),
      ...Array<string>(workerDeaths).fill('treefs'),
    ];
    for (let count = 0; kills.length > 0; count++) {
      const name = kills.splice(random(kills.length), 1)[0] ?? '';
      const command = `exec flock -o /tmp/one-by-one sh -c 'echo ${count} >made-${count}; head -c 200000 /dev/urandom >big; git push nowhere 2>/dev/null && echo open >open; echo end >>made-${count}'`;
      // Denied at once, or because nobody can be asked: never a yes.
      const watched = await lab.helper.watch();
      const deny = setInterval(() => {
        for (const approval of Object.values(watched.subscription.state.approvals))
          if (approval.state === 'pending')
            lab.helper.client
              .request('approval/answer', { id: approval.id, decision: 'deny' })
              .catch(() => {});
      }, 20);
      const running = lab.helper.exec(session, command);
      await sleep(random(longestMs));
      for (const pid of await childrenOf(lab.helper.client.hello.helperPid, name))
        process.kill(pid, 'SIGKILL');
      const { turn } = await running;
      clearInterval(deny);
      watched.subscription.close();
      const { mount } = await lab.helper.session(session);
      // Without a sentry nothing may have been started at all.
      const ran = existsSync(join(mount, `made-${count}`));
      if (ran) assert.notEqual(turn.effectClass, 'none', `${name} ${count}: ${JSON.stringify(turn.effects)}`);
      if (turn.checkpoint?.restorable === true) await lab.note(session, turn.id);
      for (let tries = 0; (await lab.helper.exec(session, 'true')).exitCode !== 0; tries++) {
        assert.ok(name === 'sentry' && tries < 600, 'programs can be started again');
        await sleep(100);
      }
      await lab.exec(session, `test ! -e open${ran ? `; test "$(tail -n1 made-${count})" = end` : ''}`);
      await lab.ask(session);
      await lab.check({ folder });
    }
    const turns = [...(lab.published.get(session)?.keys() ?? [])];
    await lab.rewind(session, turns[random(turns.length)] ?? 0);
    await lab.helper.kill();
    context.diagnostic(`${await lab.allRestore()} checkpoints restored`);
  },
);
