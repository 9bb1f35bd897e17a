/**
 * A person at VS Code: a browser page on a running code-server, and how to find the timeline, run a command, answer a
 * dialogue and take a picture. Knows no helper, so that tests with a recorded one and with the real one share it.
 */

import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium, type Browser, type FrameLocator, type Page } from 'playwright-core';
import { codeServerMissing, type CodeServer } from '../../host-helper/demo/code-server.ts';

const chromiumPaths = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
const screenshots = fileURLToPath(new URL('screenshots/', import.meta.url));

/** The extension as `npm run package` leaves it. */
export const vsixPath = fileURLToPath(new URL('../../dist/turntable.vsix', import.meta.url));

/** Why these tests cannot run here, or undefined when they can. */
export function missing(): string | undefined {
  if (codeServerMissing() !== undefined) return codeServerMissing();
  if (!chromiumPaths.some((path) => existsSync(path)))
    return 'Chromium is not installed: run sh test/extension/install.sh';
  return existsSync(vsixPath) ? undefined : 'dist/turntable.vsix is not there: run npm run package';
}

/** Starts Chromium without a window. */
export function openBrowser(): Promise<Browser> {
  const executablePath = chromiumPaths.find((path) => existsSync(path));
  return chromium.launch({
    ...(executablePath === undefined ? {} : { executablePath }),
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--force-color-profile=srgb',
    ],
  });
}

/** Opens the workbench and waits until it can be used. */
export async function openPage(
  browser: Browser,
  server: CodeServer,
  size = { width: 1280, height: 860 },
): Promise<Page> {
  const page = await browser.newPage({ viewport: size, deviceScaleFactor: 1 });
  page.setDefaultTimeout(20_000);
  await page.goto(server.url);
  await page.locator('.monaco-workbench .part.activitybar').waitFor({ timeout: 60_000 });
  return page;
}

/** Brings the timeline's view to the front. */
export async function openTimeline(page: Page): Promise<FrameLocator> {
  const tab = page.locator('.part.activitybar .action-item a[aria-label^="Turntable"]').first();
  await tab.waitFor({ timeout: 60_000 });
  if ((await page.locator('.part.sidebar .title-label:has-text("Turntable")').count()) === 0)
    await tab.click();
  const frame = timelineFrame(page);
  await frame.locator('turntable-app').waitFor({ timeout: 60_000 });
  return frame;
}

/** The webview's document; open shadow roots are pierced. `index` counts the webviews that are shown. */
export function timelineFrame(page: Page, index = 0): FrameLocator {
  return page.locator('iframe.webview').nth(index).contentFrame().frameLocator('#active-frame');
}

/** Runs a command by its title. The key is unreliable while a webview has the focus, hence the click and the tries. */
export async function runCommand(page: Page, title: string): Promise<void> {
  const input = page.locator('.quick-input-widget:visible input.input');
  for (let tries = 0; ; tries += 1) {
    await page.locator('.part.titlebar').click({ position: { x: 400, y: 8 } });
    await page.keyboard.press('F1');
    if (
      await input.waitFor({ timeout: 2500 }).then(
        () => true,
        () => false,
      )
    )
      break;
    if (tries === 5) throw new Error('the command palette does not open');
  }
  await input.fill(`>${title}`);
  await page.locator('.quick-input-list .monaco-list-row').filter({ hasText: title }).first().click();
}

/** Presses a button of the dialogue in front. */
export async function answerDialog(page: Page, label: string): Promise<string> {
  const dialog = page.locator('.monaco-dialog-box');
  await dialog.waitFor();
  const text = await dialog.innerText();
  await dialog.getByRole('button', { name: label, exact: true }).click();
  await dialog.waitFor({ state: 'detached' });
  return text;
}

/** Closes whatever notifications are in the way. */
export async function dismissNotifications(page: Page): Promise<void> {
  await runCommand(page, 'Notifications: Clear All Notifications');
}

/** Takes a picture for people to look at, below test/extension/screenshots/. */
export async function screenshot(
  page: Page,
  name: string,
  options: { path?: string; clip?: { x: number; y: number; width: number; height: number } } = {},
): Promise<void> {
  await mkdir(screenshots, { recursive: true });
  await page.screenshot({
    path: options.path ?? join(screenshots, `${name}.png`),
    ...(options.clip ? { clip: options.clip } : {}),
  });
}
