/** What a placeholder may stand for: a value of the token, or the id of something that the server lists. */
const PLACEHOLDER = /\{(subject|client|grant|jti|id)\}/g;
/** The name of one. */
export type Placeholder = 'subject' | 'client' | 'grant' | 'jti' | 'id';

/** A URL with the values of a token, each percent-encoded as strictly as can be; or why there is none. */
export function fillTemplate(
  template: string,
  values: Readonly<Partial<Record<Placeholder, string | undefined>>>,
): { readonly url: string } | { readonly fault: string } {
  let fault: string | undefined;
  const url = template.replace(PLACEHOLDER, (_placeholder, name: Placeholder) => {
    const { [name]: value = '' } = values;
    if (value === '') fault ??= `the token has no {${name}}`;
    else if (!isSafe(value)) fault ??= `{${name}} of the token cannot be in a URL`;
    else return encodeStrictly(value);
    return '';
  });
  return fault === undefined ? { url } : { fault };
}

/** The placeholders of a template, each once. */
export function placeholdersOf(template: string): ReadonlySet<Placeholder> {
  // The pattern takes no other names.
  return new Set([...template.matchAll(PLACEHOLDER)].map(([, name]) => name as Placeholder));
}

/** Whether a setting's URL has placeholders in its path or query alone, one of which tells the user's grant from others'. */
export function isTemplate(url: string): boolean {
  const [, host = '', rest = ''] = /^(https?:\/\/[^/?\\]*)([^\\]*)$/.exec(url) ?? [];
  const names = [...rest.matchAll(PLACEHOLDER)].map(([, name]) => name);
  const [path = ''] = rest.split('?');
  const hasDots = path.split('/').some((part) => /^(\.|%2e){1,2}$/i.test(part));
  const isOfUser = names.some((name) => name !== 'client') && !names.includes('id');
  return isOfUser && !/[{}]/.test(host + rest.replace(PLACEHOLDER, '')) && !hasDots;
}

/** Whether a value stays what it is in a path: some servers decode it first and take out its dots then. */
function isSafe(value: string): boolean {
  return value.isWellFormed() && !value.split(/[/\\]/).some((part) => part === '.' || part === '..');
}

/** RFC 3986, section 2.3: only what is unreserved stays. */
function encodeStrictly(value: string): string {
  return encodeURIComponent(value).replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);
}
