/** The OCI backend on the real thing: runc, overlays, CRIU. Needs root; says so loudly where it cannot run. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, lstat, mkdir, readdir, readFile, rm, rmdir, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { silentLogger, type Logger } from '../../host-helper/log.ts';
import { ownerOf } from '../../host-helper/sandbox/oci/layout.ts';
import { waitForCommands } from '../../host-helper/sandbox/oci/left-running.ts';
import type { Sandbox } from '../../host-helper/sandbox/sandbox.ts';
import { findCriu, leftovers, missing, setStage, sh, until } from './sandbox-oci-fixture.ts';

const timeout = 120_000;
const why = missing();
const node = '/usr/bin/node';

function run(name: string, body: (t: TestContext) => Promise<void>, needs: 'criu' | 'none' = 'none'): void {
  test(name, { timeout }, async (t) => {
    if (why !== undefined) return t.skip(why);
    if (needs === 'criu' && findCriu() === undefined) return t.skip('no working CRIU on this host');
    await body(t);
  });
}

/** A server outside that keeps no test process alive. */
function listener(onSocket: (socket: Socket) => void): Server {
  return createServer({ allowHalfOpen: true }, onSocket).unref();
}

/** Major and minor number of the device that a file is on. */
function deviceOf(status: { dev: number }): { major: string; minor: string } {
  return {
    major: String((status.dev >> 8) & 0xfff),
    minor: String((status.dev & 0xff) | ((status.dev >> 12) & 0xfff00)),
  };
}

/** Copies all changes of one sandbox into another that has not run, as the store does for a branch. */
async function copyRoots(from: Sandbox, to: Sandbox): Promise<void> {
  for (const root of from.roots) {
    const target = to.roots.find((candidate) => candidate.name === root.name);
    assert.ok(target);
    execFileSync('cp', ['-a', `${root.upper}/.`, `${target.upper}/`]);
  }
}

run('changes land in the uppers and never on the host', async () => {
  await using stage = await setStage();
  const sandbox = await stage.backend.create(stage.spec());
  assert.equal(sandbox.state, 'created');
  const reserved = await sandbox.reserveCgroup();
  await sandbox.start();
  assert.deepEqual(sandbox.cgroup, reserved, 'what was reserved is what it runs in');
  assert.equal(sandbox.state, 'running');
  const marker = `marker-${sandbox.id}`;
  const { code, output } = await sh(
    sandbox,
    `set -e; cat readme.txt; for d in . /usr/local /etc /var/lib /home/agent /tmp /run; do echo x > "$d/${marker}"; done
     mv src lib; rm readme.txt; [ ! -d /opt ] || echo x > /opt/${marker}`,
    stage.workspace,
  );
  assert.equal(output, 'as it was\n');
  assert.equal(code, 0);
  for (const directory of [stage.workspace, '/usr/local', '/etc', '/var/lib', '/tmp', '/run', '/opt']) {
    assert.equal(existsSync(join(directory, marker)), false, directory);
  }
  assert.deepEqual((await readdir(stage.workspace)).sort(), ['.env', 'readme.txt', 'src']);
  const upperOf = (name: string): string => {
    const root = sandbox.roots.find((candidate) => candidate.name === name);
    assert.ok(root);
    return root.upper;
  };
  assert.equal(existsSync(join(upperOf('workspace'), marker)), true);
  assert.equal(existsSync(join(upperOf('usr'), 'local', marker)), true);
  assert.equal(existsSync(join(upperOf('home'), marker)), true);
  assert.equal(existsSync(join(upperOf('rootfs'), 'tmp', marker)), true);
  assert.equal((await lstat(join(upperOf('workspace'), 'readme.txt'))).isCharacterDevice(), true);
  const merged = sandbox.roots.find((root) => root.name === 'workspace')?.merged ?? '';
  assert.deepEqual((await readdir(merged)).sort(), ['.env', 'lib', marker].sort());
  assert.equal((await stat(sandbox.cgroup.path, { bigint: true })).ino, sandbox.cgroup.id);
  await sandbox.destroy();
});

