/** The timeline as a person meets it: drawn in VS Code, driven with the mouse and the keyboard, against a recorded session. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { startCodeServer, type CodeServer } from '../../host-helper/demo/code-server.ts';
import { makeFolder, type Folder } from './fixture/folder.ts';
import { FixtureHelper } from './fixture/helper.ts';
import { pushApproval, sessionId } from './fixture/session.ts';
import {
  answerDialog,
  missing,
  openBrowser,
  openPage,
  openTimeline,
  runCommand,
  screenshot,
  vsixPath,
} from './harness.ts';

const reason = missing();

describe('the timeline', { skip: reason ?? false }, () => {
  let folder: Folder;
  let server: CodeServer;
  let browser: Browser;
  let page: Page;

  before(async () => {
    folder = await makeFolder();
    server = await startCodeServer({
      vsix: vsixPath,
      workspace: folder.workspace,
      settings: { 'turntable.socketPath': folder.socketPath, 'turntable.revealTimeline': true },
    });
    browser = await openBrowser();
    page = await openPage(browser, server);
  });

  after(async () => {
    await browser.close();
    await server[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  /** A fresh recording for each test, in one window: loading it takes longer than any test. A picture when it fails. */
  async function inWindow(
    name: string,
    body: (page: Page, helper: FixtureHelper) => Promise<void>,
  ): Promise<void> {
    await using helper = new FixtureHelper({ socketPath: folder.socketPath, workspace: folder.workspace });
    await helper.listening;
    try {
      await settle();
      await body(page, helper);
    } catch (error) {
      await screenshot(page, `failed-${name}`);
      // What a failed test left open must not fail the next.
      await page.reload();
      throw error;
    }
  }

  /** The recorded session, at now. */
  async function settle(): Promise<void> {
    const frame = await openTimeline(page);
    await frame.getByLabel('Session', { exact: true }).selectOption(sessionId, { timeout: 60_000 });
    await frame.locator('.lost').waitFor({ state: 'detached' });
    await frame.getByRole('slider').press('End');
    await frame.getByText('Previewing turn').waitFor({ state: 'detached' });
  }

  test('comes to the front by itself when a session works in the folder', async () => {
    await using helper = new FixtureHelper({ socketPath: folder.socketPath, workspace: folder.workspace });
    await helper.listening;
    await page
      .locator('.part.sidebar .title-label')
      .filter({ hasText: 'Turntable' })
      .waitFor({ timeout: 60_000 });
  });

  test('shows the turns newest first, folds the quiet ones, and hangs the branch on its turn', () =>
    inWindow('turns', async (page) => {
      const frame = await openTimeline(page);
      const items = frame.getByRole('treeitem');
      await items.first().waitFor();
      const labels = await items.evaluateAll((all) =>
        all.map((each) => each.getAttribute('aria-label') ?? ''),
      );
      assert.match(labels[0] ?? '', /^Turn 12, .*waiting for you/);
      assert.ok(
        labels.some((each) => /^Turns 8 to 9, .*nothing to keep/.test(each)),
        labels.join('\n'),
      );
      const branch = labels.findIndex((each) => each.startsWith('try a fake clock'));
      assert.match(labels[branch + 1] ?? '', /^Turn 6, apt-get install/);
      assert.match(
        labels[branch + 1] ?? '',
        /Full checkpoint, 412 files, 398 added, 14 changed, redis-server :6379 lives on/,
      );
    }));

  test('previews with the arrow keys, says that nothing has changed, and Escape returns to now', () =>
    inWindow('scrub', async (page, helper) => {
      const frame = await openTimeline(page);
      const strip = frame.getByRole('slider');
      await strip.focus();
      await page.keyboard.press('Home');
      await frame.getByText('Previewing turn 0').waitFor();
      for (let at = 0; at < 6; at += 1) await page.keyboard.press('ArrowRight');
      await frame.getByText('Previewing turn 6').waitFor();
      await frame.getByText('nothing has changed yet').waitFor();
      await frame.getByText('redis-server :6379 comes back with its memory').first().waitFor();
      assert.match((await strip.getAttribute('aria-valuetext')) ?? '', /^Turn 6/);
      await page.keyboard.press('Escape');
      await frame.getByText('Previewing turn 6').waitFor({ state: 'detached' });
      assert.deepEqual(helper.askedFor('rewind'), []);
      assert.equal(helper.askedFor('rewind/preview').at(-1)?.turn, 6);
    }));

  test('the rail is one stop of the tab key, and its arrow keys move the preview', () =>
    inWindow('rail-keys', async (page) => {
      const frame = await openTimeline(page);
      await frame.getByRole('treeitem').first().waitFor();
      assert.equal(await frame.locator('.item[tabindex="0"]').count(), 1);
      await frame.locator('.item[tabindex="0"]').focus();
      await page.keyboard.press('ArrowDown');
      await frame.getByText('Previewing turn 11').waitFor();
      await page.keyboard.press('ArrowDown');
      await frame.getByText('Previewing turn 10').waitFor();
      assert.equal(await frame.locator('.item[tabindex="0"]').getAttribute('data-turn'), '10');
      await page.keyboard.press('ArrowDown');
      await page.keyboard.press('ArrowRight');
      await frame.locator('[data-turn="9"]').waitFor();
    }));

  test('dragging over the strip previews, turn by turn', () =>
    inWindow('drag', async (page) => {
      const frame = await openTimeline(page);
      const strip = frame.getByRole('slider');
      const box = await strip.boundingBox();
      assert.ok(box);
      await page.mouse.move(box.x + box.width * 0.05, box.y + box.height / 2);
      await page.mouse.down();
      await page.mouse.move(box.x + box.width * 0.5, box.y + box.height / 2, { steps: 5 });
      await page.mouse.up();
      await frame.getByText('Previewing turn 6').waitFor();
    }));

  test('a rewind says first what goes back, what you changed and what stays done; cancelling does nothing', () =>
    inWindow('rewind-cancel', async (page, helper) => {
      const frame = await openTimeline(page);
      await frame.locator('[data-turn="6"]').click();
      await frame.getByRole('button', { name: 'Rewind here' }).click();
      const said = await answerDialog(page, 'Cancel');
      assert.match(said, /Go back: .*src\/login\.ts/);
      assert.match(said, /Stop: node :5173/);
      assert.match(said, /You changed yourself: README\.md/);
      assert.match(said, /POST api\.example\.com/);
      assert.deepEqual(helper.askedFor('rewind'), []);
    }));

  test('a confirmed rewind moves the session back, keeps the later turns to redo, and offers to undo it', () =>
    inWindow('rewind', async (page, helper) => {
      const frame = await openTimeline(page);
      await frame.locator('[data-turn="7"]').click();
      await frame.getByRole('button', { name: 'Rewind here' }).click();
      await answerDialog(page, 'Rewind');
      await frame.getByText(/\d+ turns set aside/).waitFor();
      assert.deepEqual(helper.askedFor('rewind')[0], { sessionId, turn: 7 });
      await frame.locator('[data-turn="10"].aside').waitFor();
      await screenshot(page, 'after-rewind');
      await page
        .locator('.notification-toast')
        .filter({ hasText: 'Rewound to turn 7' })
        .getByRole('button', { name: 'Undo' })
        .click();
      const safety = helper.state.sessions[sessionId]?.turns.findLast(
        (turn) => turn.label === 'before the rewind to turn 7',
      )?.id;
      await until(() => helper.askedFor('rewind').length === 2);
      assert.equal(helper.askedFor('rewind')[1]?.turn, safety);
    }));

  test('where the person changed what a rewind would change too, they are asked what becomes of it', () =>
    inWindow('rewind-conflict', async (page, helper) => {
      const frame = await openTimeline(page);
      await frame.locator('[data-turn="6"]').click();
      await frame.getByRole('button', { name: 'Rewind here' }).click();
      await answerDialog(page, 'Rewind');
      const rows = page.locator('.quick-input-list .monaco-list-row');
      await rows.filter({ hasText: 'Keep mine' }).waitFor();
      await rows.filter({ hasText: 'Keep both' }).click();
      await until(() => helper.askedFor('rewind').length === 2);
      assert.deepEqual(helper.askedFor('rewind')[1], { sessionId, turn: 6, conflicts: 'keep-both' });
    }));

  test('a branch asks for an instruction and shows the new session', () =>
    inWindow('branch', async (page, helper) => {
      const frame = await openTimeline(page);
      await frame.locator('[data-turn="5"]').click();
      await frame.getByRole('button', { name: 'Branch…' }).click();
      const input = page.locator('.quick-input-widget:visible input.input');
      await input.fill('use a queue instead');
      await input.press('Enter');
      await until(() => helper.askedFor('branch').length === 1);
      assert.deepEqual(helper.askedFor('branch')[0], {
        sessionId,
        turn: 5,
        title: 'use a queue instead',
        prompt: 'use a queue instead',
      });
      await until(
        async () => (await frame.getByLabel('Session', { exact: true }).inputValue()) === 'branch-1',
      );
    }));

  test('an ask shows the real arguments and starts with the focus on Deny, which denies', () =>
    inWindow('deny', async (page, helper) => {
      const frame = await openTimeline(page);
      const card = frame.locator('turntable-ask-card');
      await card.waitFor();
      assert.deepEqual(await card.locator('.chips li').allInnerTexts(), ['push', 'origin', 'fix/login']);
      assert.equal(await card.locator('vscode-button').first().innerText(), 'Deny');
      await frame.locator('.item[data-turn="12"]').focus();
      await page.keyboard.press('Enter');
      await until(() =>
        card.evaluate((host) => host.shadowRoot?.activeElement?.classList.contains('deny') === true),
      );
      await page.keyboard.press('Enter');
      await card.waitFor({ state: 'detached' });
      assert.deepEqual(helper.askedFor('approval/answer'), [{ id: 'push', decision: 'deny', scope: 'once' }]);
    }));

  test('an ask that comes while one looks is counted, announced, and can be allowed for once', () =>
    inWindow('allow', async (page, helper) => {
      const frame = await openTimeline(page);
      helper.act({
        type: 'approval/set',
        approval: { ...pushApproval(folder.workspace, Date.now()), state: 'withdrawn' },
      });
      await frame.locator('turntable-ask-card').waitFor({ state: 'detached' });
      helper.act({
        type: 'approval/set',
        approval: { ...pushApproval(folder.workspace, Date.now()), id: 'again' },
      });
      await frame
        .locator('[aria-live="assertive"]')
        .filter({ hasText: 'opencode wants to run /usr/bin/git push origin fix/login' })
        .waitFor({ state: 'attached' });
      await page.locator('.activitybar .badge:visible').filter({ hasText: '1' }).first().waitFor();
      const allow = frame.getByRole('button', { name: 'Allow once' });
      await until(() => allow.isEnabled());
      await allow.click();
      await until(() => helper.askedFor('approval/answer').length === 1);
      assert.deepEqual(helper.askedFor('approval/answer')[0], {
        id: 'again',
        decision: 'allow',
        scope: 'once',
      });
    }));

  test('a notification that was closed does not lose the request: the command still answers it', () =>
    inWindow('approvals-command', async (page, helper) => {
      helper.act({
        type: 'approval/set',
        approval: { ...pushApproval(folder.workspace, Date.now()), state: 'withdrawn' },
      });
      helper.act({
        type: 'approval/set',
        approval: { ...pushApproval(folder.workspace, Date.now()), id: 'third' },
      });
      await page
        .locator('.notification-toast')
        .filter({ hasText: 'opencode wants to run' })
        .first()
        .waitFor();
      await runCommand(page, 'Notifications: Clear All Notifications');
      await page.locator('.statusbar-item').filter({ hasText: '1 waits for you' }).waitFor();
      await runCommand(page, 'Turntable: Answer What Waits for You…');
      await page
        .locator('.quick-input-list .monaco-list-row')
        .filter({ hasText: 'Allow for this session' })
        .click();
      await until(() => helper.askedFor('approval/answer').length === 1);
      assert.deepEqual(helper.askedFor('approval/answer')[0], {
        id: 'third',
        decision: 'allow',
        scope: 'session',
      });
    }));

  test('wide, it says why the turn was checkpointed so and what a rewind would do, and opens files as diffs', () =>
    inWindow('wide', async (page) => {
      await openTimeline(page);
      await runCommand(page, 'Turntable: Open the Timeline in the Editor Area');
      const wide = page
        .frameLocator('.editor-instance iframe.webview, iframe.webview >> nth=1')
        .frameLocator('#active-frame');
      await wide.locator('[data-turn="6"]').click();
      await wide.getByText('redis-server (pid 214) outlived the turn').waitFor();
      await wide.getByText('2 things left the machine and stay done').waitFor();
      await wide.getByRole('button', { name: 'open diff' }).first().click();
      await page.locator('.tab').filter({ hasText: 'package.json (turn 6)' }).waitFor();
      await page.locator('.diff-editor, .monaco-diff-editor').first().waitFor();
    }));

  test('text stands out enough in every theme', async () => {
    for (const theme of [
      'Dark Modern',
      'Light Modern',
      'Default High Contrast',
      'Default High Contrast Light',
    ]) {
      await server.change({ 'workbench.colorTheme': theme });
      await page.reload();
      await inWindow(`theme-${theme}`, async (page) => {
        const frame = await openTimeline(page);
        await frame.locator('[data-turn="6"]').click();
        await frame.getByText('Previewing turn 6').waitFor();
        await screenshot(page, `theme-${theme.toLowerCase().replaceAll(' ', '-')}`);
        for (const selector of [
          '.item[data-turn="11"] .title',
          '.item[data-turn="11"] .facts',
          '.item.selected .facts',
          'turntable-ask-card h3',
          '.item .error',
          '.summary',
        ]) {
          const ratio = await frame.locator(selector).first().evaluate(contrast);
          assert.ok(ratio >= 4.5, `${theme}: ${selector} stands out only ${ratio.toFixed(2)} to 1`);
        }
      });
    }
  });
});

