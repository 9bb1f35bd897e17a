/**
 * A helper that starts a sandbox, freezes or dumps it, and waits to be killed: run by sandbox-oci.test.ts and killed-dump.test.ts.
 * Arguments: state directory, spec as JSON, and where it is when it dies: `freeze`, `dump` (written, at its end) or `dumping` (begun).
 */
import { join } from 'node:path';
import { createOciBackend } from '../../host-helper/sandbox/oci/backend.ts';
import { silentLogger } from '../../host-helper/log.ts';
import type { SandboxSpec } from '../../host-helper/sandbox/sandbox.ts';
import { findCriu, supervisorPath } from './sandbox-oci-fixture.ts';

const [stateDirectory, text, where] = process.argv.slice(2);
if (stateDirectory === undefined || text === undefined) throw new Error('two arguments, please');
const backend = createOciBackend({
  ...{ stateDirectory, runc: 'runc', criu: findCriu(), supervisorPath, logger: silentLogger },
});
// undefined does not survive JSON.
const spec = { seccompListenerPath: undefined, ...JSON.parse(text) } as SandboxSpec;
const sandbox = await backend.create(spec);
await sandbox.start();
const child = await sandbox.spawn({
  argv: ['/bin/sh', '-c', 'echo before; read x; echo after $x; exit 4'],
  ...{ cwd: '/', env: { PATH: '/usr/bin' }, terminal: undefined, stdin: undefined },
});
const tell = (): void => {
  process.stdout.write(JSON.stringify({ pid: sandbox.supervisorPid, tag: child.tag }) + '\n');
};
setInterval(() => {}, 1000);
if (where === 'dump') {
  await sandbox.dump(join(stateDirectory, 'images'), async () => {
    tell();
    return new Promise(() => {});
  });
} else if (where === 'dumping') {
  tell();
  await sandbox.dump(join(stateDirectory, 'images'), async () => {});
} else {
  await sandbox.freeze();
  tell();
}
