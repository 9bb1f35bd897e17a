/**
 * The embedded default backend: runc, overlays and CRIU on this host, without a daemon. Makes sandboxes, takes over those of an earlier helper,
 * and removes what nobody owns any more.
 */
import { chmod, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from '../../log.ts';
import { TurntableError } from '../../protocol/errors.ts';
import type { Sandbox, SandboxBackend, SandboxSpec } from '../sandbox.ts';
import { imageFiles } from './image-files.ts';
import { sandboxLayout, supervisorProgram } from './layout.ts';
import { OciSandbox } from './oci-sandbox.ts';
import { passedBefore, rememberPass } from './probe-record.ts';
import { probeHost, type ProbeResult } from './probe.ts';
import { overlayRoots } from './roots.ts';
import { Runc } from './runc.ts';
import { sweepHost } from './sweep.ts';

export interface OciBackendOptions {
  /** Owned by the helper; must be on a file system that overlays can write to. */
  readonly stateDirectory: string;
  /** Program, by name or path. */
  readonly runc: string;
  /** Program that passed, by path; undefined: nothing can be dumped. */
  readonly criu: string | undefined;
  /** The static program of supervisor/. */
  readonly supervisorPath: string;
  readonly logger: Logger;
}

export function createOciBackend(options: OciBackendOptions): SandboxBackend {
  const { stateDirectory, supervisorPath, logger, criu } = options;
  const runc = new Runc({ runc: options.runc, root: join(stateDirectory, 'runc'), criu });
  let probed: Promise<ProbeResult> | undefined;

  const open = async (spec: SandboxSpec): Promise<OciSandbox> => {
    checkSpec(spec);
    // Passable, so that a merged workspace can be opened by its developer; what is below closes itself.
    await mkdir(stateDirectory, { recursive: true });
    await chmod(stateDirectory, 0o711);
    const overlays = await overlayRoots({ spec, stateDirectory, supervisorPath });
    const layout = sandboxLayout(stateDirectory, spec.id, spec.directory);
    const canDump = criu !== undefined;
    return OciSandbox.open({ spec, layout, overlays, runc, supervisorPath, canDump, logger });
  };

  const probe = async (): Promise<ProbeResult> => {
    const probedWith = {
      stateDirectory,
      programs: [options.runc, supervisorPath, ...(criu === undefined ? [] : [criu])],
    };
    if (await passedBefore(probedWith)) return { run: undefined, dump: undefined };
    const result = await probeHost(
      stateDirectory,
      async (spec): Promise<Sandbox> => open(spec),
      (port) => [supervisorProgram, 'listen', String(port)],
    );
    if (result.run === undefined && result.dump === undefined) await rememberPass(probedWith);
    return result;
  };

  return {
    name: 'oci',
    create: open,
    filesOf: imageFiles,
    async adopt(spec) {
      const sandbox = await open(spec);
      await sandbox.takeOver();
      return sandbox;
    },
    async probe() {
      probed ??= probe();
      return probed;
    },
    async sweep(keep) {
      await sweepHost({ stateDirectory, runc, logger, keep });
    },
  };
}

/** Host names of things are made from the id; socket names are short by nature. */
function checkSpec(spec: SandboxSpec): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/.test(spec.id)) {
    throw new TurntableError(
      'sandboxFailed',
      `"${spec.id}" cannot name a sandbox: use up to 64 letters, digits and dashes.`,
    );
  }
  for (const path of [spec.directory, spec.workspace, spec.home]) {
    if (!path.startsWith('/')) {
      throw new TurntableError('sandboxFailed', `${path} must be an absolute path.`);
    }
  }
}
