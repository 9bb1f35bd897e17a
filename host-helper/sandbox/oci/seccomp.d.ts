/**
 * The system-call filter of a sandbox, in the OCI form. What is denied here is either a way around the checks or of no use to an agent.
 */
/** The `linux.seccomp` object. With a listener, execve and execveat wait for whoever listens there. */
export declare function seccompFilter(listenerPath: string | undefined): Record<string, unknown>;
