import { expect, test } from 'vitest';
import { bindingsOf, withBinding, withoutBindings } from '#shared/threepid/rules.ts';
import { isUnderWay, MAX_BINDINGS, type ThreepidBinding } from '#shared/threepid/threepid-binding.ts';

const PENDING: ThreepidBinding = {
  ...{ mxid: '@ann:example.org', medium: 'email', address: 'ann@example.test', idServer: 'id.example.org' },
  ...{ bindId: 'first', state: 'pending', begunAt: 1000 },
};
const BOUND: ThreepidBinding = { ...PENDING, state: 'bound' };

/** Binds that differ from the first one in what makes them others. */
const OTHERS: ThreepidBinding[] = [
  { ...PENDING, mxid: '@bob:example.org' },
  { ...PENDING, medium: 'msisdn' },
  { ...PENDING, address: 'other@example.test' },
  { ...PENDING, idServer: 'other.example.org' },
  { ...PENDING, bindId: 'second' },
];

test('those of one identifier are found, in the order they were begun', () => {
  const [, ofPhone, ofOther] = OTHERS;
  const later = { ...PENDING, bindId: 'later', begunAt: 3000 };
  const between = { ...PENDING, bindId: 'between', begunAt: 2000 };
  const all = [later, PENDING, ofPhone, ofOther, between].filter((binding) => binding !== undefined);

  expect(bindingsOf(all, PENDING)).toEqual([PENDING, between, later]);
});

test('a new one is added, without what its object has besides', () => {
  expect(withBinding(OTHERS, Object.assign({ secret: 'x' }, PENDING))).toEqual([...OTHERS, PENDING]);
});

test('one that is known has its new state, and the time at which it was begun', () => {
  const [other] = OTHERS;
  const known = [PENDING, ...OTHERS];

  expect(withBinding(known, { ...BOUND, begunAt: 9000 })).toEqual([BOUND, ...OTHERS]);
  expect(other?.state).toBe('pending');
});

test.each([
  ['the same', PENDING, PENDING],
  ['pending again though it is bound', BOUND, PENDING],
])('nothing changes by one that is %s', (_title, known, put) => {
  const list = [known];

  expect(withBinding(list, put)).toBe(list);
});

test('a user has so many at the most, and they may still change their state', () => {
  const all = Array.from({ length: MAX_BINDINGS }, (_, index) => ({ ...PENDING, bindId: `bind-${index}` }));

  expect(withBinding(all.slice(1), PENDING)).toHaveLength(MAX_BINDINGS);
  expect(withBinding(all, PENDING)).toBeUndefined();
  expect(withBinding(all, { ...BOUND, bindId: 'bind-7' })?.[7]?.state).toBe('bound');
});

test('those that are still in their state are forgotten, and no others', () => {
  const [ofBob, ...others] = OTHERS;

  expect(withoutBindings([PENDING, ...OTHERS], [PENDING, ...(ofBob === undefined ? [] : [ofBob])])).toEqual(others);
});

test.each([
  ['has another state by now', [BOUND], [PENDING]],
  ['is not known', OTHERS, [PENDING]],
])('nothing changes where what is to be forgotten %s', (_title, known, forgotten) => {
  expect(withoutBindings(known, forgotten)).toBe(known);
});

test.each([
  ['has just begun', PENDING, 1000, true],
  ['began almost a minute ago', PENDING, 60_999, true],
  ['began a minute ago', PENDING, 61_000, false],
  ['is bound', BOUND, 1000, false],
])('whether one that %s is under way', (_title, binding, now, expected) => {
  expect(isUnderWay(binding, now)).toBe(expected);
});
