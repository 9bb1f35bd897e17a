/**
 * Ends dumps that cannot come to their end. CRIU traces what it writes down and waits for each process in turn. When processes are killed
 * meanwhile, it may wait for one that cannot go before others are gone: a first process for everything in its namespace, a main thread for
 * its other threads. Those are dead already, but stay until their tracer looks at them, which is CRIU, which waits. Only the end of CRIU
 * lets them go. It may have been at work inside the processes that still live, so these end with it: a sandbox whose memory is in doubt
 * is brought back from its last checkpoint rather than trusted.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../../log.ts';
import { isOfThisHost } from './process-identity.ts';

const lookEveryMs = 500;

interface Thread {
  readonly process: number;
  readonly dead: boolean;
}

export class DumpWatch {
  readonly #directory: string;
  readonly #logger: Logger;
  /** What a CRIU had run for when it was last found asleep, in ns as proc(5) schedstat has it. */
  #asleep = new Map<number, string>();
  #lookedAtMs = -Infinity;

  /** Watches dumps whose log is at or below `directory`. */
  constructor(directory: string, logger: Logger) {
    this.#directory = directory;
    this.#logger = logger;
  }

  /**
   * Looks once, unless it has just done so. A dump that is stuck (its CRIU has not run since the last look, and something that it traces is
   * dead) is ended with all that it traces.
   */
  async look(): Promise<void> {
    if (performance.now() - this.#lookedAtMs < lookEveryMs) return;
    this.#lookedAtMs = performance.now();
    const before = this.#asleep;
    this.#asleep = new Map();
    for (const criu of await dumpsBelow(this.#directory)) {
      const ran = await ranIfAsleep(criu);
      if (ran === undefined) continue;
      this.#asleep.set(criu, ran);
      if (before.get(criu) !== ran) continue;
      const traced = await tracedBy(criu);
      if (!traced.some((thread) => thread.dead)) continue;
      const processes = new Set(traced.map((thread) => thread.process));
      this.#logger.warn('a dump is ended: what it waits for was killed', {
        criu,
        processes: [...processes],
      });
      for (const pid of [...processes, criu]) kill(pid);
    }
  }

  /** Looks until `work` has settled; resolves or throws as it does. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    let looking: Promise<void> = Promise.resolve();
    // A little late, so that none comes too early to count.
    const timer = setInterval(() => {
      looking = looking.then(async () => this.look()).catch(() => undefined);
    }, lookEveryMs + 20);
    try {
      return await work();
    } finally {
      clearInterval(timer);
      await looking;
    }
  }
}

/** Pids of CRIU processes of this host that keep the log of a dump at or below a directory. */
export async function dumpsBelow(directory: string): Promise<number[]> {
  const found: number[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const words = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '');
    // It calls itself "criu: dump …", be it started by name, by path or through a loader.
    if (!words.includes('criu') || !(await isOfThisHost(name))) continue;
    const files = await readdir(`/proc/${name}/fd`).catch(() => []);
    const paths = await Promise.all(
      files.map(async (file) => readlink(`/proc/${name}/fd/${file}`).catch(() => '')),
    );
    if (paths.some((path) => path.startsWith(`${directory}/`) && path.endsWith('/dump.log')))
      found.push(Number(name));
  }
  return found;
}

/** How long a process has run, when it sleeps now; undefined when it does not, or is gone. */
async function ranIfAsleep(pid: number): Promise<string | undefined> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  if (!/^State:\s*S/m.test(status)) return undefined;
  return (await readFile(`/proc/${pid}/schedstat`, 'utf8').catch(() => '')).split(' ')[0];
}

async function tracedBy(tracer: number): Promise<Thread[]> {
  const traced: Thread[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const tasks = join('/proc', name, 'task');
    for (const thread of await readdir(tasks).catch(() => [])) {
      const status = await readFile(join(tasks, thread, 'status'), 'utf8').catch(() => '');
      if (Number(/^TracerPid:\s*(\d+)/m.exec(status)?.[1]) !== tracer) continue;
      traced.push({ process: Number(name), dead: /^State:\s*[ZX]/m.test(status) });
    }
  }
  return traced;
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It went by itself.
  }
}
