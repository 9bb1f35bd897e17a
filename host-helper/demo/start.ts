/**
 * `npm start`: opens VS Code with the extension on a sample repository in which a real agent works; `--once` runs the same
 * session to its end without a browser, checks what it claims and says so.
 */

import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { runInEditor } from './in-editor.ts';
import { runOnce } from './once.ts';
import { makeRunDirectory, removeRunDirectory } from './run-directory.ts';

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

const port = values.port === undefined ? undefined : Number(values.port);
if (port !== undefined && !(Number.isInteger(port) && port > 0 && port < 65_536)) {
  process.stderr.write(`--port ${values.port ?? ''}: a number from 1 to 65535 is wanted\n`);
  process.exit(2);
}

if (process.getuid?.() !== 0) {
  process.stderr.write(
    'The host helper needs root: it is started through sudo, which may ask for your password.\n',
  );
}

if (values.once) {
  const directory = await makeRunDirectory();
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => stop.abort(new Error(`stopped by ${signal}`)));
  try {
    const { agent, upstream } = values;
    process.exitCode = await runOnce({ directory, agent, upstream, signal: stop.signal });
  } finally {
    if (values.keep) process.stderr.write(`kept: ${directory}\n`);
    else await remove(directory);
  }
} else {
  process.exitCode = await runInEditor({
    directory: join(
      process.env['XDG_STATE_HOME'] ?? join(process.env['HOME'] ?? '/var/tmp', '.local', 'state'),
      'turntable-sample',
    ),
    agent: values.agent,
    upstream: values.upstream,
    port,
  }).catch((error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  });
}

async function remove(directory: string): Promise<void> {
  try {
    await removeRunDirectory(directory);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
