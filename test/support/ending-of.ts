import {
  type ApiEnding,
  EndGrantEnvironment,
  type GrantEnding,
  grantEndingsOf,
} from '#shared/grant-revocation/end-grant.ts';

/** What a function makes of one row of `END_GRANT`. */
export function endingOf(row: object): GrantEnding {
  const [ending] = grantEndingsOf({ END_GRANT: EndGrantEnvironment.END_GRANT.parse(JSON.stringify([row])) });
  if (ending === undefined) throw new RangeError('there is no row');
  return ending;
}

/** The same of a row whose preset has an API. */
export function apiEndingOf(row: object): ApiEnding {
  const ending = endingOf(row);
  if (ending.preset === 'rfc7009') throw new RangeError('RFC 7009 has no API');
  return ending;
}
