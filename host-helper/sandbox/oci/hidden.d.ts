export interface HiddenLayerRequest {
  /** Name of the root: "etc", "var", … */
  readonly name: string;
  /** The host's directory. */
  readonly lower: string;
  /** Further absolute paths to hide where they lie below `lower` (the state directory itself). */
  readonly alsoGone: readonly string[];
  /** Where the layer lives; shared by all sandboxes of a state directory. */
  readonly layer: string;
  readonly supervisorPath: string;
}
/** Makes or completes the layer. Returns its directory, or undefined when nothing of this root is hidden. */
export declare function ensureHiddenLayer(request: HiddenLayerRequest): Promise<string | undefined>;
