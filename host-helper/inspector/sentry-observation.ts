/**
 * Gathers the frames between two fences of one sandbox into an Observation. Bounded: what is over a bound is counted.
 */
import { flagBits, PayloadReader, structs } from './sentry-frames.ts';
import type { ExecEvent, ExitEvent, LiveProcess, Observation, ProcessState } from './sentry.ts';

const executedMax = 4096;
const exitsMax = 16384;

export class ObservationGatherer {
  #executed: ExecEvent[] = [];
  #exits: ExitEvent[] = [];
  #roots: Observation['roots'][number][] = [];
  #live: LiveProcess[] = [];
  #exitsLost = 0;

  addExec(payload: Buffer): void {
    if (this.#executed.length < executedMax) this.#executed.push(readExec(payload));
  }

  addExit(payload: Buffer): void {
    const { pid, exitCode } = new PayloadReader(payload).struct(structs.exit);
    if (this.#exits.length < exitsMax) this.#exits.push({ pid, exitCode });
    else this.#exitsLost++;
  }

  addRoot(payload: Buffer): void {
    const reader = new PayloadReader(payload);
    const { root, flags, inodeCount } = reader.struct(structs.root);
    this.#roots.push({
      root,
      dirty: (flags & flagBits.rootDirty) !== 0,
      inodes: [...new Set(reader.u64s(inodeCount))],
      overflow: (flags & flagBits.rootOverflow) !== 0,
    });
  }

  addLive(payload: Buffer): void {
    this.#live.push(readLive(payload));
  }

  /** The fence's last frame: hands out what was gathered and begins anew. */
  finish(payload: Buffer): Observation {
    const end = new PayloadReader(payload).struct(structs.fenceEnd);
    const observation: Observation = {
      roots: this.#roots,
      unassigned: Number(end.unassigned),
      executed: this.#executed,
      executedCount: Number(end.executed),
      exits: this.#exits,
      forkCount: Number(end.forked),
      live: this.#live,
      dropped: Number(end.dropped) + this.#exitsLost,
      reached: Number(end.reached),
    };
    this.#roots = [];
    this.#executed = [];
    this.#exits = [];
    this.#live = [];
    this.#exitsLost = 0;
    return observation;
  }
}

function readExec(payload: Buffer): ExecEvent {
  const reader = new PayloadReader(payload);
  const exec = reader.struct(structs.exec);
  return {
    pid: exec.pid,
    sandboxPid: exec.sandboxPid,
    program: reader.text(exec.programLength),
    argv: reader.argv(exec.argvLength),
    argvTruncated: (exec.flags & flagBits.execArgvTruncated) !== 0,
    atMs: Number(exec.atMs),
  };
}

function readLive(payload: Buffer): LiveProcess {
  const reader = new PayloadReader(payload);
  const live = reader.struct(structs.live);
  return {
    pid: live.pid,
    parentPid: live.parentPid,
    sandboxPid: live.sandboxPid,
    startTicks: live.startTicks,
    program: reader.text(live.programLength),
    argv: reader.argv(live.argvLength),
    runCount: live.runCount,
    sharedWritableMapping: (live.flags & flagBits.liveSharedWritable) !== 0,
  };
}

/** The answer to a question for states. */
export function readStates(payload: Buffer): ProcessState[] {
  const reader = new PayloadReader(payload);
  const { count } = reader.struct(structs.states);
  return Array.from({ length: count }, () => {
    const { pid, flags, startTicks, own, files } = reader.struct(structs.state);
    return {
      pid,
      startTicks,
      own,
      files,
      uncertain: (flags & flagBits.stateUncertain) !== 0,
    };
  });
}
