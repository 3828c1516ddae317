import { isJsonObject, type JsonObject } from '#shared/json.ts';
import { LABELS, type LabelName, METRICS, type MetricDefinition } from './definitions.ts';

/** The bounds of the buckets of a histogram, in seconds. */
const BOUNDS_S = [0.005, 0.01, 0.025, 0.05, 0.1, 0.3, 1, 3, 10];

/** One series of a metric: what was counted of it. */
interface Series {
  /** How many lines; of a gauge the last value; of a histogram how many, what they come to, and how many per bucket. */
  value: number;
  sum: number;
  readonly buckets: number[];
}

/** Counts log lines, one at a time. */
export interface Counter {
  /** @param line As a function prints it, or as an entry of Cloud Logging in JSON. What is neither counts for nothing. */
  count(line: string): void;
  /** All that was counted: https://prometheus.io/docs/instrumenting/exposition_formats/ */
  text(): string;
}

/** Makes one that has counted nothing. */
export function createCounter(): Counter {
  const series = new Map<MetricDefinition, Map<string, Series>>();

  function add(metric: MetricDefinition, fields: JsonObject): void {
    const labels = metric.labels.map((name) => `${name}="${labelOf(name, fields[name])}"`).join(',');
    const known = series.get(metric) ?? new Map<string, Series>();
    const one = known.get(labels) ?? { value: 0, sum: 0, buckets: BOUNDS_S.map(() => 0) };
    series.set(metric, known.set(labels, one));
    const measured = metric.value === undefined ? 1 : Number(fields[metric.value]);
    if (metric.type === 'gauge') one.value = measured;
    else one.value += 1;
    if (metric.type !== 'histogram') return;
    const seconds = measured / 1000;
    one.sum += seconds;
    for (const [index, bound] of BOUNDS_S.entries())
      if (seconds <= bound) one.buckets[index] = (one.buckets[index] ?? 0) + 1;
  }

  return {
    count(line) {
      const fields = fieldsOf(line);
      if (fields === undefined) return;
      for (const metric of METRICS) if (isOf(metric, fields)) add(metric, fields);
    },
    text: () =>
      METRICS.flatMap((metric) => {
        const rows = [...(series.get(metric) ?? [])].sort(([a], [b]) => (a < b ? -1 : 1));
        return [
          `# HELP ${metric.name} ${metric.help}`,
          `# TYPE ${metric.name} ${metric.type}`,
          ...rows.flatMap(([labels, one]) => samplesOf(metric, labels, one)),
        ];
      }).join('\n'),
  };
}

function fieldsOf(line: string): JsonObject | undefined {
  try {
    const entry: unknown = JSON.parse(line);
    if (!isJsonObject(entry)) return undefined;
    return isJsonObject(entry.json_payload) ? entry.json_payload : entry;
  } catch {
    return undefined;
  }
}

function isOf({ where }: MetricDefinition, fields: JsonObject): boolean {
  return Object.entries(where).every(([name, values]) => {
    const value = fields[name];
    return value !== undefined && (values === 'any' || values.includes(String(value)));
  });
}

/** A value that is of no closed set is told by no more than that. */
function labelOf(name: LabelName, value: unknown): string {
  if (value === undefined) return '';
  const values: readonly string[] | 'configured' = LABELS[name];
  const isKnown =
    values === 'configured' ? /^[\w.-]{1,64}:[\w.-]{1,64}$/.test(String(value)) : values.includes(String(value));
  return isKnown ? String(value) : 'other';
}

function samplesOf({ name, type }: MetricDefinition, labels: string, { value, sum, buckets }: Series): string[] {
  const sample = (suffix: string, more: string, number: number) => {
    const all = [labels, more].filter((part) => part !== '').join(',');
    return `${name}${suffix}${all === '' ? '' : `{${all}}`} ${number}`;
  };
  if (type !== 'histogram') return [sample('', '', value)];
  return [
    ...BOUNDS_S.map((bound, index) => sample('_bucket', `le="${bound}"`, buckets[index] ?? 0)),
    sample('_bucket', 'le="+Inf"', value),
    sample('_sum', '', Math.round(sum * 1e6) / 1e6),
    sample('_count', '', value),
  ];
}
