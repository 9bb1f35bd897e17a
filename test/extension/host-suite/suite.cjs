/**
 * Runs inside VS Code's extension host, beside the installed extension: what a person's commands do to editors and
 * documents. VS Code loads it (extensionTestsPath) and calls `run`; the results go to a file, so that whoever started
 * VS Code can report each test. Knows nothing of how VS Code was started.
 */

'use strict';

const assert = require('node:assert/strict');
const { writeFileSync } = require('node:fs');
const vscode = require('vscode');

const sessionId = 'login';
const workspace = process.env.TURNTABLE_TEST_WORKSPACE;

/** Waits until `probe` gives something; the tests' only clock. */
async function until(what, probe) {
  const deadline = Date.now() + 15_000;
  for (;;) {
    const found = await probe();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`never came: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

const turnUri = (turn, path) =>
  vscode.Uri.from({
    scheme: 'turntable',
    authority: sessionId,
    path: `${workspace}/${path}`,
    query: `${turn}`,
  });
const text = async (uri) => Buffer.from(await vscode.workspace.fs.readFile(uri)).toString('utf8');
const tabs = () => vscode.window.tabGroups.all.flatMap((group) => group.tabs);

const tests = {
  async 'the installed extension wakes up by itself'() {
    const extension = vscode.extensions.getExtension('turntable.turntable');
    assert.ok(extension, 'not installed');
    await until('activation', () => extension.isActive);
  },

  async 'every command of the manifest is registered'() {
    const extension = vscode.extensions.getExtension('turntable.turntable');
    const registered = new Set(await vscode.commands.getCommands(true));
    const missing = extension.packageJSON.contributes.commands
      .map((each) => each.command)
      .filter((each) => !registered.has(each));
    assert.deepEqual(missing, []);
  },

  async 'a file is read as it was at the end of a turn'() {
    const later = await until('the helper', () => text(turnUri(11, 'src/login.ts')).catch(() => undefined));
    assert.match(later, /clock\.now/);
    assert.doesNotMatch(await text(turnUri(2, 'src/login.ts')), /clock\.now|queue\.idle/);
  },

  async 'a document of a turn cannot be written, and says so before one tries'() {
    const uri = turnUri(11, 'src/login.ts');
    await assert.rejects(async () => vscode.workspace.fs.writeFile(uri, Buffer.from('x')));
    assert.equal(vscode.workspace.fs.isWritableFileSystem('turntable'), false);
    const stat = await vscode.workspace.fs.stat(uri);
    assert.equal(stat.permissions, vscode.FilePermission.Readonly);
  },

  async 'a file that was not there at a turn is not found, not empty'() {
    await assert.rejects(
      async () => text(turnUri(4, 'src/retry.ts')),
      (error) => error.code === 'FileNotFound',
    );
  },

  async 'the changes of a turn open in the multi-file diff editor'() {
    await vscode.commands.executeCommand('turntable.showChanges', { sessionId, turn: 7 });
    const tab = await until('the diff', () => tabs().find((each) => each.label.startsWith('Turn 7')));
    assert.match(tab.label, /sed -i/);
    await vscode.window.tabGroups.close(tab);
  },

  async 'a turn without changes opens nothing'() {
    await vscode.commands.executeCommand('turntable.showChanges', { sessionId, turn: 2 });
    assert.ok(!tabs().some((each) => each.label.startsWith('Turn 2')));
  },

  async 'the wide timeline opens once, in an editor tab'() {
    await vscode.commands.executeCommand('turntable.openTimeline');
    await vscode.commands.executeCommand('turntable.openTimeline');
    await until('the tab', () => tabs().some((each) => each.label === 'Turntable'));
    assert.equal(tabs().filter((each) => each.label === 'Turntable').length, 1);
  },

  async "the agent's terminal opens, once"() {
    await vscode.commands.executeCommand('turntable.openTerminal', sessionId);
    await vscode.commands.executeCommand('turntable.openTerminal', sessionId);
    await until('the terminal', () =>
      vscode.window.terminals.some((each) => each.name.startsWith('opencode')),
    );
    assert.equal(vscode.window.terminals.filter((each) => each.name.startsWith('opencode')).length, 1);
  },
};

/** Called by VS Code. Rejects when a test failed. */
async function run() {
  const results = [];
  for (const [name, test] of Object.entries(tests)) {
    try {
      // One that waits for a person must not keep the others from being told.
      await Promise.race([
        test(),
        new Promise((_, reject) => setTimeout(() => reject(new Error('did not end')), 30_000)),
      ]);
      results.push({ name });
    } catch (error) {
      results.push({ name, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    }
  }
  writeFileSync(process.env.TURNTABLE_TEST_RESULTS, JSON.stringify(results));
  const failed = results.filter((each) => each.error);
  if (failed.length > 0)
    throw new Error(`${failed.length} failed: ${failed.map((each) => each.name).join('; ')}`);
}

module.exports = { run };
