/**
 * What of the host a sandbox must not read, in one place, and how it is hidden: a layer above the host's directory and below the changes,
 * so that nothing inside can look behind it and a program may still make its own file of that name.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { dirname, join, relative } from 'node:path';
import { isWithin } from './layout.ts';
import { runCommand } from './command.ts';

/** `gone`: does not exist inside. `empty`: a directory that is there, with its owner and mode, without its contents. */
interface Hidden {
  readonly gone: readonly string[];
  readonly empty: readonly string[];
}

/** Relative to the root. Secrets, other people's data, and sockets or state of services that are not the sandbox's. */
const hiddenBelow: Readonly<Record<string, Hidden>> = {
  etc: {
    gone: [
      ...['shadow', 'shadow-', 'gshadow', 'gshadow-', 'passwd-', 'group-', 'subuid-', 'subgid-'],
      ...['sudoers', 'sudoers.d', 'doas.conf', 'security/opasswd', 'crypttab', 'machine-id'],
      ...['krb5.keytab', 'docker', 'containerd', 'criu', 'cni', 'kubernetes', 'rancher', 'vault.d'],
      ...['wireguard', 'openvpn', 'ipsec.secrets', 'ipsec.d', 'ppp', 'wpa_supplicant', 'samba'],
      ...['NetworkManager/system-connections', 'netplan', 'apt/auth.conf', 'apt/auth.conf.d'],
      ...['ssl/private', 'letsencrypt', 'pki/tls/private', 'sssd', 'ldap.secret', 'mysql/debian.cnf'],
      ...['exports', 'fstab', 'resolv.conf', 'hosts', 'hostname', 'boto.cfg', 'azure', 'google'],
      ...['npmrc', 'pip.conf', 'gitconfig', 'netrc', 'environment', 'credstore', 'credstore.encrypted'],
      'turntable',
    ],
    empty: ['ssh'],
  },
  var: {
    gone: [
      ...['lib/docker', 'lib/containerd', 'lib/containers', 'lib/kubelet', 'lib/rancher', 'lib/etcd'],
      ...['lib/private', 'lib/sss', 'lib/libvirt', 'lib/machines', 'lib/portables', 'lib/lxc', 'lib/lxd'],
      ...['lib/postgresql', 'lib/mysql', 'lib/mongodb', 'lib/redis', 'lib/samba', 'lib/cloud'],
      ...['lib/NetworkManager', 'lib/bluetooth', 'lib/iwd', 'lib/fprint', 'lib/sudo', 'lib/turntable'],
      ...['lib/tailscale', 'lib/systemd/random-seed', 'lib/systemd/credential.secret', 'snap'],
      ...['lib/jenkins', 'lib/AccountsService', 'lib/gdm3', 'lib/polkit-1', 'www'],
    ],
    empty: ['log', 'mail', 'spool', 'backups', 'tmp', 'crash'],
  },
  usr: { gone: [], empty: [] },
  opt: { gone: [], empty: [] },
};

export interface HiddenLayerRequest {
  /** Name of the root: "etc", "var", … */
  readonly name: string;
  /** The host's directory. */
  readonly lower: string;
  /** Further absolute paths to hide where they lie below `lower` (the state directory itself). */
  readonly alsoGone: readonly string[];
  /** Where the layer lives; shared by all sandboxes of a state directory. */
  readonly layer: string;
  readonly supervisorPath: string;
}

/** Makes or completes the layer. Returns its directory, or undefined when nothing of this root is hidden. */
export async function ensureHiddenLayer(request: HiddenLayerRequest): Promise<string | undefined> {
  const hidden = hiddenBelow[request.name] ?? { gone: [], empty: [] };
  const own = request.alsoGone
    .filter((path) => isWithin(path, request.lower) && path !== request.lower)
    .map((path) => relative(request.lower, path));
  const replaced = request.name === 'etc' ? await etcFiles() : new Map<string, EtcFile>();
  const gone = [...hidden.gone, ...own].filter((path) => !replaced.has(path));
  if (gone.length === 0 && hidden.empty.length === 0 && replaced.size === 0) return undefined;
  await mkdir(request.layer, { recursive: true });
  for (const [name, file] of replaced) await writeOnce(join(request.layer, name), file);
  await runCommand(request.supervisorPath, [
    ...['layer', request.layer, request.lower],
    ...gone.map((path) => `gone:${path}`),
    ...hidden.empty.map((path) => `empty:${path}`),
  ]);
  return request.layer;
}

interface EtcFile {
  readonly text: string;
  readonly mode: number;
}

/** Files of /etc that the sandbox has in its own version. */
async function etcFiles(): Promise<Map<string, EtcFile>> {
  const users = await names('/etc/passwd');
  const groups = await names('/etc/group');
  return new Map<string, EtcFile>([
    ['hosts', { text: '127.0.0.1\tlocalhost turntable\n', mode: 0o644 }],
    ['hostname', { text: 'turntable\n', mode: 0o644 }],
    ['machine-id', { text: randomBytes(16).toString('hex') + '\n', mode: 0o444 }],
    // The folder belongs to the developer and the agent is root: git would refuse it as somebody else's.
    ['gitconfig', { text: '[safe]\n\tdirectory = *\n', mode: 0o644 }],
    ['fstab', { text: '', mode: 0o644 }],
    ['environment', { text: '', mode: 0o644 }],
    [
      'resolv.conf',
      {
        text: '# No name service here: programs reach the network through the proxy named in their environment.\n',
        mode: 0o644,
      },
    ],
    ['shadow', { text: users.map((user) => `${user}:*:19000:0:99999:7:::\n`).join(''), mode: 0o640 }],
    ['gshadow', { text: groups.map((group) => `${group}:*::\n`).join(''), mode: 0o640 }],
  ]);
}

/** Only once: a layer that is mounted somewhere should not change, and its machine-id should stay. */
async function writeOnce(path: string, file: EtcFile): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  try {
    await writeFile(path, file.text, { mode: file.mode, flag: 'wx' });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
}

async function names(path: string): Promise<string[]> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text
    .split('\n')
    .map((line) => line.split(':')[0] ?? '')
    .filter((name) => /^[\w.$-]+$/.test(name));
}
