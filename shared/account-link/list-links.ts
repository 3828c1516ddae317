import * as z from 'zod/mini';
import { retryWhileUnavailable } from '../databases/retry.ts';
import type { Directory } from '../directory/directory.ts';
import type { JsonObject } from '../json.ts';
import { parseInput } from '../schema.ts';
import { type CallerPorts, type CallerRequest, identifyCaller, permittedSubject } from './caller.ts';
import { SubjectId } from './request.ts';

/** What listing links needs. */
export interface ListLinksPorts extends CallerPorts {
  readonly directory: Pick<Directory, 'links'>;
}

/** A call to list links. */
export interface ListLinksRequest extends CallerRequest {
  readonly parameters: () => JsonObject;
}

/** A link as the Blitz API shows it. */
export interface ListedLink {
  readonly sid: string;
  readonly fpType: string;
  readonly fpName: string;
  readonly userName?: string;
}

const Parameters = z.object({ subjectId: SubjectId });

/**
 * The links of a subject, in the order they were made.
 *
 * @throws {CallerError} `invalid_token`, `invalid_client`, `invalid_request`, `insufficient_scope`
 * @throws {Failure}
 * @see https://docs.identityblitz.com/latest/integration-guide/rest-api-user-idp.html
 */
export async function listLinks(request: ListLinksRequest, ports: ListLinksPorts): Promise<ListedLink[]> {
  const caller = await identifyCaller(request, ports);
  const { subjectId } = parseInput(Parameters, request.parameters(), 'parameter');
  const subject = permittedSubject(caller, 'read', subjectId, request, ports);
  const links = await retryWhileUnavailable(request.remainingMs(), (timeoutMs) =>
    ports.directory.links.list(subject, timeoutMs),
  );
  return links.map(({ sid, fpType, fpName, userName }) => ({
    sid,
    fpType,
    fpName,
    ...(userName !== undefined && { userName }),
  }));
}
