/**
 * Takes the pictures of the timeline in media/: a recorded session, wide, in three themes. Run by hand after the look
 * has changed: `node test/extension/take-pictures.ts`.
 */

import { fileURLToPath } from 'node:url';
import { startCodeServer } from '../../host-helper/demo/code-server.ts';
import { FixtureHelper } from './fixture/helper.ts';
import { makeFolder } from './fixture/folder.ts';
import { missing, openBrowser, openPage, openTimeline, runCommand, screenshot, vsixPath } from './harness.ts';

const pictures = [
  { theme: 'Dark Modern', name: 'timeline-dark' },
  { theme: 'Light Modern', name: 'timeline-light' },
  { theme: 'Default High Contrast', name: 'timeline-high-contrast' },
];

const reason = missing();
if (reason !== undefined) throw new Error(reason);

await using folder = await makeFolder();
await using server = await startCodeServer({
  vsix: vsixPath,
  workspace: folder.workspace,
  settings: { 'turntable.socketPath': folder.socketPath, 'window.commandCenter': false },
});
const browser = await openBrowser();
try {
  for (const { theme, name } of pictures) {
    await using helper = new FixtureHelper({ socketPath: folder.socketPath, workspace: '/home/dev/shop' });
    await helper.listening;
    await server.change({ 'workbench.colorTheme': theme });
    const page = await openPage(browser, server, { width: 1240, height: 860 });
    const frame = await openTimeline(page);
    await frame.locator('[data-turn="6"]').click();
    await frame.getByText('Previewing turn 6').waitFor();
    await runCommand(page, 'Turntable: Open the Timeline in the Editor Area');
    await page.locator('.tab').filter({ hasText: 'Turntable' }).waitFor();
    await runCommand(page, 'View: Close Primary Side Bar');
    await runCommand(page, 'Notifications: Clear All Notifications');
    const wide = page.frameLocator('iframe.webview >> visible=true').frameLocator('#active-frame');
    await wide.getByText('2 things left the machine and stay done').waitFor();
    await wide.locator('.scroll').evaluate((scroll) => scroll.scrollTo(0, 0));
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
