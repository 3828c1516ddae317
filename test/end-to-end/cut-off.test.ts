import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type LinkedProject, startLinkedProject } from '#test/support/linked-project.ts';

let linked: LinkedProject;

describe.each(['jwt', 'opaque'] as const)('with %s access tokens of which no claim names the grant', (format) => {
  beforeAll(async () => {
    linked = await startLinkedProject(() => ({ local: { GRANT_CLAIM: null } }));
  });

  afterAll(() => linked.close());

  // What the server issues now was issued before what the functions do from here on.
  beforeEach(() => linked.order({ aheadS: -10 }));

  test('an unlink ends all that was issued to the user at the client so far, and refreshes of it', async () => {
    const [one, other] = [await linked.link('ann', format), await linked.link('ann', format)];
    const bobs = await linked.link('bob', format);

    expect(await linked.unlink(one.accessToken)).toMatchObject({ first: true, reached: ['cut_off'] });

    expect(await linked.call(one.accessToken)).toBe(403);
    expect(await linked.call(other.accessToken)).toBe(403);
    expect(await linked.refresh(one)).toMatchObject({ status: 400, error: 'invalid_grant' });
    expect(await linked.refresh(other)).toMatchObject({ status: 400, error: 'invalid_grant' });
    expect(await linked.call(bobs.accessToken)).toBe(200);
  });

  test('where the server does not ask, a refreshed token is refused only when it is as old as the unlink', async () => {
    const link = await linked.link('eve', format);
    await linked.unlink(link.accessToken);

    await linked.order({ asks: false });
    const older = await linked.refresh(link);
    expect(await linked.call(older.accessToken)).toBe(403);

    await linked.order({ asks: false, aheadS: 2 });
    const younger = await linked.refresh(link);
    expect(await linked.call(younger.accessToken)).toBe(200);
  });

  test('a link made anew works from the next second on, whoever replays the old token', async () => {
    const link = await linked.link('kim', format);
    await linked.unlink(link.accessToken);
    // Two, for the unlink may have come late in its second.
    await linked.order({ aheadS: 2 });
    const again = await linked.link('kim', format);
    expect(await linked.call(again.accessToken)).toBe(200);

    expect(await linked.unlink(link.accessToken)).toMatchObject({ first: false });

    expect(await linked.call(again.accessToken)).toBe(200);
    expect((await linked.refresh(again)).status).toBe(200);
  });
});

describe('with UNLINK_CUTOFF=client', () => {
  beforeAll(async () => {
    linked = await startLinkedProject(() => ({ local: { UNLINK_CUTOFF: 'client' } }));
    await linked.order({ aheadS: -10 });
  });

  afterAll(() => linked.close());

  test('an unlink ends all links of the user at the client', async () => {
    const [one, other] = [await linked.link('ann'), await linked.link('ann')];
    const bobs = await linked.link('bob');

    expect(await linked.unlink(one.accessToken)).toMatchObject({ reached: ['grant', 'cut_off'] });

    expect(await linked.call(other.accessToken)).toBe(403);
    expect(await linked.refresh(other)).toMatchObject({ status: 400, error: 'invalid_grant' });
    expect(await linked.call(bobs.accessToken)).toBe(200);
  });
});
