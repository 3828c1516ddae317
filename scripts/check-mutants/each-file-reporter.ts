/** The least percentage of a file's mutants that the tests must notice. */
const LEAST_SCORE = 90;

/** Metrics of a folder or file: the part of a `MetricsResult` of mutation-testing-metrics that is used. */
export interface MutationMetrics {
  readonly name: string;
  /** Undefined for a folder. */
  readonly file?: object | undefined;
  /** Empty for a file. */
  readonly childResults: readonly MutationMetrics[];
  /** Percentage of the mutants that the tests notice; NaN if there are none. */
  readonly metrics: { readonly mutationScore: number };
}

/** Returns one sentence for each file whose tests notice too few of its mutants. */
export function weakFiles(folder: MutationMetrics): string[] {
  return folder.childResults
    .flatMap(filesOf)
    .filter(({ score }) => score < LEAST_SCORE)
    .map(({ path, score }) => `${path}: the tests notice ${score.toFixed(2)} % of the mutants, not ${LEAST_SCORE} %`);
}

function filesOf({ name, file, childResults, metrics }: MutationMetrics): { path: string; score: number }[] {
  if (file !== undefined) return [{ path: name, score: metrics.mutationScore }];
  return childResults.flatMap(filesOf).map(({ path, score }) => ({ path: `${name}/${path}`, score }));
}

/** Makes a run of Stryker fail because of a single file. */
class EachFileReporter {
  onMutationTestReportReady(_report: unknown, { systemUnderTestMetrics }: { systemUnderTestMetrics: MutationMetrics }) {
    const sentences = weakFiles(systemUnderTestMetrics);
    for (const sentence of sentences) console.error(sentence);
    if (sentences.length > 0) process.exitCode = 1;
  }
}

/** Stryker reads this name. */
export const strykerPlugins = [{ kind: 'Reporter', name: 'each-file', injectableClass: EachFileReporter }];