run('root inside can neither change the host nor look beyond the tracked roots', async () => {
  await using stage = await setStage();
  const outside = join(stage.stateDirectory, '..', 'outside');
  await mkdir(outside);
  await writeFile(join(outside, 'secret.txt'), 'secret');
  const spec = stage.spec({ readOnlyMounts: [{ source: outside, target: '/agents/product' }] });
  const sandbox = await stage.backend.create(spec);
  await sandbox.start();
  const check = async (when: string): Promise<void> => {
    // Devices that a host might leave behind in a root must not open either: the device group decides, not the file.
    const rootfs = sandbox.roots.find((root) => root.name === 'rootfs');
    assert.ok(rootfs);
    await rm(join(rootfs.upper, 'tmp/disk'), { force: true });
    const disk = deviceOf(await stat('/'));
    execFileSync('mknod', [join(rootfs.upper, 'tmp/disk'), 'b', disk.major, disk.minor]);
    // Needs no capability to open, so only the device group can stop it.
    const fuse = /(\d+) (?:fuse|loop-control)/.exec(await readFile('/proc/misc', 'utf8'))?.[1];
    assert.ok(fuse, 'this host has a device to try');
    await rm(join(rootfs.upper, 'tmp/misc'), { force: true });
    execFileSync('mknod', [join(rootfs.upper, 'tmp/misc'), 'c', '10', fuse]);
    // Opening for writing is attempt enough: a sandbox that leaks must not damage the machine it is tested on.
    const attempts = [
      ': >> /proc/sys/kernel/core_pattern',
      ': >> /proc/sys/net/ipv4/ip_forward',
      ': >> /proc/sysrq-trigger',
      ': >> /proc/irq/default_smp_affinity',
      ': >> /sys/kernel/uevent_helper',
      'mount -t tmpfs none /mnt',
      'mount -o remount,rw /proc/sys',
      'umount /proc/sys',
      'mknod /tmp/node b 254 0',
      'mknod /dev/node c 1 1',
      'dd if=/tmp/disk of=/dev/null count=1',
      'dd if=/tmp/misc of=/dev/null count=0',
      'chroot / /bin/true',
      'unshare -U /bin/true',
      'unshare -m /bin/true',
      'unshare -n /bin/true',
      'nsenter -t 1 -m /bin/true',
      'dmesg',
      'hostname other',
      `cat '${outside}/secret.txt'`,
      `cat '${stage.stateDirectory}/runc/x' || ls '${stage.stateDirectory}'`,
      'ls /root/.ssh',
      'grep -q "root:[^*!]" /etc/shadow',
      'ls /etc/ssh | grep -q key',
      'test -s /proc/keys',
      'test -s /proc/kallsyms',
      'echo x > /agents/product/new',
      'cat .env | grep SECRET',
      'echo x > .env',
      'mv .env env',
      'readlink /proc/1/fd/3',
      'head -c 1 /proc/1/mem',
      'cat /proc/1/environ | grep -q PATH',
      'ip link set lo down',
    ];
    const script = attempts
      .map((attempt, index) => `( ${attempt} ) >/dev/null 2>&1 && echo "${index} succeeded"`)
      .join('\n');
    const { output } = await sh(sandbox, `${script}\ntrue`, stage.workspace);
    const succeeded = [...output.matchAll(/(\d+) succeeded/g)].map((match) => attempts[Number(match[1])]);
    assert.deepEqual(succeeded, [], when);
    const status = await sh(
      sandbox,
      'cat /agents/product/secret.txt; grep -E "NoNewPrivs|Seccomp:" /proc/self/status',
    );
    assert.match(status.output, /^secret/);
    assert.match(status.output, /NoNewPrivs:\s+1/);
    assert.match(status.output, /Seccomp:\s+2/);
  };
  await check('when started');
  if (findCriu() !== undefined) {
    const images = join(stage.stateDirectory, 'images');
    await sandbox.dump(images, async () => {});
    await check('after a dump');
    await sandbox.stop();
    await sandbox.restore(images);
    await check('when restored');
  }
  assert.equal(await readFile(join(stage.workspace, '.env'), 'utf8'), 'SECRET=1\n');
  await sandbox.destroy();
});

run('a person can install software inside', async () => {
  await using stage = await setStage();
  const sandbox = await stage.backend.create(stage.spec());
  await sandbox.start();
  const { output, code } = await sh(
    sandbox,
    `set -e; mkdir -p /tmp/p/DEBIAN /tmp/p/usr/bin; echo '#!/bin/sh' > /tmp/p/usr/bin/tt-hello; chmod 755 /tmp/p/usr/bin/tt-hello
     printf 'Package: tt-hello\\nVersion: 1\\nArchitecture: all\\nMaintainer: x <x@x>\\nDescription: x\\n' > /tmp/p/DEBIAN/control
     dpkg-deb -b /tmp/p /tmp/p.deb; dpkg -i /tmp/p.deb; tt-hello; useradd -m somebody; id somebody; git init -q . ; git status --short | head -1`,
    stage.workspace,
  );
  assert.equal(code, 0, output);
  assert.equal(existsSync('/usr/bin/tt-hello'), false);
  await sandbox.destroy();
});

