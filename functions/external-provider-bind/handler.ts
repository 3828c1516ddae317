import { blitzError } from '#shared/account-link/blitz-error.ts';
import { confirmBind } from '#shared/bind/confirm-bind.ts';
import {
  type BrowserReply,
  continueFromPage,
  continueFromProvider,
  continueFromSignIn,
  recordFailure,
} from '#shared/bind/continue-bind.ts';
import { BindEnvironment, type BindPorts, openBindPorts } from '#shared/bind/open-ports.ts';
import { failurePage, mistakePage, readBrowserCookie, readPageCookie, render } from '#shared/bind/render.ts';
import { startBind } from '#shared/bind/start-bind.ts';
import { preferredLanguage } from '#shared/bind/texts.ts';
import { CallerError, isFailure } from '#shared/errors.ts';
import { defineFunction } from '#shared/runtime/define-function.ts';
import type { Call, Operation } from '#shared/runtime/function-definition.ts';
import providers from '../../providers.json' with { type: 'json' };

const start: Operation<BindPorts> = async (call, ports) => ({
  status: 200,
  body: await startBind({ ...call, allowsBasic: true, fields: () => call.fields('json') }, ports),
});

const confirm: Operation<BindPorts> = async (call, ports) => {
  await confirmBind({ ...call, allowsBasic: false, fields: () => call.fields('json') }, ports);
  return { status: 204 };
};

/** An operation that a browser calls: whatever happens, it shows a page. */
const browser =
  (step: (call: Call, ports: BindPorts) => Promise<BrowserReply>): Operation<BindPorts> =>
  async (call, ports) => {
    const language = preferredLanguage(call.header('accept-language'));
    const titleOf = (key: string) => ports.providers.find(key)?.title ?? key;
    const applicationTitleOf = (client: string) => ports.clients.find(({ id }) => id === client)?.title;
    try {
      const reply = await step(call, ports);
      return render(reply, { language, formAction: ports.formAction, titleOf, applicationTitleOf });
    } catch (error) {
      if (!(error instanceof CallerError)) {
        return { ...failurePage(language), failure: isFailure(error) ? error.code : 'server_error', cause: error };
      }
      recordFailure(call, 'state_missing');
      return mistakePage(400, language);
    }
  };

const cookieOf = (call: Call) => (digest: string) => readBrowserCookie(call.header('cookie'), digest);

const fromProvider = (parametersOf: (call: Call) => URLSearchParams) =>
  browser((call, ports) => {
    const { fpType, fpName } = call.path();
    // Text, unless somebody else than the gateway has written the event.
    const provider = typeof fpType === 'string' && typeof fpName === 'string' ? `${fpType}:${fpName}` : '';
    const answer = { provider, parameters: parametersOf(call), cookieOf: cookieOf(call) };
    return continueFromProvider(call, answer, ports);
  });

/** Of a form, each field is there once (the runtime sees to that) and text. */
const formOf = (call: Call) =>
  new URLSearchParams(Object.entries(call.fields('form')).map(([name, value]) => [name, String(value)]));

/** Binds an account at an external provider, in the browser (Blitz `fa`). */
export const handler = defineFunction({
  name: 'external-provider-bind',
  environment: BindEnvironment,
  ports: (settings, platform) => openBindPorts(providers, settings, platform),
  raw: { 'external-provider.bind': start, 'external-provider.bind-confirm': confirm },
  gateway: {
    'external-provider-bind': start,
    'external-provider-bind.confirm': confirm,
    'external-provider-bind.callback': fromProvider((call) => call.query()),
    'external-provider-bind.form-callback': fromProvider(formOf),
    'external-provider-bind.sign-in': browser((call, ports) =>
      continueFromSignIn(call, { parameters: call.query(), cookieOf: cookieOf(call) }, ports),
    ),
    'external-provider-bind.page': browser((call, ports) => {
      const { token: given = '', choice } = call.fields('form');
      const token = String(given);
      const cookie = readPageCookie(call.header('cookie'), token);
      // Only the button that declines is named.
      return continueFromPage(call, { token, cookie, isDeclined: choice !== undefined }, ports);
    }),
  },
  errorBody: blitzError,
});
