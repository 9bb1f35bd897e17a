/** What the agent's terminal showed lately, and who watches it. Bounded; knows nothing of agents. */

const backlogBytes = 256 * 1024;

export class TerminalFeed {
  #chunks: Uint8Array[] = [];
  #size = 0;
  readonly #watchers = new Set<(data: Uint8Array) => void>();

  get backlog(): Uint8Array {
    return Buffer.concat(this.#chunks);
  }

  push(data: Uint8Array): void {
    this.#chunks.push(data);
    this.#size += data.byteLength;
    while (this.#size > backlogBytes && this.#chunks.length > 1) {
      this.#size -= this.#chunks.shift()?.byteLength ?? 0;
    }
    for (const watcher of this.#watchers) watcher(data);
  }

  watch(watcher: (data: Uint8Array) => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }
}
