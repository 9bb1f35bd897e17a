import { z } from 'zod';
import type { Mask } from './bundle.ts';
export declare const maskSchema: z.ZodObject<
  {
    path: z.ZodString;
    kind: z.ZodEnum<{
      file: 'file';
      directory: 'directory';
    }>;
  },
  z.core.$strip
>;
export declare function writeShape(imageDirectory: string, masks: readonly Mask[]): Promise<void>;
/** Throws when the directory holds no dump of this backend. */
export declare function readShape(imageDirectory: string): Promise<readonly Mask[]>;
export declare function imageSizeBytes(imageDirectory: string): Promise<number>;
/** CRIU's own reason: the first and the last error lines of its log, without its time stamps. Empty when there are none. */
export declare function criuReason(log: string): Promise<string>;
export declare function criuErrors(text: string): string[];
