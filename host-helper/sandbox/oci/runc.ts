/**
 * runc's command line for this backend: run, checkpoint, restore, pause, delete. It knows runc's habits (its log, its states) and nothing of
 * overlays, doors or the supervisor.
 */
import { readFile, rm } from 'node:fs/promises';
import { z } from 'zod';
import { TurntableError } from '../../protocol/errors.ts';
import { lastLines, tryCommand } from './command.ts';

const dumpTimeoutMs = 120_000;

const stateSchema = z.object({
  id: z.string(),
  pid: z.int(),
  status: z.string(),
});

export interface RuncState {
  readonly pid: number;
  readonly status: 'running' | 'paused' | 'stopped' | 'created';
}

export interface RuncOptions {
  readonly runc: string;
  /** Where runc keeps its own state; one a state directory. */
  readonly root: string;
  readonly criu: string | undefined;
}

export class Runc {
  readonly #options: RuncOptions;

  constructor(options: RuncOptions) {
    this.#options = options;
  }

  /** Starts a container in the background. Throws `sandboxFailed` with runc's own reason. */
  async run(id: string, bundle: string, pidFile: string, log: string): Promise<void> {
    await this.#detached(['run', '--detach', '--bundle', bundle, '--pid-file', pidFile, id], log);
  }

  /** Throws `sandboxFailed` with runc's own reason; CRIU's is in `work`/restore.log. */
  async restore(request: {
    readonly id: string;
    readonly bundle: string;
    readonly pidFile: string;
    readonly images: string;
    readonly work: string;
    readonly log: string;
  }): Promise<void> {
    await this.#detached(
      [
        ...['restore', '--detach', '--bundle', request.bundle, '--pid-file', request.pidFile],
        ...['--image-path', request.images, '--work-path', request.work, request.id],
      ],
      request.log,
    );
  }

  /** Dumps a paused container and leaves it paused. */
  async checkpoint(id: string, images: string, work: string): Promise<void> {
    await this.#command(
      ['checkpoint', '--leave-running', '--image-path', images, '--work-path', work, id],
      dumpTimeoutMs,
    );
  }

  async pause(id: string): Promise<void> {
    await this.#command(['pause', id]);
  }

  async resume(id: string): Promise<void> {
    await this.#command(['resume', id]);
  }

  /** Kills everything and forgets the container. No error when it is not known. */
  async remove(id: string): Promise<void> {
    await tryCommand(this.#options.runc, [...this.#global(), 'delete', '--force', id]);
  }

  /** Undefined when runc does not know the container. */
  async state(id: string): Promise<RuncState | undefined> {
    const result = await tryCommand(this.#options.runc, [...this.#global(), 'state', id]);
    if (result.code !== 0) return undefined;
    const parsed = stateSchema.safeParse(parseJson(result.stdout));
    if (!parsed.success) return undefined;
    const { pid, status } = parsed.data;
    if (status === 'running' || status === 'paused' || status === 'created') return { pid, status };
    return { pid, status: 'stopped' };
  }

  /** Ids of all containers of this root. */
  async list(): Promise<string[]> {
    const result = await tryCommand(this.#options.runc, [...this.#global(), 'list', '--quiet']);
    return result.stdout.split('\n').filter((line) => line !== '');
  }

  #global(): string[] {
    const { root, criu } = this.#options;
    return ['--root', root, ...(criu === undefined ? [] : ['--criu', criu])];
  }

  async #command(argv: readonly string[], timeoutMs?: number): Promise<void> {
    const result = await tryCommand(this.#options.runc, [...this.#global(), ...argv], {
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    });
    if (result.code !== 0) throw failure(argv[0] ?? '', result.stderr);
  }

  /** A container in the background inherits runc's descriptors, so these are /dev/null and the words come from a log file. */
  async #detached(argv: readonly string[], log: string): Promise<void> {
    await rm(log, { force: true });
    const result = await tryCommand(
      this.#options.runc,
      [...this.#global(), '--log', log, '--log-format', 'json', ...argv],
      { detached: true, timeoutMs: dumpTimeoutMs },
    );
    if (result.code !== 0) throw failure(argv[0] ?? '', await readLog(log));
  }
}

/** runc's words without its decoration: `time=… level=error msg="…"`. */
export function runcReason(words: string): string {
  return lastLines(words, 3).replace(
    /time="[^"]*" level=\w+ msg=("(?:[^"\\]|\\.)*")/g,
    (whole, message: string) => {
      const plain = z.string().safeParse(parseJson(message));
      return plain.success ? lastLines(plain.data, 3) : whole;
    },
  );
}

function failure(verb: string, words: string): TurntableError {
  const reason = runcReason(words) || 'it said nothing';
  return new TurntableError('sandboxFailed', `runc ${verb} failed: ${reason}`);
}

const logLineSchema = z.object({ level: z.string(), msg: z.string() });

async function readLog(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch(() => '');
  const words: string[] = [];
  for (const line of text.split('\n')) {
    const parsed = logLineSchema.safeParse(parseJson(line));
    if (parsed.success && parsed.data.level === 'error') words.push(parsed.data.msg);
  }
  return words.join('\n');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