/** The contrast of an element's text against what lies behind it (WCAG), computed in the page. */
function contrast(element: Element): number {
  const parse = (colour: string): number[] => {
    const [red = 0, green = 0, blue = 0, ...alpha] = (colour.match(/[\d.]+/g) ?? []).map(Number);
    // A mixed colour is told in parts of one.
    const scale = colour.startsWith('color(') ? 255 : 1;
    return [red * scale, green * scale, blue * scale, ...alpha];
  };
  const over = (top: number[], below: number[]): number[] => {
    const alpha = top[3] ?? 1;
    return [0, 1, 2].map((at) => (top[at] ?? 0) * alpha + (below[at] ?? 0) * (1 - alpha));
  };
  const layers: number[][] = [];
  let opacity = 1;
  for (
    let at: Element | null = element;
    at;
    at = at.parentElement ?? (at.getRootNode() as ShadowRoot).host ?? null
  ) {
    const style = getComputedStyle(at);
    layers.push(parse(style.backgroundColor));
    if (layers.at(-1)?.[3] === undefined) break;
    opacity *= Number(style.opacity);
  }
  const probe = document.createElement('span');
  probe.setAttribute('hidden', '');
  const root = getComputedStyle(document.documentElement);
  const canvas = document.createElement('canvas').getContext('2d');
  if (!canvas) return 0;
  canvas.fillStyle = root.getPropertyValue('--vscode-sideBar-background');
  canvas.fillRect(0, 0, 1, 1);
  let ground: number[] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  for (const layer of layers.toReversed()) ground = over(layer, ground);
  const text = parse(getComputedStyle(element).color);
  const ink = over([...text.slice(0, 3), (text[3] ?? 1) * opacity], ground);
  const luminance = (colour: number[]): number => {
    const [red = 0, green = 0, blue = 0] = colour.map((each) => {
      const part = each / 255;
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const [light = 0, dark = 0] = [luminance(ink), luminance(ground)].toSorted((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}

/** Waits until something holds; throws when it never does. */
async function until(probe: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 15_000;
  while (!(await probe())) {
    if (Date.now() > deadline) throw new Error(`never came true: ${probe.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
