/** For commander options that may be given more than once: a variadic option would swallow the arguments after it. */
export function collect(value: string, earlier: string[]): string[] {
  return [...earlier, value];
}
