import type { SandboxCgroup } from '../sandbox.ts';
/** The cgroup2 directory that a process is in. Throws `unsupportedHost` when the host has no cgroup2. */
export declare function cgroupOf(pid: number): Promise<SandboxCgroup>;
/** Makes the cgroup2 directory before anything runs in it, so that it can be watched from the first program on; runc joins what is there. */
export declare function reserveCgroup(cgroupsPath: string): Promise<SandboxCgroup>;
/** Stops or lets go everything in a cgroup2 directory and waits until the kernel says so. */
export declare function setFrozen(cgroup: SandboxCgroup, frozen: boolean): Promise<void>;
/** Removes the empty directories of a cgroup path in every hierarchy; ones that still hold processes stay. */
export declare function removeCgroup(cgroupsPath: string): Promise<void>;
/** Names of the directories below a cgroup path, over all hierarchies. */
export declare function listCgroups(cgroupsPath: string): Promise<string[]>;
