/** The steps that change a tree, as the tree worker takes them. Only writes frames; errors come with the end of the request. */

import {
  fileExpect,
  fileFsync,
  fileInPlace,
  PayloadWriter,
  removeExpect,
  removeFsync,
  removeOnlyEmpty,
  requestType,
  type EntryMeta,
  type Expectation,
} from './treefs-wire.ts';

type Send = (type: number, payload: Buffer) => Promise<void> | void;

export interface WriteOptions {
  /** Change the inode that is there instead of replacing it. */
  readonly inPlace?: boolean;
  readonly fsync?: boolean;
  /** What may be replaced; `'nothing'`: the name must be free. Absent: anything. */
  readonly expected?: Expectation | 'nothing';
}

export class TreeWriter {
  readonly #send: Send;

  constructor(send: Send) {
    this.#send = send;
  }

  async directory(path: string, meta: EntryMeta): Promise<void> {
    await this.#send(requestType.directory, new PayloadWriter().path(path).meta(meta).build());
  }

  async fileBegin(path: string, options: WriteOptions = {}): Promise<void> {
    const flags =
      (options.inPlace ? fileInPlace : 0) |
      (options.fsync ? fileFsync : 0) |
      (options.expected ? fileExpect : 0);
    await this.#send(
      requestType.fileBegin,
      new PayloadWriter().u32(flags).path(path).expectation(expectationOf(options)).build(),
    );
  }

  async fileData(offset: number, data: Uint8Array): Promise<void> {
    const stepBytes = 1 << 20;
    for (let at = 0; at < data.length; at += stepBytes) {
      await this.#send(
        requestType.fileData,
        new PayloadWriter()
          .u64(offset + at)
          .bytes(data.subarray(at, at + stepBytes))
          .build(),
      );
    }
  }

  async fileZero(offset: number, length: number): Promise<void> {
    await this.#send(requestType.fileZero, new PayloadWriter().u64(offset).u64(length).build());
  }

  async fileEnd(size: number, meta: EntryMeta): Promise<void> {
    await this.#send(requestType.fileEnd, new PayloadWriter().u64(size).meta(meta).build());
  }

  async symlink(path: string, target: string, meta: EntryMeta, options: WriteOptions = {}): Promise<void> {
    const flags = (options.fsync ? fileFsync : 0) | (options.expected ? fileExpect : 0);
    const payload = new PayloadWriter()
      .u32(flags)
      .path(path)
      .expectation(expectationOf(options))
      .text(target)
      .meta(meta);
    await this.#send(requestType.symlink, payload.build());
  }

  /** A FIFO, a socket's name or a whiteout, by the type bits of `meta.mode`. */
  async node(path: string, meta: EntryMeta): Promise<void> {
    await this.#send(requestType.node, new PayloadWriter().path(path).meta(meta).build());
  }

  async link(path: string, existing: string): Promise<void> {
    await this.#send(requestType.link, new PayloadWriter().path(path).path(existing).build());
  }

  /** With an expectation a single entry, otherwise whatever is there, a tree included. */
  async remove(
    path: string,
    options: { readonly expected?: Expectation; readonly onlyEmpty?: boolean; readonly fsync?: boolean } = {},
  ): Promise<void> {
    const flags =
      (options.expected ? removeExpect : 0) |
      (options.onlyEmpty ? removeOnlyEmpty : 0) |
      (options.fsync ? removeFsync : 0);
    await this.#send(
      requestType.remove,
      new PayloadWriter().u32(flags).path(path).expectation(options.expected).build(),
    );
  }

  async meta(path: string, meta: EntryMeta): Promise<void> {
    await this.#send(requestType.meta, new PayloadWriter().path(path).meta(meta).build());
  }
}

function expectationOf(options: WriteOptions): Expectation | undefined {
  return options.expected === 'nothing' ? undefined : options.expected;
}
