/** Makes what is missing. With `withSupervisor` the program is the current one; a restore must find the one that was dumped. */
export declare function ensureRootfs(
  rootfs: string,
  supervisorPath: string,
  withSupervisor: boolean,
): Promise<void>;
/** A mount point at any depth; parents that exist stay as they are. */
export declare function ensureMountPoint(rootfs: string, path: string): Promise<void>;
