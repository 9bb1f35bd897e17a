/**
 * `npm start`: opens VS Code with the extension on a sample repository in which a real agent works; `--once` runs the same
 * session to its end without a browser, checks what it claims and says so.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runInEditor } from './in-editor.ts';
import { runOnce } from './once.ts';

const { values } = parseArgs({
  options: {
    once: { type: 'boolean', default: false },
    agent: { type: 'string', default: 'pi' },
    upstream: { type: 'string' },
    port: { type: 'string' },
    keep: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

if (values.help) {
  process.stdout.write(`npm start -- [options]
  --once            no browser: run the sample session to its end, check it, print a summary and a line of JSON
  --agent NAME      the agent that works in the sandbox (default pi; opencode)
  --upstream WHERE  "scripted" (default without an API key), "keys", or a base URL
  --port N          port for VS Code in the browser
  --keep            keep the state directory of --once
`);
  process.exit(0);
}

if (process.getuid?.() !== 0) {
  process.stderr.write(
    'The host helper needs root: it is started through sudo, which may ask for your password.\n',
  );
}

if (values.once) {
  // Not /tmp: on many machines that is a tmpfs, where uppers cannot carry what overlayfs needs.
  const directory = await mkdtemp('/var/tmp/turntable-once-');
  try {
    process.exitCode = await runOnce({ directory, agent: values.agent, upstream: values.upstream });
  } finally {
    if (values.keep) process.stderr.write(`kept: ${directory}\n`);
    else await rm(directory, { recursive: true, force: true });
  }
} else {
  process.exitCode = await runInEditor({
    directory: join(
      process.env['XDG_STATE_HOME'] ?? join(process.env['HOME'] ?? '/var/tmp', '.local', 'state'),
      'turntable-sample',
    ),
    agent: values.agent,
    upstream: values.upstream,
    port: values.port === undefined ? undefined : Number.parseInt(values.port, 10),
  });
}
