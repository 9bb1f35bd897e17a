/** `turntable attach`: this terminal onto the agent's, until Ctrl-] or its end. */

import type { Command } from 'commander';
import { runCommand, type Cli } from '../cli.ts';
import { untilInterrupted } from '../interrupt.ts';
import { sessionOf } from '../snapshot.ts';

/** Ctrl-], as in telnet. */
const detachByte = 0x1d;
const usualSize = { columns: 80, rows: 24 };

export function registerAttach(program: Command): void {
  program
    .command('attach')
    .description("this terminal onto the agent's; Ctrl-] detaches")
    .argument('[session]', 'its id, a unique beginning of it, or last', 'last')
    .action((reference: string, _options: unknown, command: Command) =>
      runCommand(command, (cli) => attach(cli, reference)),
    );
}

async function attach(cli: Cli, reference: string): Promise<void> {
  const client = await cli.connect();
  const { id: sessionId } = await sessionOf(client, reference);
  const { stdin, stdout } = process;
  await using cleanup = new AsyncDisposableStack();
  const { promise: detached, resolve: detach } = Promise.withResolvers<undefined>();

  client.onNotification('terminal/data', (output) => {
    if (output.sessionId === sessionId) stdout.write(Buffer.from(output.data, 'base64'));
  });
  const { backlog } = await client.request('terminal/attach', { sessionId, ...sizeOf(stdout) });
  stdout.write(Buffer.from(backlog, 'base64'));

  if (stdin.isTTY) {
    cli.note(cli.noteStyle.faint(`\r\nattached to ${sessionId}; Ctrl-] detaches`));
    stdin.setRawMode(true);
    cleanup.defer(() => {
      stdin.setRawMode(false);
      stdin.pause();
      cli.note(cli.noteStyle.faint('\r\ndetached'));
    });
    // One after the other, so that keys keep their order.
    let sent: Promise<unknown> = Promise.resolve();
    stdin.on('data', (chunk) => {
      const bytes = Buffer.from(chunk);
      const at = bytes.indexOf(detachByte);
      const keys = at < 0 ? bytes : bytes.subarray(0, at);
      if (keys.length > 0) {
        sent = sent
          .then(() => client.request('terminal/input', { sessionId, data: keys.toString('base64') }))
          .catch(() => detach(undefined));
      }
      if (at >= 0) detach(undefined);
    });
    const resize = (): void => {
      client.request('terminal/resize', { sessionId, ...sizeOf(stdout) }).catch(() => {});
    };
    stdout.on('resize', resize);
    cleanup.defer(() => void stdout.off('resize', resize));
  }
  await Promise.race([detached, untilInterrupted(client)]);
  if (!client.closed) await client.request('terminal/detach', { sessionId }).catch(() => {});
}

function sizeOf(stream: NodeJS.WriteStream): { columns: number; rows: number } {
  return { columns: stream.columns || usualSize.columns, rows: stream.rows || usualSize.rows };
}
