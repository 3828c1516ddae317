import type { CallRow } from './calls.ts';

/** What is shown of the calls, by operation and store: the product, what it is compared with, and the limit. */
const GROUPS = [
  { title: 'list links, SQLite', operation: 'list', store: 'sqlite', peers: ['better-auth'] },
  { title: 'link, SQLite', operation: 'link', store: 'sqlite', peers: ['better-auth'] },
  { title: 'delete link, SQLite', operation: 'delete', store: 'sqlite', peers: ['better-auth'] },
  { title: 'check a token, memory', operation: 'check', store: 'memory', peers: ['jmondi', 'oidc-provider'] },
  { title: 'revoke a token, memory', operation: 'revoke', store: 'memory', peers: ['jmondi', 'oidc-provider'] },
] as const;

const NAMES: Readonly<Record<string, string>> = {
  product: 'unlink-functions',
  jmondi: '@jmondi/oauth2-server',
  limit: 'smallest handler',
};

const WIDTH = 760;
const LEFT = 190;
const RIGHT = 70;
const TOP = 56;
const BAR = 16;
const GAP = 5;
const GROUP_HEAD = 24;
/** Calls a second at both ends of the axis. */
const AXIS = { from: 100, to: 1_000_000 } as const;

/**
 * A chart of calls a second in process, on a logarithmic axis: hand-written SVG, for light and for dark pages.
 *
 * @param made Where and with what it was measured.
 */
export function drawChart(
  calls: readonly Pick<CallRow, 'operation' | 'store' | 'side' | 'transport' | 'callers' | 'perSecond'>[],
  made: string,
): string {
  const parts: string[] = [];
  let y = TOP;
  for (const { title, operation, store, peers } of GROUPS) {
    parts.push(`<text class="title" x="12" y="${y + 15}">${escapeXml(title)}</text>`);
    y += GROUP_HEAD;
    for (const side of ['product', ...peers, 'limit']) {
      const row = calls.find(
        (call) =>
          call.operation === operation &&
          call.store === store &&
          call.side === side &&
          call.transport === 'in process' &&
          call.callers === 1,
      );
      if (row === undefined || !Number.isFinite(row.perSecond)) continue;
      parts.push(drawBar(side, row.perSecond, y));
      y += BAR + GAP;
    }
    y += GAP * 2;
  }
  const height = y + 28;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-labelledby="name note">
<title id="name">Calls a second beside the peers</title>
<style>
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600 }
.note, .tick { fill: #59636e; font-size: 12px }
.line { stroke: #d1d9e0 }
.product { fill: #1a7f37 }
.peer { fill: #8250df }
.limit { fill: #afb8c1 }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc }
.note, .tick { fill: #9198a1 }
.line { stroke: #3d444d }
.product { fill: #3fb950 }
.peer { fill: #ab7df8 }
.limit { fill: #656c76 }
}
</style>
<text id="title" class="title" x="12" y="20">Calls a second, in process, one caller (logarithmic: more is better)</text>
${drawAxis(y)}
${parts.join('\n')}
<text id="note" class="note" x="12" y="${height - 10}">${escapeXml(made)}</text>
</svg>
`;
}

function drawAxis(bottom: number): string {
  const ticks: string[] = [];
  for (let value: number = AXIS.from; value <= AXIS.to; value *= 10) {
    const x = at(value).toFixed(1);
    ticks.push(`<line class="line" x1="${x}" y1="${TOP - 8}" x2="${x}" y2="${bottom}"/>`);
    ticks.push(`<text class="tick" x="${x}" y="${TOP - 14}" text-anchor="middle">${value.toLocaleString('en')}</text>`);
  }
  return ticks.join('\n');
}

function drawBar(side: string, perSecond: number, y: number): string {
  const end = at(perSecond);
  const kind = side === 'product' || side === 'limit' ? side : 'peer';
  const label = escapeXml(NAMES[side] ?? side);
  const amount = Math.round(perSecond).toLocaleString('en');
  return [
    `<text x="${LEFT - 8}" y="${y + 13}" text-anchor="end">${label}</text>`,
    `<rect class="${kind}" x="${LEFT}" y="${y}" width="${(end - LEFT).toFixed(1)}" height="${BAR}" rx="2"/>`,
    `<text x="${(end + 6).toFixed(1)}" y="${y + 13}">${amount}</text>`,
  ].join('\n');
}

function at(perSecond: number): number {
  const share = Math.log10(perSecond / AXIS.from) / Math.log10(AXIS.to / AXIS.from);
  return LEFT + Math.min(1, Math.max(0, share)) * (WIDTH - LEFT - RIGHT);
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
