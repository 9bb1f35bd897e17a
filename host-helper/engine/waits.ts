/**
 * What the engine remembers for its statistics: how long jobs waited, ran and what they wrote, in all and for each sandbox.
 * Bounded; numbers only.
 */

const rememberedWaits = 512;
const rememberedSandboxes = 128;

export interface Waits {
  /** Milliseconds, over the last jobs; 0 before the first. */
  readonly p50: number;
  readonly p95: number;
  readonly max: number;
}

export interface SandboxStats {
  readonly sandboxId: string;
  /** Jobs that wait now. */
  readonly queued: number;
  /** Jobs that have begun so far. */
  readonly started: number;
  readonly bytes: number;
  readonly busyMs: number;
  readonly waitMs: Waits;
}

class Record {
  started = 0;
  bytes = 0;
  busyMs = 0;
  readonly #waits: number[] = [];

  began(waitedMs: number): void {
    this.#waits[this.started % rememberedWaits] = waitedMs;
    this.started += 1;
  }

  ended(tookMs: number, bytes: number): void {
    this.busyMs += tookMs;
    this.bytes += bytes;
  }

  get waits(): Waits {
    const sorted = [...this.#waits].sort((left, right) => left - right);
    const at = (share: number): number => sorted[Math.ceil(share * sorted.length) - 1] ?? 0;
    return { p50: at(0.5), p95: at(0.95), max: at(1) };
  }
}

export class WaitLog {
  readonly #all = new Record();
  /** In the order of their last job. */
  readonly #sandboxes = new Map<string, Record>();

  began(sandboxId: string, waitedMs: number): void {
    const record = this.#sandboxes.get(sandboxId) ?? new Record();
    this.#sandboxes.delete(sandboxId);
    this.#sandboxes.set(sandboxId, record);
    const [oldest] = this.#sandboxes.keys();
    if (this.#sandboxes.size > rememberedSandboxes && oldest !== undefined) this.#sandboxes.delete(oldest);
    for (const each of [this.#all, record]) each.began(waitedMs);
  }

  ended(sandboxId: string, tookMs: number, bytes: number): void {
    for (const each of [this.#all, this.#sandboxes.get(sandboxId)]) each?.ended(tookMs, bytes);
  }

  get started(): number {
    return this.#all.started;
  }

  get bytes(): number {
    return this.#all.bytes;
  }

  get waits(): Waits {
    return this.#all.waits;
  }

  sandboxes(queuedOf: (sandboxId: string) => number): SandboxStats[] {
    return [...this.#sandboxes].map(([sandboxId, record]) => ({
      sandboxId,
      queued: queuedOf(sandboxId),
      started: record.started,
      bytes: record.bytes,
      busyMs: record.busyMs,
      waitMs: record.waits,
    }));
  }
}