run('limits hold: memory and number of processes', async () => {
  await using stage = await setStage();
  const sandbox = await stage.backend.create(stage.spec({ memoryBytes: 64 << 20, maxProcesses: 24 }));
  await sandbox.start();
  const check = async (): Promise<void> => {
    const memory = await sh(sandbox, 'head -c 300000000 /dev/zero | tail -c 299999999 | wc -c');
    assert.notEqual(memory.output.trim(), '299999999');
    const forks = await sh(
      sandbox,
      'i=0; while [ $i -lt 60 ]; do sleep 30 & i=$((i+1)); done 2>&1; kill $(jobs -p) 2>/dev/null',
    );
    assert.match(forks.output, /fork|Resource temporarily/i);
  };
  await check();
  if (findCriu() !== undefined) {
    const images = join(stage.stateDirectory, 'images');
    await sandbox.dump(images, async () => {});
    await sandbox.stop();
    await sandbox.restore(images);
    await check();
  }
  await sandbox.destroy();
});

run('pipes carry stdin, both outputs and the exit code; kill reaches the whole group', async () => {
  await using stage = await setStage();
  const sandbox = await stage.backend.create(stage.spec());
  await sandbox.start();
  const big = Buffer.alloc(3 << 20, 'x');
  const cat = await sandbox.spawn({
    ...{ argv: ['cat'], cwd: '/', env: { PATH: '/usr/bin' }, terminal: undefined, stdin: big },
  });
  let bytes = 0;
  cat.onOutput((_stream, data) => (bytes += data.byteLength));
  assert.equal(await cat.exited, 0);
  assert.equal(bytes, big.byteLength);

  const streams = { stdout: '', stderr: '' };
  const both = await sandbox.spawn({
    argv: ['/bin/sh', '-c', 'echo out; echo err >&2; exit 3'],
    ...{ cwd: stage.workspace, env: {}, terminal: undefined, stdin: undefined },
  });
  both.onOutput((stream, data) => (streams[stream] += Buffer.from(data).toString()));
  assert.equal(await both.exited, 3);
  assert.deepEqual(streams, { stdout: 'out\n', stderr: 'err\n' });

  const group = await sandbox.spawn({
    argv: ['/bin/sh', '-c', 'sleep 1000 & sleep 1000'],
    ...{ cwd: '/', env: { PATH: '/usr/bin' }, terminal: undefined, stdin: undefined },
  });
  group.kill('SIGTERM');
  assert.equal(await group.exited, 128 + 15);
  const { output } = await sh(sandbox, 'pgrep sleep || echo none');
  assert.equal(output, 'none\n');
  await assert.rejects(
    sandbox.spawn({ argv: ['/no/such'], cwd: '/', env: {}, terminal: undefined, stdin: undefined }),
    /Cannot run \/no\/such.*ENOENT/,
  );
  await assert.rejects(
    sandbox.spawn({ argv: ['true'], cwd: '/no/such', env: {}, terminal: undefined, stdin: undefined }),
    /Cannot enter \/no\/such/,
  );
  await sandbox.destroy();
});

