declare module '*.ts?script' {
  /** That source as `scripts/build.ts` makes it for browsers: one minified classic script. */
  export const script: string;
}
