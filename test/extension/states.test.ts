/** What the timeline says and offers when there is no helper to talk to, and that it finds its way back by itself. */

import assert from 'node:assert/strict';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import type { Browser, Page } from 'playwright-core';
import { startCodeServer, type CodeServer } from '../../host-helper/demo/code-server.ts';
import { TurntableError } from '../../host-helper/protocol/errors.ts';
import { makeFolder, type Folder } from './fixture/folder.ts';
import { FixtureHelper } from './fixture/helper.ts';
import { recordedState } from './fixture/session.ts';
import { missing, openBrowser, openPage, openTimeline, screenshot, vsixPath } from './harness.ts';

describe('without a helper', { skip: missing() ?? false }, () => {
  let folder: Folder;
  let server: CodeServer;
  let browser: Browser;

  before(async () => {
    folder = await makeFolder();
    // A command line that writes down how it was called.
    const cli = join(folder.path, 'turntable');
    await writeFile(cli, `#!/bin/sh\necho "$@" > ${join(folder.path, 'called')}\necho started with "$@"\n`);
    await chmod(cli, 0o755);
    server = await startCodeServer({
      vsix: vsixPath,
      workspace: folder.workspace,
      settings: { 'turntable.socketPath': folder.socketPath },
    });
    browser = await openBrowser();
  });

  after(async () => {
    await browser.close();
    await server[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  async function inWindow(name: string, body: (page: Page) => Promise<void>): Promise<void> {
    const page = await openPage(browser, server);
    try {
      await body(page);
      await screenshot(page, `state-${name}`);
    } catch (error) {
      await screenshot(page, `failed-state-${name}`);
      throw error;
    } finally {
      await page.close();
    }
  }

  test('nothing installed: says so and leads to how', () =>
    inWindow('not-installed', async (page) => {
      const frame = await openTimeline(page);
      await frame.getByRole('heading', { name: 'The helper is not installed' }).waitFor();
      await frame.getByRole('button', { name: 'How to install' }).click();
      await page.getByText('Get started with Turntable').first().waitFor();
    }));

  test('not running: offers to start it, in a terminal that one sees, and connects by itself', async () => {
    await server.change({ 'turntable.cliPath': join(folder.path, 'turntable') });
    await inWindow('not-running', async (page) => {
      const frame = await openTimeline(page);
      await frame.getByRole('heading', { name: 'The helper is not running' }).waitFor();
      await frame.getByText(`up --socket ${folder.socketPath}`).waitFor();
      await screenshot(page, 'state-not-running-before');
      await frame.getByRole('button', { name: 'Start helper' }).click();
      await page.locator('.terminal-wrapper, .terminal-outer-container').first().waitFor();
      await using helper = new FixtureHelper({ socketPath: folder.socketPath, workspace: folder.workspace });
      await helper.listening;
      await frame.getByRole('treeitem').first().waitFor({ timeout: 40_000 });
    });
  });

  test('a helper that goes away leaves the timeline in sight and says that it may be old; it comes back by itself', () =>
    inWindow('lost', async (page) => {
      const frame = await openTimeline(page);
      {
        await using helper = new FixtureHelper({
          socketPath: folder.socketPath,
          workspace: folder.workspace,
        });
        await helper.listening;
        await frame.getByRole('treeitem').first().waitFor({ timeout: 40_000 });
      }
      await frame.locator('.lost').filter({ hasText: 'not running' }).waitFor();
      assert.ok((await frame.getByRole('treeitem').count()) > 5);
      await using again = new FixtureHelper({ socketPath: folder.socketPath, workspace: folder.workspace });
      await again.listening;
      await frame.locator('.lost').waitFor({ state: 'detached', timeout: 40_000 });
    }));

  test('not permitted: says whom the helper serves and offers to join', () =>
    inWindow('not-permitted', async (page) => {
      await using helper = new FixtureHelper({
        socketPath: folder.socketPath,
        workspace: folder.workspace,
        refuse: new TurntableError(
          'notPermitted',
          'You are not in the group turntable, which this helper serves.',
        ),
      });
      await helper.listening;
      const frame = await openTimeline(page);
      await frame
        .getByRole('heading', { name: 'You may not talk to the helper' })
        .waitFor({ timeout: 40_000 });
      await frame.getByText('not in the group turntable').waitFor();
      await frame.getByText('usermod -aG turntable').waitFor();
      await frame.getByRole('button', { name: 'Join the group' }).waitFor();
    }));

  test('another version: says which side to update and offers to restart', () =>
    inWindow('wrong-version', async (page) => {
      await using helper = new FixtureHelper({
        socketPath: folder.socketPath,
        workspace: folder.workspace,
        protocol: 9,
      });
      await helper.listening;
      const frame = await openTimeline(page);
      await frame
        .getByRole('heading', { name: 'The helper and this extension do not fit' })
        .waitFor({ timeout: 40_000 });
      await frame.getByText('speaks protocol 9').waitFor();
      await frame.getByRole('button', { name: 'Restart helper' }).waitFor();
    }));

  test('connected without a session: offers to start one', () =>
    inWindow('no-session', async (page) => {
      const state = { ...recordedState(folder.workspace, Date.now()), sessions: {}, approvals: {} };
      await using helper = new FixtureHelper({
        socketPath: folder.socketPath,
        workspace: folder.workspace,
        state,
      });
      await helper.listening;
      const frame = await openTimeline(page);
      await frame.getByRole('heading', { name: 'No session yet' }).waitFor({ timeout: 40_000 });
      await frame.getByRole('button', { name: 'Start a session…' }).click();
      const rows = page.locator('.quick-input-list .monaco-list-row');
      await rows.filter({ hasText: 'opencode' }).waitFor();
      await rows.filter({ hasText: 'not installed' }).waitFor();
      await rows.filter({ hasText: 'opencode' }).click();
      const input = page.locator('.quick-input-widget:visible input.input');
      await input.fill('fix the flaky login test');
      await input.press('Enter');
      await frame.getByText('fix the flaky login test').first().waitFor();
      assert.deepEqual(helper.askedFor('session/start'), [
        {
          workspace: folder.workspace,
          agent: 'opencode',
          prompt: 'fix the flaky login test',
          title: 'fix the flaky login test',
        },
      ]);
    }));
});
