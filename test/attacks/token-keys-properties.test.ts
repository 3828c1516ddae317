/** No two users share what their tokens go by in the store, whatever their issuers write into them. */
import { createSecretKey } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { identifyToken } from '#shared/access-token/identify.ts';
import type { VerifiedToken } from '#shared/access-token/verify.ts';
import { cutOffKeys, grantIds } from '#shared/token-revocation/token-id.ts';

const PEPPERS = [{ name: 'k1', key: createSecretKey(Buffer.alloc(32, 'a')) }];

/** Texts that could be taken for one another where they are put together: separators, quotes, JSON, half characters. */
const word = fc.oneof(
  fc
    .array(
      fc.constantFrom('a', 'b', '|', '"', '","', '\\', '[', ']', ',', ':', '.', 'null', 'link', '\0', '\ud800', ' '),
      {
        maxLength: 4,
      },
    )
    .map((parts) => parts.join('')),
  fc.string({ unit: 'binary', maxLength: 4 }),
);
const nullable = fc.option(word, { nil: undefined });

/** The same for equal values alone. */
const identity = (values: readonly unknown[]) => JSON.stringify(values);

describe('keys of the revocation store', () => {
  test('of grants differ where issuer, claim, value or subject differ', () => {
    const grant = fc.record({ issuer: word, claim: word, value: word, subject: nullable });
    const nameOf = ({ issuer, claim, value, subject }: Parameters<typeof grantIds>[0]) =>
      identity([issuer, claim, value, subject ?? null, subject === undefined]);
    fc.assert(
      fc.property(grant, grant, (one, other) => {
        const isSame = nameOf(one) === nameOf(other);
        expect(grantIds(one, PEPPERS).current === grantIds(other, PEPPERS).current).toBe(isSame);
      }),
      { numRuns: 1000 },
    );
  });

  test('of cut-offs differ where the issuer or what is cut off differs', () => {
    const scope = fc.oneof(
      fc.record({ issuer: word, subject: word }),
      fc.record({ issuer: word, client: word }),
      fc.record({ issuer: word, link: fc.tuple(word, fc.option(word, { nil: null })) }),
    );
    const nameOf = (one: Parameters<typeof cutOffKeys>[0]) => {
      if ('link' in one) return identity(['link', one.issuer, ...one.link]);
      return 'client' in one
        ? identity(['client', one.issuer, one.client])
        : identity(['subject', one.issuer, one.subject]);
    };
    fc.assert(
      fc.property(scope, scope, (one, other) => {
        const isSame = nameOf(one) === nameOf(other);
        expect(cutOffKeys(one, PEPPERS).current === cutOffKeys(other, PEPPERS).current).toBe(isSame);
      }),
      { numRuns: 1000 },
    );
  });

  test('that an unlink writes for one user are in no other user’s token', () => {
    const token = fc.record({ issuer: word, subject: word, client: nullable, value: word });
    fc.assert(
      fc.property(token, token, fc.boolean(), fc.boolean(), (one, second, sharesIssuer, sharesSubject) => {
        const other = {
          ...second,
          value: one.value,
          client: one.client,
          ...(sharesIssuer && { issuer: one.issuer }),
          ...(sharesSubject && { subject: one.subject }),
        };
        fc.pre(one.issuer !== other.issuer || one.subject !== other.subject);
        const [mine, theirs] = [one, other].map(({ issuer, subject, client, value }, index) => {
          const known: VerifiedToken = {
            ...{ issuer, subject, client, isApplication: false, scopes: [], claims: {} },
            grant: { claim: 'grant_id', value },
            jwtId: value,
          };
          return identifyToken(`token-${index}`, { status: 'verified', token: known }, PEPPERS);
        });
        const written = [...(mine?.tokenIds ?? []), ...(mine?.grants ?? []), mine?.linkCutOff];
        const { tokenIds, grants, cutOffKeys: cutOffs } = theirs?.presented ?? {};
        const lookedUp = [...(tokenIds ?? []), ...(grants ?? []), ...(cutOffs ?? [])];
        expect(written).toHaveLength(4);
        expect(lookedUp.length).toBeGreaterThan(4);
        for (const key of written) expect(lookedUp).not.toContain(key);
      }),
      { numRuns: 500 },
    );
  });
});
