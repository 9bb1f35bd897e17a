/**
 * Takes the pictures of the timeline in media/: the sample session with a real helper and a real agent, wide, in three themes, at the moment
 * it asks. Run by hand, as root, after the look has changed: `node test/extension/take-pictures.ts`.
 */

import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startCodeServer } from '../../host-helper/demo/code-server.ts';
import { HelperProcess } from '../../host-helper/demo/helper-process.ts';
import { createSampleRepository } from '../../host-helper/demo/sample-repository.ts';
import { alternativePrompt, samplePrompt, sampleTitle } from '../../host-helper/demo/sample-script.ts';
import { untilFinished, watchState } from '../../host-helper/demo/sample-session.ts';
import { missing, openBrowser, openPage, openTimeline, runCommand, screenshot, vsixPath } from './harness.ts';

const pictures = [
  { theme: 'Dark Modern', name: 'timeline-dark' },
  { theme: 'Light Modern', name: 'timeline-light' },
  { theme: 'Default High Contrast', name: 'timeline-high-contrast' },
];
const patienceMs = 120_000;

const reason = missing();
if (reason !== undefined) throw new Error(reason);

const directory = await mkdtemp('/var/tmp/turntable-pictures-');
try {
  const workspace = join(directory, 'shop');
  await mkdir(workspace);
  await createSampleRepository(workspace);
  await using helper = await HelperProcess.up(join(directory, 'state'));
  const watched = await watchState(helper.client);
  const { sessionId } = await helper.client.request('session/start', {
    workspace,
    agent: 'pi',
    title: sampleTitle,
    prompt: samplePrompt,
    upstream: 'scripted',
  });
  await watched.until('the question', patienceMs, (state) =>
    Object.values(state.approvals).find((each) => each.state === 'pending'),
  );
  const turn = watched.subscription.state.sessions[sessionId]?.turns.find((each) =>
    each.effects?.processes.survivors.some((one) => one.startedInTurn && one.ports.includes(5173)),
  )?.id;
  if (turn === undefined) throw new Error('the sample started no dev server');
  const branch = await helper.client.request('branch', {
    sessionId,
    turn,
    title: 'Try a fake clock',
    prompt: alternativePrompt,
  });
  await untilFinished(watched, branch.sessionId, patienceMs);

  await using server = await startCodeServer({
    vsix: vsixPath,
    workspace,
    settings: { 'turntable.stateDirectory': helper.stateDirectory, 'window.commandCenter': false },
  });
  const browser = await openBrowser();
  try {
    for (const { theme, name } of pictures) {
      await server.change({ 'workbench.colorTheme': theme });
      const page = await openPage(browser, server, { width: 1240, height: 860 });
      const frame = await openTimeline(page);
      await frame.getByLabel('Session', { exact: true }).selectOption(sessionId);
      await frame.locator(`[data-turn="${turn}"]`).click();
      await frame.getByText(`Previewing turn ${turn}`).waitFor();
      await runCommand(page, 'Turntable: Open the Timeline in the Editor Area');
      await page.locator('.tab').filter({ hasText: 'Turntable' }).waitFor();
      await runCommand(page, 'View: Close Primary Side Bar');
      await runCommand(page, 'Notifications: Clear All Notifications');
      const wide = page.frameLocator('iframe.webview >> visible=true').frameLocator('#active-frame');
      await wide.getByText('comes back with its memory').waitFor();
      await wide.locator('.scroll').evaluate((scroll) => scroll.scrollTo(0, 0));
      await page.getByText('Activating Extensions').waitFor({ state: 'detached' });
      // The pointer would leave a hover somewhere.
      await page.mouse.move(900, 780);
      await page.waitForTimeout(500);
      await screenshot(page, name, {
        path: fileURLToPath(new URL(`../../media/${name}.png`, import.meta.url)),
      });
      await page.close();
    }
  } finally {
    await browser.close();
  }
} finally {
  await rm(directory, { recursive: true, force: true });
}
