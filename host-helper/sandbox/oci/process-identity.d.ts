import { z } from 'zod';
export declare const processIdentitySchema: z.ZodObject<
  {
    pid: z.ZodInt;
    startTicks: z.ZodString;
  },
  z.core.$strip
>;
export type ProcessIdentity = z.infer<typeof processIdentitySchema>;
/** Undefined when there is no such process, or only its zombie. */
export declare function identify(pid: number): Promise<ProcessIdentity | undefined>;
/** Whether exactly this process still lives. */
export declare function isAlive(identity: ProcessIdentity): Promise<boolean>;
/** Sends a signal when it is still that process. */
export declare function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): Promise<void>;