run(
  'a shell and a server survive a dump into a branch, and the original goes on',
  async () => {
    await using stage = await setStage();
    const original = await stage.backend.create(stage.spec());
    await original.start();
    const shell = await original.spawn({
      argv: ['/bin/bash', '--norc'],
      cwd: stage.workspace,
      env: { PATH: '/usr/bin', PS1: '> ' },
      terminal: { columns: 91, rows: 33 },
      stdin: undefined,
    });
    let screen = '';
    shell.onOutput((_stream, data) => (screen += Buffer.from(data).toString()));
    shell.write(Buffer.from('kept=yes-it-is; cd src; echo set-$((40+2))\n'));
    await until(() => screen.includes('set-42'));
    const script = `
      let n = 0;
      require('http').createServer((q, r) => r.end(String(++n))).listen(8123, '127.0.0.1', () => console.log('up'));
      const net = require('net');
      net.createServer((s) => s.pipe(s)).listen(8124, '127.0.0.1', () => {
        const c = net.connect(8124, '127.0.0.1');
        let got = 0; c.on('data', () => got++); c.on('close', () => console.log('inner closed'));
        require('http').createServer((q, r) => { c.write('x'); setTimeout(() => r.end('inner ' + (got > 0)), 50); }).listen(8125, '127.0.0.1', () => console.log('ready'));
      });`;
    const server = await original.spawn({
      argv: [node, '-e', script],
      ...{ cwd: '/', env: { HOME: '/home/agent' }, terminal: undefined, stdin: undefined },
    });
    let log = '';
    server.onOutput((_stream, data) => (log += Buffer.from(data).toString()));
    await until(() => log.includes('ready'));
    const get = (port: number): string =>
      `${node} -e "require('http').get('http://127.0.0.1:${port}', (r) => r.pipe(process.stdout))"`;
    assert.equal((await sh(original, get(8123))).output, '1');

    const images = join(stage.stateDirectory, 'images');
    const branch = await stage.backend.create(stage.spec());
    let frozen = false;
    const result = await original.dump(images, async () => {
      frozen = true;
      await copyRoots(original, branch);
    });
    assert.equal(frozen, true);
    assert.ok(result.imageBytes > 100_000);

    const reserved = await branch.reserveCgroup();
    await branch.restore(images);
    assert.deepEqual(branch.cgroup, reserved);
    assert.deepEqual(
      branch.children.map((child) => child.tag).sort(),
      original.children.map((child) => child.tag).sort(),
    );
    const restoredShell = branch.children.find((child) => child.tag === shell.tag);
    assert.equal(restoredShell?.terminal, true);
    let restoredScreen = '';
    restoredShell.onOutput((_stream, data) => (restoredScreen += Buffer.from(data).toString()));
    restoredShell.write(
      Buffer.from('echo "$kept $(pwd) $(stty size)"; echo branch > only-here; echo d\'\'one\n'),
    );
    await until(() => restoredScreen.includes('done\r\n'));
    assert.ok(restoredScreen.includes(`yes-it-is ${stage.workspace}/src 33 91`), restoredScreen);
    restoredShell.resize(100, 40);
    restoredShell.write(Buffer.from('stty size; exit 5\n'));
    assert.equal(await restoredShell.exited, 5);
    assert.match(restoredScreen, /40 100/);

    assert.equal((await sh(branch, get(8123))).output, '2');
    assert.equal((await sh(branch, get(8125))).output, 'inner true', 'connections inside survive');
    assert.equal((await sh(original, get(8123))).output, '2');
    assert.equal((await sh(original, get(8125))).output, 'inner true');
    shell.write(Buffer.from('echo "$kept"-still; ls; echo e\'\'nd\n'));
    await until(() => screen.includes('end\r\n'));
    assert.match(screen, /yes-it-is-still/);
    assert.doesNotMatch(screen, /only-here/);
    assert.doesNotMatch(log, /inner closed/);

    // A branch of the branch, after the first is gone.
    const images2 = join(stage.stateDirectory, 'images2');
    const second = await stage.backend.create(stage.spec());
    await branch.dump(images2, async () => copyRoots(branch, second));
    await branch.destroy();
    await second.restore(images2);
    assert.equal((await sh(second, get(8123))).output, '3');
    await second.destroy();
    await original.destroy();
  },
  'criu',
);

run(
  'a file that only a descriptor still names, beside another link, comes back in a branch',
  async () => {
    await using stage = await setStage();
    const sandbox = await stage.backend.create(stage.spec());
    await sandbox.start();
    const child = await sandbox.spawn({
      argv: [
        '/bin/bash',
        '-c',
        'echo kept > one; ln one two; exec 5<>one; rm one; echo unlinked > three; exec 6<>three; rm three; echo ok; read; cat <&5; cat <&6',
      ],
      ...{ cwd: stage.workspace, env: { PATH: '/usr/bin' }, terminal: undefined, stdin: undefined },
    });
    let text = '';
    child.onOutput((_stream, data) => (text += Buffer.from(data).toString()));
    await until(() => text.includes('ok'));
    const images = join(stage.stateDirectory, 'images');
    const branch = await stage.backend.create(stage.spec());
    await sandbox.dump(images, async () => copyRoots(sandbox, branch));
    await branch.restore(images);
    const again = branch.children.find((candidate) => candidate.tag === child.tag);
    assert.ok(again);
    let output = '';
    again.onOutput((_stream, data) => (output += Buffer.from(data).toString()));
    again.write(Buffer.from('\n'));
    assert.equal(await again.exited, 0);
    assert.equal(output, 'kept\nunlinked\n');
    const { output: names } = await sh(branch, 'ls', stage.workspace);
    assert.deepEqual(names.trim().split('\n').sort(), ['readme.txt', 'src', 'two']);
    // A capture that fails ends the dump, and the sandbox runs on.
    await assert.rejects(
      sandbox.dump(join(stage.stateDirectory, 'images2'), async () => Promise.reject(new Error('disk full'))),
      /disk full/,
    );
    child.write(Buffer.from('\n'));
    assert.equal(await child.exited, 0);
    await branch.destroy();
    await sandbox.destroy();
  },
  'criu',
);

