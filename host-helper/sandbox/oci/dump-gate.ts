/**
 * Holds CRIU at the one moment when a dump is complete and nothing of it has been undone: files that only a descriptor still names have a
 * temporary link then (link_remap.N), which a restore needs and which is gone again when CRIU returns. CRIU runs a script at that point
 * ("post-dump"); the script tells us through one FIFO and waits for our word on another.
 */
import { constants, openSync } from 'node:fs';
import { open, rename, rm, writeFile } from 'node:fs/promises';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { runCommand } from './command.ts';

/** Longer than any capture; ends a script whose helper died. */
const waitLimitSeconds = 120;

export interface DumpGatePlaces {
  readonly script: string;
  readonly reached: string;
  readonly answer: string;
}

export function dumpGatePlaces(bundle: string): DumpGatePlaces {
  return {
    script: join(bundle, 'post-dump.sh'),
    reached: join(bundle, 'post-dump.reached'),
    answer: join(bundle, 'post-dump.answer'),
  };
}

/** Writes the script and the FIFOs. */
export async function makeDumpGate(places: DumpGatePlaces): Promise<void> {
  // Both ends are opened for reading and writing: that never waits, so a helper that is gone cannot hold CRIU at an open.
  const wait = `echo reached 1<>"$0"; read -r answer 0<>"$1" && test "$answer" = go`;
  const text = `#!/bin/sh
test "$CRTOOLS_SCRIPT_ACTION" = post-dump || exit 0
exec timeout ${waitLimitSeconds} sh -c '${wait}' ${quote(places.reached)} ${quote(places.answer)}
`;
  // A CRIU that outlived its helper may be starting the old one just now, and what is being executed cannot be written to.
  await writeFile(`${places.script}.new`, text, { mode: 0o700 });
  await rename(`${places.script}.new`, places.script);
  await makeFifos([places.reached, places.answer]);
}

/** Lets a script go that waits for a helper that died; its dump fails. */
export async function releaseDumpGate(places: DumpGatePlaces): Promise<void> {
  const file = await open(places.answer, constants.O_WRONLY | constants.O_NONBLOCK).catch(() => undefined);
  await file?.write('stop\n').catch(() => undefined);
  await file?.close();
}

/**
 * Runs `dump`; when CRIU reaches the gate runs `atGate` and lets CRIU go on. Where the gate is never reached although the dump succeeds,
 * `atGate` runs after it: everything is still frozen. Throws what either throws, `atGate` first.
 */
export async function dumpThroughGate(
  places: DumpGatePlaces,
  dump: () => Promise<void>,
  atGate: () => Promise<void>,
): Promise<void> {
  // Fresh, so that no word of an earlier dump waits in them.
  await makeFifos([places.reached, places.answer]);
  const both = constants.O_RDWR | constants.O_NONBLOCK;
  const answer = await open(places.answer, both);
  // A bare descriptor: the socket owns it, and a file handle would close it a second time.
  const socket = new Socket({ fd: openSync(places.reached, both), readable: true, writable: false });
  let visit: Promise<{ error: unknown } | undefined> | undefined;
  socket.on('error', () => {});
  socket.once('data', () => {
    visit = atGate()
      .then(
        () => undefined,
        (error: unknown) => ({ error }),
      )
      .then(async (failure) => {
        await answer.write(failure ? 'stop\n' : 'go\n');
        return failure;
      });
  });
  try {
    const failed = await dump().then(
      () => undefined,
      (error: unknown) => ({ error }),
    );
    const failedAtGate = await visit;
    // A script whose CRIU was killed just before its word came.
    if (failed && visit === undefined) await answer.write('stop\n');
    const failure = failedAtGate ?? failed;
    if (failure) throw failure.error;
    if (visit === undefined) await atGate();
  } finally {
    await new Promise<void>((resolve) => {
      socket.once('close', () => {
        resolve();
      });
      socket.destroy();
    });
    await answer.close();
  }
}

async function makeFifos(paths: readonly string[]): Promise<void> {
  await Promise.all(paths.map((path) => rm(path, { force: true })));
  await runCommand('mkfifo', ['-m', '600', ...paths]);
}

function quote(path: string): string {
  return `'${path.replaceAll("'", `'\\''`)}'`;
}
