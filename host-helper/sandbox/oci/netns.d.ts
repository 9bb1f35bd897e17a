/** Makes the namespace anew. Throws `sandboxFailed`. */
export declare function createNetns(name: string): Promise<void>;
/** Removes the name; the namespace ends with its last process. No error when it is not there. */
export declare function deleteNetns(name: string): Promise<void>;
/** Names that start with `prefix`. */
export declare function listNetns(prefix: string): Promise<string[]>;
