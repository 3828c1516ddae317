/** A figure of one run that another run may be compared with: a ratio of two things measured in turns, or a size. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: '×' | 'MB' | 'KB';
  readonly better: 'more' | 'less';
  /** What it is to reach. */
  readonly goal?: number | undefined;
}

/** Whether a figure is as good as its goal. One without a goal is. */
export function isReached({ value, better, goal }: Figure): boolean {
  if (goal === undefined) return true;
  return better === 'more' ? value >= goal : value <= goal;
}

/** More than this much worse than before is told in red. */
const TOLERANCE = 1.25;

/** Whether a figure is more than a quarter worse than it was. */
export function hasWorsened(now: Figure, before: Pick<Figure, 'value'> | undefined): boolean {
  if (before === undefined || !Number.isFinite(before.value)) return false;
  // What could not be measured is not as good as what was.
  if (!Number.isFinite(now.value)) return true;
  return now.better === 'more' ? now.value * TOLERANCE < before.value : now.value > before.value * TOLERANCE;
}

/** A figure beside the same of an earlier run. */
export interface Compared {
  readonly figure: Figure;
  readonly before: number | undefined;
  readonly worsened: boolean;
}

/** Sets figures beside those of an earlier run, by name. */
export function compareFigures(now: readonly Figure[], before: readonly Figure[]): Compared[] {
  const known = new Map(before.map((figure) => [figure.name, figure]));
  return now.map((figure) => {
    const earlier = known.get(figure.name);
    return { figure, before: earlier?.value, worsened: hasWorsened(figure, earlier) };
  });
}
