/** A package that the types of secretlint's preset name and that it does not bring. Nothing here uses it. */
declare module '@secretlint/secretlint-rule-aws' {
  export type Options = Record<string, unknown>;
}