run(
  'what a program said and how it ended while nobody was attached is told after a dump',
  async () => {
    await using stage = await setStage();
    const sandbox = await stage.backend.create(stage.spec());
    await sandbox.start();
    const child = await sandbox.spawn({
      argv: ['/bin/sh', '-c', 'read line; echo "got $line"; sleep 0.3; echo late; exit 9'],
      ...{ cwd: '/', env: { PATH: '/usr/bin' }, terminal: undefined, stdin: undefined },
    });
    let text = '';
    child.onOutput((_stream, data) => (text += Buffer.from(data).toString()));
    const images = join(stage.stateDirectory, 'images');
    await sandbox.dump(images, async () => {
      child.write(Buffer.from('during the dump\n'));
    });
    assert.equal(await child.exited, 9);
    assert.equal(text, 'got during the dump\nlate\n');
    await sandbox.destroy();
  },
  'criu',
);

run(
  'processes that are stopped are dumped, stay stopped, come back stopped, and go on when they are told to',
  async () => {
    await using stage = await setStage();
    const sandbox = await stage.backend.create(stage.spec());
    const images = join(stage.stateDirectory, 'images');
    const statesOf = async (change = ''): Promise<string> =>
      (
        await sh(
          sandbox,
          `${change} for i in $(cat /tmp/pids); do cut -d" " -f3 /proc/$i/stat; done; cat /tmp/went-on`,
        )
      ).output;
    const threads = `${node} -e 'setInterval(() => {}, 1000)' >/dev/null 2>&1 & echo $!`;
    // Its handler tells whether it was ever continued.
    const handler = `perl -e '$|=1; $SIG{CONT}=sub{print "continued\\n"}; sleep 9 while 1' >/tmp/went-on & echo $!`;
    await sandbox.start();
    await sh(
      sandbox,
      `(sleep 1000 & echo $!; ${threads}; ${handler}) >/tmp/pids; sleep 0.5; kill -STOP $(cat /tmp/pids); sleep 0.1`,
    );
    assert.equal(await statesOf(), 'T\nT\nT\n');
    for (let time = 0; time < 2; time++) {
      await rm(images, { recursive: true, force: true });
      await sandbox.dump(images, async () => {});
      assert.equal(await statesOf(), 'T\nT\nT\n');
    }
    await sandbox.stop();
    await sandbox.restore(images);
    assert.equal(await statesOf(), 'T\nT\nT\n');
    assert.equal(await statesOf('kill -CONT $(cat /tmp/pids); sleep 0.2;'), 'S\nS\nS\ncontinued\n');
    await sandbox.destroy();
  },
  'criu',
);

run(
  'a process that somebody outside stops in the middle of a dump does not hold it up',
  async () => {
    await using stage = await setStage();
    const sandbox = await stage.backend.create(stage.spec());
    const images = join(stage.stateDirectory, 'images');
    await sandbox.start();
    await sh(sandbox, 'sleep 1000 >/dev/null 2>&1 & echo $! >/tmp/pid');
    const children = `/proc/${sandbox.supervisorPid}/task/${sandbox.supervisorPid}/children`;
    const pid = Number((await readFile(children, 'utf8')).trim());
    for (const afterMs of [0, 5, 10, 20, 40, 80]) {
      await rm(images, { recursive: true, force: true });
      const dumped = sandbox.dump(images, async () => {}).then(() => 'dumped', String);
      await sleep(afterMs);
      process.kill(pid, 'SIGSTOP');
      // It may reach CRIU in the middle of its work, which then says so.
      assert.match(await dumped, /^dumped$|runs on/);
      assert.equal((await sh(sandbox, 'kill -0 $(cat /tmp/pid) && echo lives')).output, 'lives\n');
      process.kill(pid, 'SIGCONT');
    }
    await sandbox.destroy();
  },
  'criu',
);

run(
  'a dump that cannot be taken says why and leaves the sandbox running',
  async () => {
    await using stage = await setStage();
    const sandbox = await stage.backend.create(stage.spec());
    await sandbox.start();
    // A connection to a unix socket of the host cannot be dumped.
    const rootfs = sandbox.roots.find((root) => root.name === 'rootfs');
    assert.ok(rootfs);
    listener(() => {}).listen(join(rootfs.upper, 'tmp/s.sock'));
    const child = await sandbox.spawn({
      argv: [node, '-e', `require('net').connect('/tmp/s.sock', () => console.log('connected'))`],
      ...{ cwd: '/', env: {}, terminal: undefined, stdin: undefined },
    });
    let text = '';
    child.onOutput((_stream, data) => (text += Buffer.from(data).toString()));
    await until(() => text.includes('connected'));
    await assert.rejects(
      sandbox.dump(join(stage.stateDirectory, 'images'), async () => {}),
      (error) => {
        assert.ok(error instanceof Error && 'code' in error);
        assert.equal(error.code, 'checkpointFailed');
        assert.match(error.message, /unix|socket/i);
        return true;
      },
    );
    assert.equal((await sh(sandbox, 'echo alive')).output, 'alive\n');
    await sandbox.destroy();
  },
  'criu',
);

