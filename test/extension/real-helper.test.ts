/**
 * The whole product as a person meets it: the packaged extension in VS Code, a real helper, a real agent in a real sandbox. One session in
 * one window; each test goes on where the one before it ended.
 */

import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Browser, FrameLocator, Page } from 'playwright-core';
import { writeCliLauncher } from '../../host-helper/demo/cli-launcher.ts';
import { startCodeServer, type CodeServer } from '../../host-helper/demo/code-server.ts';
import { HelperProcess } from '../../host-helper/demo/helper-process.ts';
import { createSampleRepository } from '../../host-helper/demo/sample-repository.ts';
import { alternativePrompt, samplePrompt } from '../../host-helper/demo/sample-script.ts';
import { untilFinished, watchState, type WatchedState } from '../../host-helper/demo/sample-session.ts';
import { treeDigest } from '../../host-helper/demo/tree-digest.ts';
import type { SessionState, Turn } from '../../host-helper/protocol/state.ts';
import { providerVariables } from '../../host-helper/turns/upstreams.ts';
import {
  answerDialog,
  missing,
  openBrowser,
  openPage,
  openTimeline,
  screenshot,
  vsixPath,
} from './harness.ts';

const patienceMs = 120_000;
const reason = process.getuid?.() === 0 ? missing() : 'the real helper needs root: run as root';

