/**
 * The system-call filter of a sandbox, in the OCI form. What is denied here is either a way around the checks or of no use to an agent.
 */

/**
 * errno 38, "not there": programs fall back. io_uring can be neither watched nor dumped; process_vm_writev changes a process
 * that does not run, and nothing tells of it (debuggers have ptrace, which schedules whom it stops).
 */
const absentCalls = [...['io_uring_setup', 'io_uring_enter', 'io_uring_register'], 'process_vm_writev'];

/** EPERM. Capabilities stop most of these already; the filter stands where a capability check alone would. */
const forbiddenCalls = [
  ...['kexec_load', 'kexec_file_load', 'reboot', 'init_module', 'finit_module', 'delete_module'],
  ...['bpf', 'perf_event_open', 'userfaultfd', 'lookup_dcookie', 'fanotify_init'],
  ...['keyctl', 'add_key', 'request_key', 'open_by_handle_at'],
  ...['mount', 'umount2', 'pivot_root', 'chroot', 'setns', 'unshare'],
  ...[
    'open_tree',
    'open_tree_attr',
    'move_mount',
    'fsopen',
    'fsconfig',
    'fsmount',
    'fspick',
    'mount_setattr',
  ],
  ...['swapon', 'swapoff', 'acct', 'quotactl', 'quotactl_fd', 'nfsservctl', 'vhangup'],
  ...['settimeofday', 'clock_settime', 'clock_adjtime', 'adjtimex', 'sethostname', 'setdomainname'],
  ...['iopl', 'ioperm', 'syslog', 'uselib', 'modify_ldt'],
  ...['process_madvise', 'move_pages', 'mbind', 'migrate_pages', 'set_mempolicy'],
];

const cloneNamespaceFlags = [
  0x0002_0000, // CLONE_NEWNS
  0x0200_0000, // CLONE_NEWCGROUP
  0x0400_0000, // CLONE_NEWUTS
  0x0800_0000, // CLONE_NEWIPC
  0x1000_0000, // CLONE_NEWUSER
  0x2000_0000, // CLONE_NEWPID
  0x4000_0000, // CLONE_NEWNET
];

/** Address families that agents need: unix, IPv4, IPv6, netlink. Everything else (vsock, alg, packet, …) is kernel surface. */
const allowedFamilies = [1, 2, 10, 16];

const ePerm = 1;
const eNoSys = 38;
const eAfNoSupport = 97;

interface SyscallRule {
  readonly names: readonly string[];
  readonly action: string;
  readonly errnoRet?: number;
  readonly args?: readonly {
    readonly index: number;
    readonly value: number;
    readonly valueTwo?: number;
    readonly op: string;
  }[];
}

/** The `linux.seccomp` object. With a listener, execve and execveat wait for whoever listens there. */
export function seccompFilter(listenerPath: string | undefined): Record<string, unknown> {
  const rules: SyscallRule[] = [
    { names: absentCalls, action: 'SCMP_ACT_ERRNO', errnoRet: eNoSys },
    { names: forbiddenCalls, action: 'SCMP_ACT_ERRNO', errnoRet: ePerm },
    // clone3 hides its flags in memory: "not there" makes the C library use clone, whose flags are checked.
    { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errnoRet: eNoSys },
    ...cloneNamespaceFlags.map((flag) => ({
      names: ['clone'],
      action: 'SCMP_ACT_ERRNO',
      errnoRet: ePerm,
      args: [{ index: 0, value: flag, valueTwo: flag, op: 'SCMP_CMP_MASKED_EQ' }],
    })),
    ...familyRules(),
  ];
  if (listenerPath !== undefined) rules.push({ names: ['execve', 'execveat'], action: 'SCMP_ACT_NOTIFY' });
  return {
    defaultAction: 'SCMP_ACT_ALLOW',
    architectures: ['SCMP_ARCH_X86_64'],
    ...(listenerPath === undefined ? {} : { listenerPath, listenerMetadata: '' }),
    syscalls: rules,
  };
}

/** Conditions on one argument are alternatives when they stand in rules of their own: below, between and above what is allowed. */
function familyRules(): SyscallRule[] {
  const highest = Math.max(...allowedFamilies);
  const denied = Array.from({ length: highest }, (_, family) => family).filter(
    (family) => family !== 0 && !allowedFamilies.includes(family),
  );
  const deny = (op: string, value: number): SyscallRule => ({
    names: ['socket'],
    action: 'SCMP_ACT_ERRNO',
    errnoRet: eAfNoSupport,
    args: [{ index: 0, value, op }],
  });
  return [...denied.map((family) => deny('SCMP_CMP_EQ', family)), deny('SCMP_CMP_GT', highest)];
}
