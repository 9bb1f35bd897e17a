/**
 * The daemon's entry: reads its flags, starts the helper, says `ready`, and goes down in order on a signal. Everything it knows of
 * the file system layout of the product stands here.
 */

import { existsSync, openSync, readFileSync, writeSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { startHelper } from './helper.ts';
import { createLogger, type LogLevel } from './log.ts';
import { TurntableError } from './protocol/errors.ts';
import { takeProcessLock } from './server/process-lock.ts';
import { fsckOffline } from './store/offline-fsck.ts';

const here = dirname(fileURLToPath(import.meta.url));
/** From sources this file lies in host-helper/, bundled in dist/: the product's root is one up in both. */
const root = dirname(here);

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    'state-dir': { type: 'string', default: '/var/lib/turntable' },
    socket: { type: 'string' },
    group: { type: 'string' },
    'tcp-port': { type: 'string' },
    criu: { type: 'string' },
    retention: { type: 'string', default: '/etc/turntable/retention.json' },
    verbose: { type: 'boolean', default: false },
  },
});

const stateDirectory = values['state-dir'];
if (positionals[0] === 'fsck') process.exit(await checkStore());
await mkdir(stateDirectory, { recursive: true, mode: 0o750 });
const log = openSync(join(stateDirectory, 'helper.log'), 'a', 0o640);
const minimum: LogLevel = values.verbose ? 'debug' : 'info';
const logger = createLogger((line) => {
  try {
    writeSync(log, line + '\n');
  } catch {
    // A full disk must not end the helper, nor its log once there is room again.
  }
}, minimum);

// A root daemon must not die of one forgotten rejection; it must say so loudly.
process.on('unhandledRejection', (error) =>
  logger.error('unhandled rejection', { error, stack: error instanceof Error ? error.stack : undefined }),
);

try {
  if (process.getuid?.() !== 0) {
    throw new TurntableError(
      'notPermitted',
      'The host helper needs root: start it with `sudo turntable up`.',
    );
  }
  const helper = await startHelper({
    version: productVersion(),
    stateDirectory,
    socketPath: values.socket ?? join(stateDirectory, 'helper.sock'),
    group: values.group,
    tcpPort: values['tcp-port'] === undefined ? undefined : Number.parseInt(values['tcp-port'], 10),
    binDirectory: join(root, 'dist', 'bin'),
    criu: values.criu ?? firstExisting([join(root, '.cache', 'criu', 'criu'), '/usr/sbin/criu']),
    rulesPath: '/etc/turntable/rules.json',
    retentionPath: values.retention,
    agents: {
      nodePath: process.execPath,
      searchRoots: [
        join(root, 'host-helper', 'agents', 'bundle', 'node_modules'),
        '/usr/lib/node_modules',
        '/usr/local/lib/node_modules',
      ],
      mounts: [
        join(root, 'host-helper', 'agents', 'bundle', 'node_modules'),
        dirname(process.execPath),
      ].filter((path) => existsSync(path)),
    },
    env: process.env,
    logger,
  });
  process.stdout.write(JSON.stringify({ ready: true, pid: process.pid, recovered: helper.recovered }) + '\n');
  logger.info('ready', { pid: process.pid });

  const stop = Promise.withResolvers<boolean>();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stop.resolve(true));
  const endSessions = await Promise.race([stop.promise, helper.stopAsked]);
  logger.info('stopping', { endSessions });
  await helper.close(endSessions);
  process.exit(0);
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  logger.error('the helper could not start', {
    error,
    stack: error instanceof Error ? error.stack : undefined,
  });
  process.stderr.write(`turntable: ${message}\n`);
  process.exit(1);
}

/** One line of JSON for `turntable fsck`, which found no helper: the findings, or why there are none. */
async function checkStore(): Promise<number> {
  let reply: object;
  try {
    if (!existsSync(stateDirectory)) {
      throw new TurntableError('storeDamaged', `There is no ${stateDirectory}: give the right --state-dir.`);
    }
    using _lock = await takeProcessLock(join(stateDirectory, 'helper.lock'));
    const { badContents: _hashes, ...found } = fsckOffline(join(stateDirectory, 'store'));
    reply = { fsck: { ...found, repaired: false } };
  } catch (error) {
    const name = error instanceof TurntableError ? error.code : 'internal';
    reply = { error: { name, message: error instanceof Error ? error.message : String(error) } };
  }
  writeSync(process.stdout.fd, JSON.stringify(reply) + '\n');
  return 'error' in reply ? 1 : 0;
}

function productVersion(): string {
  const text = readFileSync(join(root, 'package.json'), 'utf8');
  return /"version":\s*"([^"]+)"/.exec(text)?.[1] ?? '0.0.0';
}

function firstExisting(paths: readonly string[]): string | undefined {
  return paths.find((path) => existsSync(path));
}