run('doors are the only way out, stream both ways, and a restore tells their users at once', async (t) => {
  await using stage = await setStage();
  await mkdir(stage.stateDirectory, { recursive: true });
  const socketPath = join(stage.stateDirectory, 'door.sock');
  let connections = 0;
  listener((socket) => {
    connections++;
    socket.on('error', () => {});
    socket.write('hello ');
    socket.on('data', (data) => socket.write(data));
    socket.on('end', () => socket.end(' bye'));
  }).listen(socketPath);
  const sandbox = await stage.backend.create(stage.spec({ doors: [{ port: 7001, socketPath }] }));
  await sandbox.start();
  const big = 5_000_000;
  const client = `
    const c = require('net').connect({ port: 7001, host: '127.0.0.1', allowHalfOpen: true });
    let n = 0; c.on('data', (d) => n += d.length); c.on('end', () => console.log('total', n)); c.end(Buffer.alloc(${big}, 'y'));`;
  const { output } = await sh(sandbox, `${node} -e "${client}"`);
  assert.equal(output, `total ${big + 'hello '.length + ' bye'.length}\n`);
  const out = await sh(
    sandbox,
    `${node} -e "require('net').connect(80, '1.1.1.1').on('error', (e) => console.log(e.code))"`,
  );
  assert.match(out.output, /ENETUNREACH/);

  if (findCriu() === undefined) {
    t.diagnostic('no working CRIU: the restore was not tried');
  } else {
    const waiting = await sandbox.spawn({
      argv: [
        node,
        '-e',
        `const c = require('net').connect(7001, '127.0.0.1'); c.on('data', (d) => console.log('data ' + d)); c.on('error', (e) => console.log('error', e.code)); c.on('close', () => console.log('closed')); setInterval(() => {}, 1000)`,
      ],
      ...{ cwd: '/', env: {}, terminal: undefined, stdin: undefined },
    });
    let text = '';
    waiting.onOutput((_stream, data) => (text += Buffer.from(data).toString()));
    await until(() => text.includes('data hello'));
    const before = connections;
    const images = join(stage.stateDirectory, 'images');
    await sandbox.dump(images, async () => {});
    assert.equal((await sh(sandbox, 'echo on')).output, 'on\n');
    assert.doesNotMatch(text, /closed/, 'the original keeps its connection');
    await sandbox.stop();
    await sandbox.restore(images);
    const again = sandbox.children.find((child) => child.tag === waiting.tag);
    assert.ok(again);
    let after = '';
    again.onOutput((_stream, data) => (after += Buffer.from(data).toString()));
    await until(() => after.includes('closed'));
    const { output: fresh } = await sh(sandbox, `${node} -e "${client}"`);
    assert.match(fresh, /^total/);
    assert.equal(connections, before + 1);
  }
  await sandbox.destroy();
});

run(
  'with a listener every exec waits for it, also after a dump; a restore stays shut until it is guarded again',
  async (t) => {
    await using stage = await setStage();
    await mkdir(stage.stateDirectory, { recursive: true });
    const program = join(stage.stateDirectory, 'listener');
    const source = join(import.meta.dirname, 'sandbox-oci-listener.c');
    const built = spawnSync('cc', ['-O1', '-o', program, source], { encoding: 'utf8' });
    if (built.status !== 0) return t.skip(`no C compiler: ${built.error?.message ?? built.stderr}`);
    const seccompListenerPath = join(stage.stateDirectory, 'listener.sock');
    const guard = spawn(program, [seccompListenerPath], { stdio: ['ignore', 'pipe', 'inherit'] });
    let heard = '';
    guard.stdout.on('data', (data: Buffer) => (heard += data.toString()));
    try {
      await until(() => heard.includes('listening'));
      const sandbox = await stage.backend.create(stage.spec({ seccompListenerPath }));
      await sandbox.start();
      const script =
        'cp /bin/true /tmp/forbidden; /tmp/forbidden 2>/dev/null || echo refused; /bin/echo fine';
      assert.match((await sh(sandbox, script)).output, /refused\nfine\n$/);
      assert.match(heard, /exec \/run\/turntable\/supervisor\n[^]*exec \/tmp\/forbidden\nexec \/bin\/echo/);
      if (findCriu() === undefined) return t.diagnostic('no working CRIU: the restore was not tried');
      const images = join(stage.stateDirectory, 'images');
      await sandbox.dump(images, async () => {});
      assert.match((await sh(sandbox, script)).output, /refused\nfine\n$/);
      await sandbox.stop();
      await sandbox.restore(images);
      await assert.rejects(sh(sandbox, 'echo open'), /ENOSYS/);
      await sandbox.destroy();
    } finally {
      guard.kill('SIGKILL');
    }
  },
);