describe('with the real helper', { skip: reason ?? false }, () => {
  let directory: string;
  let workspace: string;
  let helper: HelperProcess;
  let server: CodeServer;
  let browser: Browser;
  let page: Page;
  let watched: WatchedState;
  let untouched: string;
  let sessionId: string;
  /** The turn in which the dev server was started. */
  let serverTurn: number;
  let branchId: string;

  before(async () => {
    // With a key in the environment the agent would talk to a real model.
    process.env = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !providerVariables.has(name)),
    );
    // Not the system's temporary directory: a tmpfs cannot hold what overlayfs writes into uppers on every kernel.
    directory = await mkdtemp('/var/tmp/turntable-test-');
    workspace = join(directory, 'shop');
    await mkdir(workspace);
    await createSampleRepository(workspace);
    untouched = await treeDigest(workspace);
    const state = join(directory, 'state');
    helper = await HelperProcess.up(state);
    watched = await watchState(helper.client);
    server = await startCodeServer({
      vsix: vsixPath,
      workspace,
      settings: {
        'turntable.stateDirectory': state,
        'turntable.cliPath': await writeCliLauncher(join(directory, 'bin')),
        // Rows that a test can read.
        'terminal.integrated.gpuAcceleration': 'off',
      },
    });
    browser = await openBrowser();
    page = await openPage(browser, server);
    page.setDefaultTimeout(60_000);
  });

  after(async () => {
    await browser?.close();
    await server?.[Symbol.asyncDispose]();
    await helper?.down();
    await rm(directory, { recursive: true, force: true });
  });

  async function inWindow(name: string, body: (frame: FrameLocator) => Promise<void>): Promise<void> {
    try {
      await body(await openTimeline(page));
      await screenshot(page, `real-${name}`);
    } catch (error) {
      await screenshot(page, `failed-real-${name}`);
      throw error;
    }
  }

  function session(id = sessionId): SessionState {
    const found = watched.subscription.state.sessions[id];
    assert.ok(found, `there is no session ${id}`);
    return found;
  }

  async function runs(id: string, ...argv: string[]): Promise<boolean> {
    return (await helper.client.request('session/exec', { sessionId: id, argv })).exitCode === 0;
  }

  /** Presses a button of the notification that says `text`. */
  async function pressToast(text: RegExp, button: string): Promise<void> {
    await page
      .locator('.notification-toast')
      .filter({ hasText: text })
      .first()
      .getByRole('button', { name: button })
      .click();
  }

  test('a session starts from the view, and its turns appear with their classes up to the first question', () =>
    inWindow('asks', async (frame) => {
      await frame.getByRole('button', { name: 'Start a session…' }).click();
      await page
        .locator('.quick-input-list .monaco-list-row')
        .filter({ hasText: /\bpi\b/ })
        .first()
        .click();
      const input = page.locator('.quick-input-widget:visible input.input');
      await input.fill(samplePrompt);
      await input.press('Enter');
      const card = frame.locator('turntable-ask-card');
      await card.waitFor({ timeout: patienceMs });
      assert.match((await card.locator('.program').innerText()).trim(), /\/git$/);
      assert.equal(await card.locator('.chips li').first().innerText(), 'push');
      await page.locator('.activitybar .badge:visible').filter({ hasText: '1' }).first().waitFor();
      await page.locator('.statusbar-item').filter({ hasText: '1 waits for you' }).waitFor();

      sessionId = Object.keys(watched.subscription.state.sessions)[0] ?? '';
      const turn = turnThat(session(), (each) =>
        (each.effects?.processes.survivors ?? []).some(
          (one) => one.startedInTurn && one.ports.includes(5173),
        ),
      );
      serverTurn = turn.id;
      const labels = await frame
        .getByRole('treeitem')
        .evaluateAll((all) => all.map((each) => each.getAttribute('aria-label') ?? ''));
      const of = (id: number): string =>
        labels.find((each) => each.startsWith(`Turn ${id},`)) ?? labels.join('\n');
      assert.match(of(serverTurn), /(Full|Process|Files) checkpoint.*node :5173 lives on/);
      assert.doesNotMatch(of(serverTurn), /failed/);
      assert.match(of(2), /Edit src\/duration\.js, Files checkpoint, 1 file/);
      assert.match(of(3), /node --test.*Nothing to keep/);
      assert.match(of(serverTurn + 1), /failed/);
    }));

  test('"Allow once" lets the agent go on to its end', () =>
    inWindow('allowed', async (frame) => {
      const allow = frame.getByRole('button', { name: 'Allow once' });
      await allow.click();
      await frame.locator('turntable-ask-card').waitFor({ state: 'detached' });
      const done = await untilFinished(watched, sessionId, patienceMs);
      assert.match(done.turns.at(-1)?.conversation?.text ?? '', /is pushed/);
      await frame.getByText(/pi · finished/).waitFor();
      await frame.locator('.item').filter({ hasText: 'git push allowed' }).waitFor();
      assert.equal(await treeDigest(workspace), untouched);
    }));

  test("a turn's changes open in the diff editor, as they were and not to be edited", () =>
    inWindow('diff', async (frame) => {
      await frame.locator('[data-turn="2"]').click();
      await frame.getByText('Previewing turn 2').waitFor();
      await frame.getByRole('button', { name: 'Diff' }).click();
      await page.locator('.tab').filter({ hasText: 'Turn 2' }).waitFor();
      const editor = page.locator('.editor-instance');
      const lines = editor.locator('.view-line');
      // Spaces are drawn as other ones.
      await lines
        .filter({ hasText: /Math\.floor\(\(ms.%.60_000\)/ })
        .first()
        .waitFor();
      await lines
        .filter({ hasText: /const.seconds.=.\(ms.%/ })
        .first()
        .waitFor();
      await lines
        .filter({ hasText: /Math\.floor\(\(ms/ })
        .first()
        .click();
      await page.keyboard.press('x');
      await page
        .getByText(/read-only/)
        .first()
        .waitFor();
      await page.keyboard.press('Escape');
    }));

  test('a rewind brings files and processes back, and can be undone', () =>
    inWindow('rewound', async (frame) => {
      const removed = join(workspace, 'src/catalogue.js');
      const last = session().head;
      await frame.locator(`[data-turn="${serverTurn}"]`).click();
      await frame.getByRole('button', { name: 'Rewind here' }).click();
      const said = await answerDialog(page, 'Rewind');
      assert.match(said, /Go back: .*src\/catalogue\.js/);
      assert.match(said, /Come back as they were: node :5173|Stop: node :5173/);
      await page
        .locator('.notification-toast')
        .filter({ hasText: `Rewound to turn ${serverTurn}` })
        .waitFor();
      await frame.getByText(/\d+ turns set aside/).waitFor();
      // The agent goes on at once: what it does next follows the turn that was restored, beside what came back with it.
      const next = await watched.until('a turn after the restored one', patienceMs, () =>
        session().turns.find(
          (turn) => turn.parent === serverTurn && turn.id > last && turn.state === 'closed',
        ),
      );
      assert.equal(
        (next.effects?.processes.survivors ?? []).some(
          (one) => !one.startedInTurn && one.ports.includes(5173),
        ),
        said.includes('Come back'),
      );

      await pressToast(/Rewound to turn/, 'Undo');
      // The agent had finished there, and so it has again.
      await watched.until('the undo', patienceMs, () => {
        const { status, agent, turns } = session();
        const still = status === 'running' && turns.every((turn) => turn.state === 'closed');
        return still && agent.status === 'finished' && onLine(session(), last) ? true : undefined;
      });
      assert.equal(await runs(sessionId, 'test', '-e', removed), false);
    }));

  test('a branch with another instruction runs beside the first session', () =>
    inWindow('branched', async (frame) => {
      const head = session().head;
      await frame.locator(`[data-turn="${serverTurn}"]`).first().click();
      await frame.getByRole('button', { name: 'Branch…' }).click();
      const input = page.locator('.quick-input-widget:visible input.input');
      await input.fill(alternativePrompt);
      await input.press('Enter');
      branchId = await watched.until(
        'the branch',
        patienceMs,
        (state) => Object.values(state.sessions).find((each) => each.origin?.sessionId === sessionId)?.id,
      );
      assert.equal(session(branchId).origin?.turn, serverTurn);
      await frame
        .locator('turntable-session-header')
        .getByText(/branch of/)
        .waitFor();
      await untilFinished(watched, branchId, patienceMs);
      await frame.getByText(/pi · finished/).waitFor();
      await frame
        .getByRole('treeitem', { name: /test\/fake-clock\.js/ })
        .first()
        .waitFor();
      const made = join(workspace, 'test/fake-clock.js');
      assert.equal(await runs(branchId, 'test', '-e', made), true);
      assert.equal(session().head, head);
      assert.equal(await runs(sessionId, 'test', '-e', made), false);
    }));

  test("Apply carries a session's changes into the person's folder, and Undo takes them back", () =>
    inWindow('applied', async (frame) => {
      assert.equal(await treeDigest(workspace), untouched);
      await frame.getByRole('button', { name: 'Apply…' }).click();
      const picker = page.locator('.quick-input-widget:visible');
      await picker.locator('.monaco-list-row').filter({ hasText: 'test/fake-clock.js' }).waitFor();
      await page.locator('.tab').filter({ hasText: 'Apply "' }).waitFor();
      await picker.getByRole('button', { name: 'OK' }).click();
      await page
        .locator('.notification-toast')
        .filter({ hasText: /Applied \d+ files/ })
        .waitFor();
      assert.ok(existsSync(join(workspace, 'test/fake-clock.js')));
      assert.match(await readFile(join(workspace, 'test/timer.test.js'), 'utf8'), /createFakeClock/);
      await pressToast(/Applied \d+ files/, 'Undo');
      await page
        .locator('.notification-toast')
        .filter({ hasText: /Put \d+ files back/ })
        .waitFor();
      assert.equal(existsSync(join(workspace, 'test/fake-clock.js')), false);
      assert.doesNotMatch(await readFile(join(workspace, 'test/timer.test.js'), 'utf8'), /createFakeClock/);
    }));

  test("the terminal shows the agent's output", () =>
    inWindow('terminal', async (frame) => {
      await frame.getByRole('button', { name: 'Terminal' }).click();
      await page
        .locator('.xterm-rows')
        .filter({ hasText: /no.longer.depends.on/ })
        .first()
        .waitFor();
    }));

  test('without the helper the view says so and starts it again; the session is there and resumes', () =>
    inWindow('back', async (frame) => {
      await helper.down();
      await frame.locator('.lost').filter({ hasText: 'not running' }).waitFor();
      assert.ok((await frame.getByRole('treeitem').count()) > 3);
      await frame.getByRole('button', { name: 'Start helper' }).click();
      await frame.locator('.lost').waitFor({ state: 'detached', timeout: patienceMs });
      await frame.getByText(/pi · stopped/).waitFor();
      await frame.getByRole('button', { name: 'Resume' }).click();
      await frame.getByRole('button', { name: 'Stop', exact: true }).waitFor({ timeout: patienceMs });
    }));
});

function turnThat(session: SessionState, test: (turn: Turn) => boolean): Turn {
  const found = session.turns.find(test);
  assert.ok(found, `no such turn among ${session.turns.map((turn) => turn.label).join(' | ')}`);
  return found;
}

/** True when a turn is among those that led to where the session is now. */
function onLine(session: SessionState, turn: number): boolean {
  for (let at: number | null = session.head; at !== null;) {
    if (at === turn) return true;
    at = session.turns.find((each) => each.id === at)?.parent ?? null;
  }
  return false;
}
