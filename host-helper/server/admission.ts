/**
 * Who may open a WebSocket at all: the checks on the HTTP upgrade, before any frame. Unix sockets are guarded by file
 * permissions; loopback TCP by a token, and against web pages by Origin and Host. Must not know frames.
 */

import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { chmod, chown, open, readFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { TurntableError } from '../protocol/errors.ts';

/** How a connection came in. */
export type Transport = { kind: 'unix' } | { kind: 'tcp'; port: number; token: string };

export type Admission =
  | { admitted: true; /** The token must still come in `hello`. */ tokenDue: boolean }
  | { admitted: false; status: 401 | 403; reason: string };

/**
 * Browsers always send Origin with a WebSocket and scripts cannot leave it out; our clients never send it. So any
 * Origin that is not on the list is a web page at work. Host is checked too: DNS rebinding makes a foreign name
 * resolve to 127.0.0.1, but cannot change the name that the browser sends.
 */
export function admit(
  request: IncomingMessage,
  transport: Transport,
  allowedOrigins: readonly string[],
): Admission {
  const origin = request.headers.origin;
  if (origin !== undefined && !allowedOrigins.includes(origin)) {
    return { admitted: false, status: 403, reason: 'Web pages may not connect: this Origin is not allowed.' };
  }
  if (transport.kind === 'unix') return { admitted: true, tokenDue: false };
  if (!isLoopbackHost(request.headers.host, transport.port)) {
    return {
      admitted: false,
      status: 403,
      reason: 'Connect to 127.0.0.1 or localhost: this Host is not allowed.',
    };
  }
  const authorization = request.headers.authorization;
  if (authorization === undefined) return { admitted: true, tokenDue: true };
  const token = /^Bearer (.+)$/i.exec(authorization)?.[1];
  if (token === undefined || !sameToken(token, transport.token)) {
    return {
      admitted: false,
      status: 401,
      reason: "Wrong token: read it again from the helper's token file.",
    };
  }
  return { admitted: true, tokenDue: false };
}

/** Compares in constant time, whatever the lengths. */
export function sameToken(offered: string, expected: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(offered), digest(expected));
}

const tokenMinimumChars = 32;

/** Reads the token, or makes one (mode 0640, `groupId` may read it). Throws `unauthorized` for a weak token. */
export async function ensureToken(tokenFile: string, groupId: number | undefined): Promise<string> {
  try {
    const file = await open(tokenFile, 'wx', 0o600);
    try {
      const token = randomBytes(32).toString('base64url');
      await file.writeFile(token + '\n');
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
  if (groupId !== undefined) await chown(tokenFile, process.getuid?.() ?? -1, groupId);
  await chmod(tokenFile, groupId === undefined ? 0o600 : 0o640);
  const token = (await readFile(tokenFile, 'utf8')).trim();
  if (token.length < tokenMinimumChars) {
    throw new TurntableError(
      'unauthorized',
      `The token in ${tokenFile} is shorter than ${tokenMinimumChars} characters: remove the file, and the helper makes a new one.`,
    );
  }
  return token;
}

function isLoopbackHost(host: string | undefined, port: number): boolean {
  return ['127.0.0.1', 'localhost', '[::1]'].some((name) => host === `${name}:${port}`);
}
