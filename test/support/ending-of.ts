import { EndGrantEnvironment, type GrantEnding, grantEndingsOf } from '#shared/grant-revocation/end-grant.ts';

/** What a function makes of one row of `END_GRANT`. */
export function endingOf(row: object): GrantEnding {
  const [ending] = grantEndingsOf({ END_GRANT: EndGrantEnvironment.END_GRANT.parse(JSON.stringify([row])) });
  if (ending === undefined) throw new RangeError('there is no row');
  return ending;
}
