/**
 * Remembers how the last exec of each process was judged, so that a rule can tell git's own transport from one that
 * was started directly. It knows process ids and rule names, no arguments. What it forgets, or cannot read, excuses nothing.
 */

import { readFileSync } from 'node:fs';
import type { ExecRule } from './exec-rules.ts';

export interface ProcessName {
  readonly pid: number;
  readonly parentPid: number;
  /** Clock ticks since boot when it started: with the pid, a unique name. Exec does not change it. */
  readonly startTicks: string;
}

/** Who a process is; undefined when it is gone. Pids are the host's. */
export type ReadProcess = (pid: number) => ProcessName | undefined;

export interface Lineage {
  record(
    pid: number,
    judged: {
      readonly rule: string | undefined;
      readonly names: readonly string[];
      readonly allowed: boolean;
    },
  ): void;
  /** Whether an ancestor of `pid` (or what `pid` ran before) takes the rule's `notUnder` exception. */
  excuses(pid: number, rule: ExecRule): boolean;
}

interface Judged {
  readonly startTicks: string;
  readonly rule: string | undefined;
  readonly names: readonly string[];
  readonly allowed: boolean;
}

const recordLimit = 20_000;
const depthLimit = 64;

export function createLineage(read: ReadProcess = readProcStat): Lineage {
  const records = new Map<number, Judged>();
  return {
    record(pid, judged) {
      const name = read(pid);
      if (!name) return;
      records.delete(pid);
      records.set(pid, { ...judged, startTicks: name.startTicks });
      if (records.size > recordLimit) {
        const oldest = records.keys().next();
        if (!oldest.done) records.delete(oldest.value);
      }
    },
    excuses(pid, rule) {
      const exception = rule.notUnder;
      if (!exception) return false;
      let current = pid;
      for (let depth = 0; depth < depthLimit && current > 1; depth++) {
        const name = read(current);
        if (!name) return false;
        const judged = records.get(current);
        if (judged?.allowed && judged.startTicks === name.startTicks) {
          if (
            judged.rule === undefined &&
            judged.names.some((program) => exception.programs.includes(program))
          )
            return true;
          if (judged.rule !== undefined && exception.rules.includes(judged.rule)) return true;
        }
        current = name.parentPid;
      }
      return false;
    },
  };
}

/** From /proc/PID/stat; the command name in parentheses may hold anything, so fields count from the last `)`. */
export function readProcStat(pid: number): ProcessName | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const parentPid = Number(fields[1]);
    const startTicks = fields[19];
    return startTicks === undefined || !Number.isInteger(parentPid)
      ? undefined
      : { pid, parentPid, startTicks };
  } catch {
    return undefined;
  }
}
