import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import {
  criuOptions,
  maskedPaths,
  ociConfig,
  readonlyPaths,
} from '../../../../host-helper/sandbox/oci/bundle.ts';
import { sandboxLayout } from '../../../../host-helper/sandbox/oci/layout.ts';
import { seccompFilter } from '../../../../host-helper/sandbox/oci/seccomp.ts';
import type { SandboxSpec } from '../../../../host-helper/sandbox/sandbox.ts';

const spec: SandboxSpec = {
  ...{ id: 's1', directory: '/state/s1', workspace: '/w', home: '/home/a', doors: [] },
  ...{ readOnlyMounts: [{ source: '/agents/pi', target: '/agents/pi' }], seccompListenerPath: undefined },
  ...{ memoryBytes: 1000, maxProcesses: 10, maskedPaths: ['.env'] },
};

const configSchema = z.object({
  process: z.object({
    noNewPrivileges: z.boolean(),
    capabilities: z.object({ bounding: z.array(z.string()), ambient: z.array(z.string()) }),
  }),
  mounts: z.array(z.object({ destination: z.string(), type: z.string(), options: z.array(z.string()) })),
  linux: z.object({
    namespaces: z.array(z.object({ type: z.string(), path: z.string().optional() })),
    resources: z.object({ devices: z.array(z.object({ allow: z.boolean(), access: z.string() })) }),
    maskedPaths: z.array(z.string()),
    readonlyPaths: z.array(z.string()),
  }),
});

const config = configSchema.parse(
  ociConfig({
    ...{
      spec,
      layout: sandboxLayout('/state', 's1', '/state/s1'),
      rootfs: '/state/s1/rootfs',
      maxProcesses: 10,
    },
    roots: [{ merged: '/state/s1/roots/workspace/merged', path: '/w' }],
    masks: [{ path: '/w/.env', kind: 'file' }],
  }),
);

test('nothing inside can gain rights, and the dangerous capabilities are not there', () => {
  assert.equal(config.process.noNewPrivileges, true);
  const has = config.process.capabilities.bounding;
  for (const name of [
    'SYS_ADMIN',
    'SYS_PTRACE',
    'MKNOD',
    'NET_RAW',
    'NET_ADMIN',
    'SYS_CHROOT',
    'DAC_READ_SEARCH',
    'SYS_MODULE',
  ]) {
    assert.equal(has.includes(`CAP_${name}`), false, name);
  }
  assert.deepEqual(config.process.capabilities.ambient, []);
});

test('devices are denied first, and the kernel knobs are masked or read-only', () => {
  assert.deepEqual(config.linux.resources.devices[0], { allow: false, access: 'rwm' });
  assert.deepEqual(config.linux.maskedPaths, maskedPaths);
  assert.deepEqual(config.linux.readonlyPaths, readonlyPaths);
  for (const path of ['/proc/sys', '/proc/sysrq-trigger', '/proc/irq', '/proc/bus'])
    assert.ok(readonlyPaths.includes(path));
  for (const path of ['/proc/kcore', '/proc/keys', '/proc/timer_list', '/sys/firmware'])
    assert.ok(maskedPaths.includes(path));
});

test('product trees and masks are read-only, and masks come after what they hide', () => {
  const at = (destination: string): number =>
    config.mounts.findIndex((mount) => mount.destination === destination);
  assert.ok(config.mounts[at('/agents/pi')]?.options.includes('ro'));
  assert.ok(config.mounts[at('/w/.env')]?.options.includes('ro'));
  assert.ok(at('/w/.env') > at('/w'));
});

test('the network namespace is the one that was made, with its own pid, ipc, uts and mounts', () => {
  const types = config.linux.namespaces.map((namespace) => namespace.type).sort();
  assert.deepEqual(types, ['ipc', 'mount', 'network', 'pid', 'uts']);
  const network = config.linux.namespaces.find((namespace) => namespace.type === 'network');
  assert.match(network?.path ?? '', /^\/run\/netns\/turntable-[0-9a-f]{8}-s1$/);
});

test('CRIU keeps inner connections and needs no packet filter', () => {
  assert.match(criuOptions('/s'), /^tcp-established$/m);
  assert.match(criuOptions('/s'), /^network-lock skip$/m);
});

const filterSchema = z.object({
  listenerPath: z.string().optional(),
  syscalls: z.array(
    z.object({
      names: z.array(z.string()),
      action: z.string(),
      errnoRet: z.number().optional(),
      args: z.array(z.object({ index: z.number(), value: z.number(), op: z.string() })).optional(),
    }),
  ),
});

test('io_uring looks absent, user namespaces are denied, and clone3 falls back to clone', () => {
  const { syscalls } = filterSchema.parse(seccompFilter(undefined));
  const rule = (name: string) => syscalls.filter((candidate) => candidate.names.includes(name));
  for (const name of ['io_uring_setup', 'io_uring_enter', 'io_uring_register', 'clone3']) {
    assert.equal(rule(name)[0]?.errnoRet, 38, name);
  }
  for (const name of ['unshare', 'setns', 'mount', 'bpf', 'userfaultfd', 'open_by_handle_at', 'move_mount']) {
    assert.equal(rule(name)[0]?.errnoRet, 1, name);
  }
  assert.ok(rule('clone').some((candidate) => candidate.args?.[0]?.value === 0x1000_0000));
  assert.deepEqual(rule('execve'), []);
});

test('with a listener, exec and nothing else waits for an answer', () => {
  const filter = filterSchema.parse(seccompFilter('/run/x.sock'));
  assert.equal(filter.listenerPath, '/run/x.sock');
  const waiting = filter.syscalls.filter((rule) => rule.action === 'SCMP_ACT_NOTIFY');
  assert.deepEqual(
    waiting.map((rule) => rule.names),
    [['execve', 'execveat']],
  );
});