run('freeze stops everything and thaw lets it go on', async () => {
  await using stage = await setStage();
  const sandbox = await stage.backend.create(stage.spec());
  await sandbox.start();
  const child = await sandbox.spawn({
    argv: ['/bin/sh', '-c', 'while :; do echo tick; sleep 0.01; done'],
    ...{ cwd: '/', env: { PATH: '/usr/bin' }, terminal: undefined, stdin: undefined },
  });
  let ticks = 0;
  child.onOutput(() => ticks++);
  await until(() => ticks > 2);
  await sandbox.freeze();
  const runs = async (): Promise<string> => readFile(`/proc/${sandbox.supervisorPid}/schedstat`, 'utf8');
  const before = await runs();
  await new Promise((done) => setTimeout(done, 100));
  assert.equal(await runs(), before);
  await assert.rejects(sandbox.freeze(), /frozen/);
  await sandbox.thaw();
  const seen = ticks;
  await until(() => ticks > seen + 2);
  await sandbox.destroy();
});

run(
  'a stopped sandbox starts again with its changes, even while a shell on the host sits in its folder',
  async () => {
    await using stage = await setStage();
    const sandbox = await stage.backend.create(stage.spec());
    await sandbox.start();
    await sh(sandbox, 'echo one > new.txt; rm src/a.txt', stage.workspace);
    const rootOf = (): { upper: string; merged: string } => {
      const root = sandbox.roots.find((candidate) => candidate.name === 'workspace');
      assert.ok(root);
      return root;
    };
    const { merged, upper } = rootOf();
    const holder = spawn('sleep', ['1000'], { cwd: join(merged, 'src'), stdio: 'ignore' });
    try {
      await sandbox.stop();
      assert.equal(sandbox.state, 'stopped');
      assert.deepEqual(await readdir(merged), []);
      await sandbox.prepareUppers();
      assert.notEqual(rootOf().upper, upper);
      assert.equal(rootOf().merged, merged);
      await writeFile(join(rootOf().upper, 'from-store.txt'), 'restored\n');
      await sandbox.mount();
      assert.equal(await readFile(join(merged, 'new.txt'), 'utf8'), 'one\n');
      await sandbox.start();
      const { output } = await sh(sandbox, 'cat new.txt from-store.txt; ls src | wc -l', stage.workspace);
      assert.equal(output, 'one\nrestored\n0\n');
      // Without preparing: the mount finds its own way around the holder.
      const second = spawn('sleep', ['1000'], { cwd: merged, stdio: 'ignore' });
      await sandbox.stop();
      await sandbox.start();
      assert.equal((await sh(sandbox, 'cat new.txt', stage.workspace)).output, 'one\n');
      second.kill('SIGKILL');
    } finally {
      holder.kill('SIGKILL');
    }
    await sandbox.destroy();
    assert.equal(existsSync(sandbox.roots[0]?.merged ?? ''), false);
  },
);

for (const where of ['freeze', 'dump'] as const) {
  run(
    `after a helper died in the middle of a ${where}, another adopts the running sandbox, and later the stopped one`,
    async () => {
      await using stage = await setStage();
      await mkdir(stage.stateDirectory, { recursive: true });
      const socketPath = join(stage.stateDirectory, 'door.sock');
      listener((socket) => socket.end('door')).listen(socketPath);
      const spec = stage.spec({ doors: [{ port: 7002, socketPath }] });
      const doomed = spawn(
        process.execPath,
        [
          join(import.meta.dirname, 'sandbox-oci-doomed.ts'),
          stage.stateDirectory,
          JSON.stringify(spec),
          where,
        ],
        { stdio: ['ignore', 'pipe', 'inherit'] },
      );
      let words = '';
      doomed.stdout.on('data', (data: Buffer) => (words += data.toString()));
      await until(() => words.includes('\n'));
      const left = z.object({ pid: z.int(), tag: z.int() }).parse(JSON.parse(words));
      doomed.kill('SIGKILL');
      // As a sandbox's root may do at any instant: nothing is mended under the hands of one that runs.
      const swapped = join(spec.directory, 'layers/rootfs/upper-0/mnt');
      await rmdir(swapped);
      await symlink(stage.workspace, swapped);
      const second = await stage.restartedBackend().adopt(spec);
      assert.equal(second.state, 'running');
      assert.ok((await lstat(swapped)).isSymbolicLink());
      assert.equal(second.supervisorPid, left.pid);
      const adopted = second.children.find((candidate) => candidate.tag === left.tag);
      assert.ok(adopted);
      let text = '';
      adopted.onOutput((_stream, data) => (text += Buffer.from(data).toString()));
      adopted.write(Buffer.from('the restart\n'));
      assert.equal(await adopted.exited, 4);
      assert.match(text, /after the restart/);
      const { output } = await sh(
        second,
        `${node} -e "require('net').connect(7002, '127.0.0.1').pipe(process.stdout)"`,
      );
      assert.equal(output, 'door');
      await second.stop();
      const third = await stage.restartedBackend().adopt(spec);
      assert.equal(third.state, 'stopped');
      await third.start();
      assert.ok((await lstat(swapped)).isDirectory());
      assert.equal((await sh(third, 'echo again')).output, 'again\n');
      await third.destroy();
    },
    where === 'dump' ? 'criu' : 'none',
  );
}

