import * as z from 'zod/mini';

/** Why the ids of the vendor's own examples are refused: pasted, they would match nobody, or somebody else. */
const SUBJECT_RULE =
  'must be 1 to 255 visible ASCII characters: an id copied from a document may hold look-alikes, such as U+2011 in place of a hyphen';

/** `subjectId`: the id of a subject, or `current`. Compared byte for byte, never normalised. */
export const SubjectId = z.string(SUBJECT_RULE).check(z.regex(/^[\x21-\x7e]{1,255}$/, SUBJECT_RULE));

const TEXT_RULE = 'must be 1 to 255 characters, none of them a control character';

/** A part of an external identity, or a name: as it is, never normalised. */
export const Text = z.string(TEXT_RULE).check(
  z.minLength(1, TEXT_RULE),
  z.maxLength(255, TEXT_RULE),
  z.refine((text) => text.isWellFormed() && !/\p{Cc}/u.test(text), TEXT_RULE),
);

/** What every call about one link names. */
export const LinkParameters = z.object({ subjectId: SubjectId, fpType: Text, fpName: Text, sid: Text });
