/** What the registry knows of the dependencies. `unknown`: it could not be asked. */
export interface AuditVerdict {
  readonly status: 'clean' | 'findings' | 'unknown';
  /** One finding each, or the reason why nothing is known. */
  readonly lines: readonly string[];
}

/** What `npm audit --json` prints. */
interface Advisories {
  readonly auditReportVersion?: number;
  readonly vulnerabilities?: Readonly<Record<string, Vulnerability>>;
}

interface Vulnerability {
  readonly name: string;
  readonly severity: string;
  /** Advisories, or names of packages that bring the weakness along. */
  readonly via: readonly (string | { readonly title: string; readonly url: string })[];
}

const SEVERITIES_THAT_FAIL = ['high', 'critical'];

/** Reads what `npm audit --json` printed: findings are weaknesses of high or critical severity. */
export function readAdvisories(printed: string): AuditVerdict {
  const answer = parse<Advisories>(printed);
  if (answer?.auditReportVersion === undefined) return unknown(printed);
  const severe = Object.values(answer.vulnerabilities ?? {}).filter(({ severity }) =>
    SEVERITIES_THAT_FAIL.includes(severity),
  );
  return verdict(
    severe.map(({ name, severity, via }) => {
      const reasons = via.map((cause) => (typeof cause === 'string' ? `by ${cause}` : `${cause.title}, ${cause.url}`));
      return `${name}: ${severity}: ${reasons.join('; ')}`;
    }),
  );
}

/** What `npm audit signatures --json` prints. */
interface Signatures {
  readonly invalid?: readonly SignedPackage[];
  readonly missing?: readonly SignedPackage[];
}

interface SignedPackage {
  readonly name: string;
  readonly version: string;
}

/** Reads what `npm audit signatures --json` printed: findings are packages whose signature is wrong or missing. */
export function readSignatures(printed: string): AuditVerdict {
  const answer = parse<Signatures>(printed);
  if (answer?.invalid === undefined || answer.missing === undefined) return unknown(printed);
  return verdict([
    ...answer.invalid.map(({ name, version }) => `${name} ${version}: its signature is wrong`),
    ...answer.missing.map(({ name, version }) => `${name} ${version}: it has no signature`),
  ]);
}

function verdict(findings: readonly string[]): AuditVerdict {
  return { status: findings.length > 0 ? 'findings' : 'clean', lines: findings };
}

/** How npm says that it could not ask: an error of its own, or the registry's answer. */
interface Refusal {
  readonly message?: string;
  readonly error?: { readonly summary?: string };
}

function unknown(printed: string): AuditVerdict {
  const refusal = parse<Refusal>(printed);
  const reason = refusal?.error?.summary || refusal?.message || 'npm gave no answer that can be read';
  // An address may hold a password.
  return { status: 'unknown', lines: [reason.replace(/\/\/[^/\s@]*@/g, '//')] };
}

/** Whatever npm printed may be cut off: each field that is read is looked for first. */
function parse<Answer>(printed: string): Answer | undefined {
  try {
    return JSON.parse(printed) ?? undefined;
  } catch {
    return undefined;
  }
}
