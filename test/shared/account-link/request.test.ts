import { expect, test } from 'vitest';
import { LinkParameters, SubjectId, Text } from '#shared/account-link/request.ts';

const SUBJECT_RULE =
  'must be 1 to 255 visible ASCII characters: an id copied from a document may hold look-alikes, such as U+2011 in place of a hyphen';
const TEXT_RULE = 'must be 1 to 255 characters, none of them a control character';

test.each(['a', 'current', '!~', 'x'.repeat(255)])('%j is the id of a subject', (text) => {
  expect(SubjectId.parse(text)).toBe(text);
});

test.each([undefined, 7, '', ' a', 'a b', 'a\n', 'a\u2011b', 'x'.repeat(256)])('%j is not', (text) => {
  expect(SubjectId.safeParse(text).error?.issues).toMatchObject([{ message: SUBJECT_RULE }]);
});

test.each(['a', ' ', 'Ирина 😀', 'x'.repeat(255)])('%j is a part of an identity', (text) => {
  expect(Text.parse(text)).toBe(text);
});

test.each([undefined, 7, '', 'a\nb', 'a\u007f', '\u0000', 'a\ud83d', 'x'.repeat(256)])('%j is none', (text) => {
  expect(Text.safeParse(text).error?.issues).toMatchObject([{ message: TEXT_RULE }]);
});

test('a call about a link names the subject and each part of the identity', () => {
  const parameters = { subjectId: 'ann', fpType: 'vk', fpName: 'vk_1', sid: '1' };

  expect(LinkParameters.parse({ ...parameters, other: 1 })).toEqual(parameters);
  expect(LinkParameters.safeParse({}).error?.issues.map(({ path }) => path)).toEqual(
    Object.keys(parameters).map((name) => [name]),
  );
});
