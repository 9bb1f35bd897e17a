/** Who may listen and who may come in: the socket file, the lock, the token, Origin and Host. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { connect, createServer as createNetServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { WebSocket } from 'ws';
import { silentLogger } from '../../../host-helper/log.ts';
import { TurntableError } from '../../../host-helper/protocol/errors.ts';
import { emptyState } from '../../../host-helper/protocol/reducer.ts';
import { sameToken } from '../../../host-helper/server/admission.ts';
import { takeProcessLock } from '../../../host-helper/server/process-lock.ts';
import { createServer, type HelperServer } from '../../../host-helper/server/server.ts';
import { fakeHandlers, RawClient, startFakeHelper, type FakeHelper } from './fake-helper.ts';

const serverOn = (
  socketPath: string,
  more: { group?: string; ownDirectory?: boolean } = {},
): Promise<HelperServer> =>
  createServer({
    socketPath,
    ...more,
    handlers: fakeHandlers(),
    initialState: emptyState('1', 1),
    logger: silentLogger,
  });

const withCode = (code: string) => (error: unknown) => error instanceof TurntableError && error.code === code;

async function temporary(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'tt-listen-'));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

describe('the Unix socket', () => {
  test('only owner and group may use it, and a directory made for it is closed to others', async () => {
    await using directory = await temporary();
    const socketPath = join(directory.path, 'made', 'helper.sock');
    await using _server = await serverOn(socketPath);
    assert.equal((await stat(socketPath)).mode & 0o777, 0o660);
    assert.equal((await stat(join(directory.path, 'made'))).mode & 0o777, 0o750);
  });

  test('a directory that was there keeps its mode, unless it is said to be ours', async () => {
    await using directory = await temporary();
    await chmod(directory.path, 0o755);
    await (await serverOn(join(directory.path, 's'))).close();
    assert.equal((await stat(directory.path)).mode & 0o777, 0o755);
    await (await serverOn(join(directory.path, 's'), { ownDirectory: true })).close();
    assert.equal((await stat(directory.path)).mode & 0o777, 0o751, 'passable as before');
    await chmod(directory.path, 0o700);
    await (await serverOn(join(directory.path, 's'), { ownDirectory: true })).close();
    assert.equal((await stat(directory.path)).mode & 0o777, 0o750);
  });

  test('the group that was asked for owns it; one that does not exist is refused', async (t) => {
    await using directory = await temporary();
    await assert.rejects(
      serverOn(join(directory.path, 's'), { group: 'no-such-group' }),
      withCode('notPermitted'),
    );
    if (process.getuid?.() !== 0) return t.skip('needs root to give a file to another group');
    const [, , id] = /^(daemon):[^:]*:(\d+)/m.exec(await readFile('/etc/group', 'utf8')) ?? [];
    await using _server = await serverOn(join(directory.path, 's'), { group: 'daemon' });
    assert.equal((await stat(join(directory.path, 's'))).gid, Number(id));
  });

  test('a second helper is told that one runs, and the first goes on', async () => {
    await using helper = await startFakeHelper();
    await assert.rejects(serverOn(helper.socketPath), withCode('helperRunning'));
    using client = await RawClient.open(helper.socketPath);
    assert.ok(await client.hello());
  });

  test('the socket of a helper that was killed is replaced', async () => {
    await using directory = await temporary();
    const socketPath = join(directory.path, 'helper.sock');
    const lock = JSON.stringify(new URL('../../../host-helper/server/process-lock.ts', import.meta.url).href);
    const dying = spawn(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `
      const { takeProcessLock } = await import(${lock});
      await takeProcessLock(${JSON.stringify(socketPath + '.lock')});
      (await import('node:net')).createServer().listen(${JSON.stringify(socketPath)}, () => console.log('listening'));
    `,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    await once(dying.stdout, 'data');
    await assert.rejects(serverOn(socketPath), withCode('helperRunning'), 'while it lives');
    dying.kill('SIGKILL');
    await once(dying, 'exit');
    assert.ok((await stat(socketPath)).isSocket(), 'its socket is still there');
    await using _server = await serverOn(socketPath);
    using client = await RawClient.open(socketPath);
    assert.ok(await client.hello());
  });

  test('a living socket without our lock is not taken away', async () => {
    await using directory = await temporary();
    const socketPath = join(directory.path, 'helper.sock');
    const foreign = createNetServer().listen(socketPath);
    await once(foreign, 'listening');
    await assert.rejects(serverOn(socketPath), withCode('helperRunning'));
    foreign.close();
  });

  test('of two helpers that start together, one waits for nothing and is refused', async () => {
    await using directory = await temporary();
    const socketPath = join(directory.path, 'helper.sock');
    // The first holds the lock and has not bound its socket yet.
    using _first = await takeProcessLock(`${socketPath}.lock`);
    await assert.rejects(serverOn(socketPath), withCode('helperRunning'));
  });

  test('what is no socket is never removed; an overlong path and a directory open to all are refused', async () => {
    await using directory = await temporary();
    const file = join(directory.path, 'file');
    await writeFile(file, 'precious');
    await assert.rejects(serverOn(file), withCode('notPermitted'));
    assert.equal(await readFile(file, 'utf8'), 'precious');
    await assert.rejects(serverOn(join(directory.path, 'x'.repeat(108))), withCode('notPermitted'));
    const open = join(directory.path, 'open');
    await mkdir(open);
    await chmod(open, 0o777);
    await assert.rejects(serverOn(join(open, 's')), withCode('notPermitted'));
  });

  test('a stopped helper leaves no socket and lets the next one in', async () => {
    await using directory = await temporary();
    const socketPath = join(directory.path, 'helper.sock');
    await (await serverOn(socketPath)).close();
    await assert.rejects(stat(socketPath), /ENOENT/);
    await (await serverOn(socketPath)).close();
  });

  test('a lock is held once, and free again after its end', async () => {
    await using directory = await temporary();
    const path = join(directory.path, 'lock');
    const lock = await takeProcessLock(path);
    await assert.rejects(takeProcessLock(path), withCode('helperRunning'));
    lock[Symbol.dispose]();
    (await takeProcessLock(path))[Symbol.dispose]();
    await assert.rejects(takeProcessLock(join(directory.path, 'none', 'lock')), withCode('notPermitted'));
  });

  test('plain HTTP is told how to come in, and a web page refused', async () => {
    await using helper = await startFakeHelper();
    const response = await httpGet({ socketPath: helper.socketPath });
    assert.equal(response, 426);
    const fromPage = new WebSocket('ws://localhost/', {
      createConnection: () => connect(helper.socketPath),
      origin: 'https://evil.example',
    });
    await assert.rejects(RawClient.over(fromPage), /403/);
  });
});

describe('loopback TCP', () => {
  const start = (allowedOrigins?: string[]): Promise<FakeHelper> =>
    startFakeHelper({ tcp: { port: 0, ...(allowedOrigins && { allowedOrigins }) } });
  const tokenOf = async (helper: FakeHelper): Promise<string> =>
    (await readFile(join(helper.directory, 'token'), 'utf8')).trim();
  const open = (helper: FakeHelper, headers: Record<string, string>): Promise<RawClient> =>
    RawClient.over(new WebSocket(`ws://127.0.0.1:${helper.server.tcpPort}/`, { headers }));

  test('the right token in the header lets a client in', async () => {
    await using helper = await start();
    using client = await open(helper, { authorization: `Bearer ${await tokenOf(helper)}` });
    assert.match(JSON.stringify(await client.hello()), /helperVersion/);
  });

  test('the token file is made for owner and group alone', async () => {
    await using helper = await start();
    assert.ok((await tokenOf(helper)).length >= 32);
    assert.equal((await stat(join(helper.directory, 'token'))).mode & 0o037, 0);
  });

  test('a wrong token, or one in the URL, does not', async () => {
    await using helper = await start();
    const token = await tokenOf(helper);
    await assert.rejects(open(helper, { authorization: `Bearer ${token}x` }), /401/);
    await assert.rejects(open(helper, { authorization: `Basic ${token}` }), /401/);
    using inUrl = await RawClient.over(
      new WebSocket(`ws://127.0.0.1:${helper.server.tcpPort}/?token=${token}`),
    );
    assert.match(JSON.stringify(await inUrl.hello()), /-?\d+.*token/i);
    await inUrl.untilClosed();
  });

  test('without the header the token must come in hello', async () => {
    await using helper = await start();
    const hello = { client: { name: 'x', version: '1' }, protocol: { minimum: 1, current: 1 } };
    using without = await open(helper, {});
    assert.match(JSON.stringify(await without.ask('hello', { ...hello, token: 'guess' }, 1)), /"code":1002/);
    assert.equal((await without.untilClosed()).code, 1008);
    using withIt = await open(helper, {});
    assert.match(
      JSON.stringify(await withIt.ask('hello', { ...hello, token: await tokenOf(helper) }, 1)),
      /helperVersion/,
    );
  });

  test('a web page is refused even with the token, unless its Origin is on the list', async () => {
    await using helper = await start(['https://allowed.example']);
    const authorization = `Bearer ${await tokenOf(helper)}`;
    await assert.rejects(open(helper, { authorization, origin: 'https://evil.example' }), /403/);
    await assert.rejects(open(helper, { authorization, origin: 'null' }), /403/);
    using client = await open(helper, { authorization, origin: 'https://allowed.example' });
    assert.ok(await client.hello());
  });

  test('a foreign Host is refused: that is DNS rebinding', async () => {
    await using helper = await start();
    const authorization = `Bearer ${await tokenOf(helper)}`;
    for (const host of [
      'evil.example',
      `evil.example:${helper.server.tcpPort}`,
      '127.0.0.1',
      '127.0.0.1:1',
    ]) {
      await assert.rejects(open(helper, { authorization, host }), /403/, host);
    }
    using client = await open(helper, { authorization, host: `localhost:${helper.server.tcpPort}` });
    assert.ok(await client.hello());
  });

  test('it listens on the loopback address alone', async () => {
    await using helper = await start();
    const table = await readFile('/proc/net/tcp', 'utf8');
    const port = (helper.server.tcpPort ?? 0).toString(16).toUpperCase().padStart(4, '0');
    const listening = table.split('\n').filter((line) => new RegExp(`:${port} 00000000:0000 0A`).test(line));
    assert.deepEqual(
      listening.map((line) => line.trim().split(/\s+/)[1]),
      [`0100007F:${port}`],
    );
  });

  test('a weak token is refused at the start, and the socket is given back', async () => {
    await using directory = await temporary();
    const tokenFile = join(directory.path, 'token');
    await writeFile(tokenFile, 'short\n');
    const socketPath = join(directory.path, 's');
    const starting = createServer({
      socketPath,
      tcp: { port: 0, tokenFile },
      handlers: fakeHandlers(),
      initialState: emptyState('1', 1),
      logger: silentLogger,
    });
    await assert.rejects(starting, withCode('unauthorized'));
    await (await serverOn(socketPath)).close();
  });

  test('tokens are compared whole', () => {
    assert.equal(sameToken('abc', 'abc'), true);
    assert.equal(sameToken('abc', 'abd'), false);
    assert.equal(sameToken('ab', 'abc'), false);
    assert.equal(sameToken('', 'abc'), false);
  });
});

async function httpGet(options: { socketPath: string }): Promise<number | undefined> {
  const sent = request({ ...options, path: '/' }).end();
  const [response] = (await once(sent, 'response')) as [import('node:http').IncomingMessage];
  response.resume();
  return response.statusCode;
}
