export interface DumpGatePlaces {
  readonly script: string;
  readonly reached: string;
  readonly answer: string;
}
export declare function dumpGatePlaces(bundle: string): DumpGatePlaces;
/** Writes the script and the FIFOs. */
export declare function makeDumpGate(places: DumpGatePlaces): Promise<void>;
/** Lets a script go that waits for a helper that died; its dump fails. */
export declare function releaseDumpGate(places: DumpGatePlaces): Promise<void>;
/**
 * Runs `dump`; when CRIU reaches the gate runs `atGate` and lets CRIU go on. Where the gate is never reached although the dump succeeds,
 * `atGate` runs after it: everything is still frozen. Throws what either throws, `atGate` first.
 */
export declare function dumpThroughGate(
  places: DumpGatePlaces,
  dump: () => Promise<void>,
  atGate: () => Promise<void>,
): Promise<void>;
