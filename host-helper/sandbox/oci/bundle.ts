/**
 * The OCI bundle of a sandbox: config.json for runc and the options file for CRIU. Pure description; runc.ts carries it out.
 */
import type { SandboxSpec } from '../sandbox.ts';
import { supervisorProgram, supervisorSocket, type SandboxLayout } from './layout.ts';
import { seccompFilter } from './seccomp.ts';

/** Docker's default set without MKNOD, NET_RAW, SYS_CHROOT and AUDIT_WRITE. */
const capabilities = [
  ...['CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_FSETID', 'CAP_FOWNER', 'CAP_SETGID', 'CAP_SETUID'],
  ...['CAP_SETPCAP', 'CAP_SETFCAP', 'CAP_NET_BIND_SERVICE', 'CAP_KILL'],
];

/** Root without capabilities may still write these; runc binds them read-only, and CRIU restores that. */
export const readonlyPaths = [
  ...['/proc/sys', '/proc/sysrq-trigger', '/proc/irq', '/proc/bus', '/proc/fs', '/proc/acpi', '/proc/mtrr'],
];

/** What tells of the host or of its kernel's secrets. */
export const maskedPaths = [
  ...['/proc/kcore', '/proc/keys', '/proc/key-users', '/proc/timer_list', '/proc/timer_stats'],
  ...[
    '/proc/sched_debug',
    '/proc/latency_stats',
    '/proc/kallsyms',
    '/proc/kmsg',
    '/proc/scsi',
    '/proc/asound',
  ],
  ...['/proc/vmallocinfo', '/proc/pagetypeinfo', '/proc/slabinfo', '/proc/interrupts', '/proc/kpagecount'],
  ...['/sys/firmware', '/sys/devices/virtual/powercap'],
];

export interface BundleRequest {
  readonly spec: SandboxSpec;
  readonly layout: SandboxLayout;
  readonly rootfs: string;
  /** Parents before children: merged directory on the host, path inside. */
  readonly roots: readonly { readonly merged: string; readonly path: string }[];
  readonly maxProcesses: number;
  /** Existing files and directories of the workspace that must not be read. */
  readonly masks: readonly Mask[];
}

/** A path hidden by an empty file or directory. */
export interface Mask {
  readonly path: string;
  readonly kind: 'file' | 'directory';
}

/** config.json as an object. */
export function ociConfig(request: BundleRequest): Record<string, unknown> {
  const { spec, layout } = request;
  return {
    ociVersion: '1.0.2',
    hostname: 'turntable',
    root: { path: request.rootfs, readonly: false },
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args: [supervisorProgram, 'init', supervisorSocket],
      env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      cwd: '/',
      capabilities: {
        bounding: capabilities,
        effective: capabilities,
        permitted: capabilities,
        inheritable: [],
        ambient: [],
      },
      noNewPrivileges: true,
    },
    mounts: [...kernelMounts(spec), ...trackedMounts(request)],
    annotations: { 'org.criu.config': layout.criuConfig },
    linux: {
      cgroupsPath: layout.cgroupsPath,
      namespaces: [
        ...['pid', 'ipc', 'uts', 'mount'].map((type) => ({ type })),
        { type: 'network', path: layout.netns },
      ],
      resources: {
        devices: [{ allow: false, access: 'rwm' }],
        memory: { limit: spec.memoryBytes },
        pids: { limit: request.maxProcesses },
      },
      seccomp: seccompFilter(spec.seccompListenerPath),
      maskedPaths,
      readonlyPaths,
    },
  };
}

/** Options that runc's API does not carry. */
export function criuOptions(actionScript: string): string {
  return [
    // Connections inside the sandbox come back; those to a door are hung up after a restore (supervisor/hangup.c).
    'tcp-established',
    // Nothing can arrive meanwhile: the sandbox is frozen and its doors are stopped. Needs no packet filter on the host.
    'network-lock skip',
    'file-locks',
    'ext-unix-sk',
    'link-remap',
    'ghost-limit 1073741824',
    `action-script ${actionScript}`,
    '',
  ].join('\n');
}

function kernelMounts(spec: SandboxSpec): object[] {
  const guarded = ['nosuid', 'noexec', 'nodev'];
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: guarded },
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'noexec', 'strictatime', 'mode=755', 'size=1m'],
    },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    {
      destination: '/dev/shm',
      type: 'tmpfs',
      source: 'shm',
      options: [...guarded, 'mode=1777', `size=${Math.floor(spec.memoryBytes / 2)}`],
    },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [...guarded, 'ro'] },
  ];
}

function trackedMounts(request: BundleRequest): object[] {
  const { spec, layout } = request;
  const bind = (source: string, destination: string, ...options: string[]): object => ({
    destination,
    type: 'bind',
    source,
    options: ['bind', ...options],
  });
  return [
    ...request.roots.map((root) => bind(root.merged, root.path, 'rw')),
    ...spec.readOnlyMounts.map((mount) => bind(mount.source, mount.target, 'ro')),
    ...request.masks.map((mask) => bind(layout.empty[mask.kind], mask.path, 'ro')),
  ];
}
