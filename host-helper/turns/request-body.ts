/**
 * Makes text of a request body's copy, undoing the encodings that agents use. The bytes that travel on are never these.
 */

import { brotliDecompressSync, gunzipSync, inflateSync, zstdDecompressSync } from 'node:zlib';

export class RequestTooLarge extends Error {
  override readonly name = 'RequestTooLarge';

  constructor(maxBytes: number) {
    super(
      `The request is larger than ${maxBytes} bytes. Start a new conversation or let the agent compact this one.`,
    );
  }
}

/** Throws when the encoding is unknown, broken, or expands beyond `maxBytes`. */
export function decodeRequestBody(body: Buffer, encoding: string | undefined, maxBytes: number): string {
  const limit = { maxOutputLength: maxBytes };
  const name = encoding?.trim().toLowerCase() ?? 'identity';
  switch (name) {
    case 'identity':
      return body.toString('utf8');
    case 'gzip':
      return gunzipSync(body, limit).toString('utf8');
    case 'deflate':
      return inflateSync(body, limit).toString('utf8');
    case 'br':
      return brotliDecompressSync(body, limit).toString('utf8');
    case 'zstd':
      return zstdDecompressSync(body, limit).toString('utf8');
    default:
      throw new Error(`unknown content-encoding ${name}`);
  }
}
