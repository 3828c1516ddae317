/** How an operator rotates the keys of what is sealed. */
import type { SealedText, SealedTexts } from '#shared/directory/directory.ts';
import { DirectoryEnvironment } from '#shared/directory/locate-directory.ts';
import { type EncryptionKey, EncryptionKeys, seal, unseal } from '#shared/encryption.ts';
import { isStoreUnavailable } from '#shared/errors.ts';
import { ask, useDirectory } from './directory.ts';
import { doLongWork, type WorkControl } from './long-work.ts';
import { workInParallel } from './parallel.ts';
import { readSettings } from './settings.ts';
import { tell } from './terminal.ts';
import { defineVerb, EXIT, formatRows, readCount, Unfinished, visible } from './verb.ts';

const RotateEnvironment = { ...DirectoryEnvironment, ENCRYPTION_KEYS: EncryptionKeys };

/** How many texts are replaced at a time. */
const AT_ONCE = 8;

/** When so many texts do not open, a key is missing, and to look for more is no use. */
const MAX_UNOPENED = 10_000;

/** Seals all that is sealed with the newest key. */
export const rotateKeys = defineVerb({
  summary: 'seal all kept tokens with the newest of ENCRYPTION_KEYS, until none is left under an older one',
  options: {
    batch: { type: 'string', value: '<texts>', help: 'the most texts of one batch: 1 to 10000, default 1000' },
  },
  notes: `
First deploy every function with the new key in front of ENCRYPTION_KEYS, and the older ones behind it: one without the
new key cannot open what is sealed with it, and one where an older key is in front goes on to seal with that.

It can be stopped at any time and repeated. What no key opens is told, and left as it is.
`,
  async run(values) {
    const batch = readCount('batch', values.batch, { standard: 1000, most: 10_000 });
    const settings = readSettings(RotateEnvironment, values['data-dir']);
    // There is one at the least (EncryptionKeys).
    const [newest, ...older] = settings.ENCRYPTION_KEYS.map(({ name }) => name) as [string, ...string[]];
    return await useDirectory(settings, async ({ sealed }, store) => {
      const { resealed, unopened } = await resealAll(sealed, settings.ENCRYPTION_KEYS, batch);
      const isDone = unopened === 0;
      const rows = [
        ['store', store],
        ['newest key', newest],
        ['sealed anew', String(resealed)],
        ['not opened', isDone ? undefined : String(unopened)],
      ] as const;
      return {
        document: { resealed, unopened, newest_key: newest, removable_keys: isDone ? older : [], store },
        text: `${conclusion(unopened, older)}\n\n${formatRows(rows)}`,
        exitCode: isDone ? EXIT.done : EXIT.partly,
      };
    });
  },
});

function conclusion(unopened: number, older: readonly string[]): string {
  if (unopened > 0) return 'Keep the older keys: some texts are still under another key than the newest.';
  if (older.length === 0) return 'Nothing is under another key.';
  return `Nothing is left under another key: ${older.join(', ')} may be removed from ENCRYPTION_KEYS; a bind in the browser that has begun before has to be begun again.`;
}

/**
 * @throws {Unfinished}
 * @throws {Interrupted}
 */
async function resealAll(
  texts: SealedTexts,
  keys: readonly EncryptionKey[],
  batch: number,
): Promise<{ resealed: number; unopened: number }> {
  const unopened = new Set<string>();
  let resealed = 0;
  const report = {
    progress: () => `${resealed} texts sealed anew`,
    done: () => `${resealed} texts were sealed anew. Repeat the command.`,
  };
  const work = async ({ signal, show }: WorkControl) => {
    while (!signal.aborted) {
      // What does not open is found again each time. The batch grows with it, or each would be mostly that.
      const limit = Math.max(batch, unopened.size) + unopened.size;
      const found = await ask(() => texts.find(keys[0]?.name ?? '', limit));
      const left = found.filter((text) => !unopened.has(identify(text)));
      if (left.length === 0 || unopened.size >= MAX_UNOPENED) break;
      await workInParallel(left, {
        atOnce: AT_ONCE,
        signal,
        async work(text) {
          const fault = await reseal(text, texts, keys);
          if (fault === undefined) resealed += 1;
          else if (fault !== 'gone') {
            unopened.add(identify(text));
            tell(`${describe(text)} cannot be opened: ${fault}.`);
          }
        },
      });
      show();
    }
  };
  try {
    await doLongWork(report, work);
  } catch (error) {
    if (!isStoreUnavailable(error)) throw error;
    throw new Unfinished(report.done(), { cause: error });
  }
  if (unopened.size >= MAX_UNOPENED) tell('These are too many: what is left was not looked at.');
  return { resealed, unopened: unopened.size };
}

/** Seals a text anew; else why not. `gone`: it has changed, and is found again if it still has to be. */
async function reseal(
  text: SealedText,
  texts: SealedTexts,
  keys: readonly EncryptionKey[],
): Promise<string | undefined> {
  const by = open(text, keys);
  if (by === undefined) return faultOf(text, keys);
  const isReplaced = await ask(() => texts.replace(text, seal(by, text.boundTo, keys)));
  return isReplaced ? undefined : 'gone';
}

/** Undefined: no key opens it. Of the store's failures it is none: those are for another try. */
function open({ sealed, boundTo }: SealedText, keys: readonly EncryptionKey[]): string | undefined {
  try {
    return unseal(sealed, boundTo, keys);
  } catch (error) {
    if (!isStoreUnavailable(error)) throw error;
    return undefined;
  }
}

function faultOf({ sealed }: SealedText, keys: readonly EncryptionKey[]): string {
  const [, name] = /^([A-Za-z0-9]{1,16})\./.exec(sealed) ?? [];
  if (name === undefined) return 'it is not sealed as it should be';
  return keys.some((key) => key.name === name)
    ? `its key ${name} does not fit, or it was changed`
    : `its key ${name} is not in ENCRYPTION_KEYS`;
}

/** A text that has changed is another one. */
function identify({ of, key, sealed }: SealedText): string {
  return JSON.stringify([of, key, sealed]);
}

/** Whose tokens they are, without them. */
function describe({ of, key, boundTo }: SealedText): string {
  const owner = ownerOf(boundTo);
  const name = of === 'link' ? 'The link' : `The job ${key}`;
  return visible(owner === undefined ? name : `${name} of ${owner}`);
}

/** What a link's tokens, and those of its job, are bound to tells whose they are. */
function ownerOf(boundTo: string): string | undefined {
  try {
    const [subject, fpType, fpName]: readonly unknown[] = JSON.parse(boundTo);
    return `${subject} at ${fpType}:${fpName}`;
  } catch {
    return undefined;
  }
}