run('a sandbox whose first process is killed says so and can start again', async () => {
  await using stage = await setStage();
  const sandbox = await stage.backend.create(stage.spec());
  await sandbox.start();
  const child = await sandbox.spawn({
    argv: ['/bin/sleep', '1000'],
    ...{ cwd: '/', env: {}, terminal: undefined, stdin: undefined },
  });
  const died = new Promise<string>((resolve) => sandbox.onDied(resolve));
  process.kill(sandbox.supervisorPid, 'SIGKILL');
  assert.match(await died, /ended/);
  assert.equal(await child.exited, 137);
  assert.equal(sandbox.state, 'stopped');
  await sandbox.start();
  assert.equal((await sh(sandbox, 'echo again')).output, 'again\n');
  await sandbox.destroy();
});

run('a helper waits for commands that outlived the last one, and for nobody who only says so', async () => {
  await using stage = await setStage();
  const { stateDirectory } = stage;
  const env = { TURNTABLE_HELPER_OF: stateDirectory };
  const sandbox = await stage.backend.create(stage.spec());
  await sandbox.start();
  const impostor = await sandbox.spawn({
    argv: ['/bin/sleep', '1000'],
    ...{ cwd: '/', env, terminal: undefined, stdin: undefined },
  });
  const orphan = (command: string): number =>
    Number(execFileSync('/bin/sh', ['-c', `${command} > /dev/null 2>&1 & echo $!`], { env }));
  const stranger = orphan('exec setpriv --reuid=65534 --clear-groups sleep 1000');
  const command = orphan('sleep 0.5');
  const warnings: string[] = [];
  const logger: Logger = { ...silentLogger, warn: (message) => warnings.push(message) };
  await waitForCommands(stateDirectory, logger);
  process.kill(stranger);
  assert.deepEqual(warnings, []);
  // A zombie has no arguments.
  assert.equal(await readFile(`/proc/${command}/cmdline`, 'utf8').catch(() => ''), '');
  impostor.kill('SIGKILL');
  await sandbox.destroy();
});

run('a sweep removes what a dead helper left and keeps what it is told to', async () => {
  await using stage = await setStage();
  await mkdir(stage.stateDirectory, { recursive: true });
  const socketPath = join(stage.stateDirectory, 'door.sock');
  const doors = [{ port: 7003, socketPath }];
  const kept = await stage.backend.create(stage.spec({ doors }));
  const lost = await stage.backend.create(stage.spec({ doors }));
  await kept.start();
  await lost.start();
  await stage.restartedBackend().sweep(new Set([kept.id]));
  assert.equal((await sh(kept, 'echo kept')).output, 'kept\n');
  const owner = ownerOf(stage.stateDirectory);
  assert.equal(
    (await leftovers(stage.stateDirectory, owner)).some((line) => line.includes(lost.id)),
    false,
  );
  await stage.restartedBackend().sweep(new Set());
  assert.deepEqual(await leftovers(stage.stateDirectory, owner), []);
});

run('the probe finds out in a moment what this host can do and leaves nothing', async (t) => {
  await using stage = await setStage();
  const result = await stage.backend.probe();
  assert.equal(result.run, undefined);
  if (findCriu() === undefined) assert.match(result.dump ?? '', /CRIU/);
  else assert.equal(result.dump, undefined);
  assert.equal(await stage.backend.probe(), result, 'asked once');
  assert.deepEqual(await leftovers(stage.stateDirectory, ownerOf(stage.stateDirectory)), []);
  t.diagnostic(JSON.stringify(result));
  await cp(stage.workspace, join(stage.stateDirectory, 'copy'), { recursive: true });
});
