import { parsedText } from '../settings.ts';

/** A pattern of `ISSUERS` that a claim must match, or whose group is taken from it. */
export const ClaimPattern = parsedText(
  'must be a pattern such as "^(V2_[^.-]+)": "^", then characters, "\\" with a sign, "\\d", "\\w", "." and [classes], each with "?", "*", "+" or {n,m} if the next cannot match the same, one (group) at the most, and "$" if it is the end',
  readPattern,
);

/** One character of a text: a literal, an escaped sign, a shorthand, `.` or a class; then how often. */
const ATOM =
  /(\\[dw]|\\[^A-Za-z0-9]|\[\^?(?:\\[^A-Za-z0-9]|\\[dw]|[^\\[\]])+\]|[^\\^$|?*+()[\]{}])([?*+]|\{\d{1,3}(?:,\d{0,3})?\})?/y;

const EACH_CHARACTER = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code));

/**
 * A pattern that takes linear time whatever the text: it begins at the start, has no alternatives, and where a character
 * may occur more or less often, what follows cannot match the same one, so that there is one way to match.
 */
function readPattern(text: string): RegExp | undefined {
  if (text.length > 256 || !/^\^[\x20-\x7e]+$/.test(text)) return undefined;
  const pattern = compile(text);
  if (pattern === undefined) return undefined;
  const end = text.endsWith('$') && !text.endsWith('\\$') ? text.length - 1 : text.length;
  const atoms: { is: RegExp; varies: boolean; mayBeMissing: boolean }[] = [];
  let groups = '';
  for (let at = 1; at < end; ) {
    if (text[at] === '(' || text[at] === ')') {
      groups += text[at];
      at += 1;
      continue;
    }
    ATOM.lastIndex = at;
    const [whole, atom, count = ''] = ATOM.exec(text) ?? [];
    if (whole === undefined) return undefined;
    atoms.push({
      is: new RegExp(`^${atom}$`, 's'),
      varies: count !== '' && !/^\{\d+\}$/.test(count),
      mayBeMissing: /^(?:[?*]|\{0)/.test(count),
    });
    at += whole.length;
  }
  const isOneWay = atoms.every(({ is, varies }, index) => {
    if (!varies) return true;
    const rest = atoms.slice(index + 1);
    const upTo = rest.findIndex(({ mayBeMissing }) => !mayBeMissing);
    const next = upTo === -1 ? rest : rest.slice(0, upTo + 1);
    return !next.some((other) => EACH_CHARACTER.some((one) => is.test(one) && other.is.test(one)));
  });
  return isOneWay && ['', '()'].includes(groups) ? pattern : undefined;
}

function compile(text: string): RegExp | undefined {
  try {
    return new RegExp(text, 's');
  } catch {
    return undefined;
  }
}

/** What a pattern takes of a text: its group, or all that it matches; undefined where it does not, or takes nothing. */
export function matchOf(pattern: RegExp, text: string): string | undefined {
  const [whole, group = whole] = pattern.exec(text) ?? [];
  return group === '' ? undefined : group;
}
