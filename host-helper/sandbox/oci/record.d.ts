import { z } from 'zod';
declare const recordSchema: z.ZodObject<
  {
    version: z.ZodLiteral<1>;
    id: z.ZodString;
    generations: z.ZodRecord<z.ZodString, z.ZodInt>;
    masks: z.ZodOptional<
      z.ZodArray<
        z.ZodObject<
          {
            path: z.ZodString;
            kind: z.ZodEnum<{
              file: 'file';
              directory: 'directory';
            }>;
          },
          z.core.$strip
        >
      >
    >;
    doors: z.ZodOptional<
      z.ZodObject<
        {
          pid: z.ZodInt;
          startTicks: z.ZodString;
        },
        z.core.$strip
      >
    >;
  },
  z.core.$strip
>;
export type SandboxRecord = z.infer<typeof recordSchema>;
/** Undefined when there is none. Throws `sandboxFailed` when it cannot be understood. */
export declare function readRecord(path: string): Promise<SandboxRecord | undefined>;
export declare function writeRecord(path: string, record: SandboxRecord): Promise<void>;
export {};
