/** What becomes of a user's binds: for the drivers that keep them as one list. */
import { MAX_BINDINGS, type OwnedThreepid, type ThreepidBinding } from './threepid-binding.ts';

/** Those of one identifier, in the order they were begun. */
export function bindingsOf(
  bindings: readonly ThreepidBinding[],
  { medium, address }: OwnedThreepid,
): readonly ThreepidBinding[] {
  return bindings
    .filter((binding) => binding.medium === medium && binding.address === address)
    .sort((a, b) => a.begunAt - b.begunAt);
}

/**
 * A user's binds with one that is new or has another state. What is bound stays so, and what was begun at a time too.
 *
 * @returns The same list: nothing is to be changed. Undefined: it would be one too many.
 */
export function withBinding(
  bindings: readonly ThreepidBinding[],
  put: ThreepidBinding,
): readonly ThreepidBinding[] | undefined {
  const known = bindings.find((binding) => isSame(binding, put));
  if (known === undefined) return bindings.length < MAX_BINDINGS ? [...bindings, bindingOf(put)] : undefined;
  if (known.state === put.state || known.state === 'bound') return bindings;
  return bindings.map((binding) => (binding === known ? { ...known, state: put.state } : binding));
}

/**
 * A user's binds without those that are still in the state given.
 *
 * @returns The same list: nothing is to be changed.
 */
export function withoutBindings(
  bindings: readonly ThreepidBinding[],
  forgotten: readonly ThreepidBinding[],
): readonly ThreepidBinding[] {
  const left = bindings.filter(
    (binding) => !forgotten.some((other) => isSame(binding, other) && binding.state === other.state),
  );
  return left.length === bindings.length ? bindings : left;
}

/** Without what an object may have besides. */
function bindingOf({ mxid, medium, address, idServer, bindId, state, begunAt }: ThreepidBinding): ThreepidBinding {
  return { mxid, medium, address, idServer, bindId, state, begunAt };
}

function isSame(a: ThreepidBinding, b: ThreepidBinding): boolean {
  return (['mxid', 'medium', 'address', 'idServer', 'bindId'] as const).every((part) => a[part] === b[part]);
}
