type Answer = ss_mi.Unlinked | ss_mi.Failure;

// Not window's: a page may also have declared them with const.
declare const ssmi_user_unlink_success: Window['ssmi_user_unlink_success'];
declare const ssmi_user_unlink_failure: Window['ssmi_user_unlink_failure'];

const TIMEOUT_MS = 30_000;
/** A timer that is set for longer ends at once. */
const LONGEST_TIMEOUT_MS = 0x7fffffff;

const settings: ss_mi.Settings = {};

// Known only while the script is run for the first time.
const script = document.currentScript;
const source = script instanceof HTMLScriptElement ? script.src : '';
const defaultEndpoint = `${new URL(source, location.href).origin}/social/unlink`;

function unlinkUser(email: unknown): Promise<Answer> {
  return new Promise((resolve) => {
    void answerTo(email).then((answer) => {
      // A task of its own: a page's script may define its functions after the call, and one that throws is reported
      // as any uncaught error and stops nothing of ours.
      setTimeout(() => {
        resolve(answer);
        callBack(answer);
      });
    });
  });
}

function callBack(answer: Answer): void {
  if ('error' in answer) {
    if (typeof ssmi_user_unlink_failure === 'function') ssmi_user_unlink_failure(answer);
  } else if (typeof ssmi_user_unlink_success === 'function') {
    ssmi_user_unlink_success(answer);
  }
}

async function answerTo(email: unknown): Promise<Answer> {
  if (typeof email !== 'string' || email.trim() === '') return failure('Email address missing');
  const { timeout_ms } = settings;
  const timeoutMs = timeout_ms !== undefined && timeout_ms > 0 ? Math.min(timeout_ms, LONGEST_TIMEOUT_MS) : TIMEOUT_MS;
  const aborter = new AbortController();
  return new Promise((resolve) => {
    const giveUp = () => resolve(failure());
    // Also of a page's token function that never answers: no request is then sent late.
    const timer = setTimeout(() => {
      aborter.abort();
      giveUp();
    }, timeoutMs);
    void post(email, aborter.signal)
      .then(resolve, giveUp)
      .then(() => clearTimeout(timer));
  });
}

async function post(email: string, signal: AbortSignal): Promise<Answer> {
  const { endpoint, token, network } = settings;
  const bearer = typeof token === 'function' ? await token() : token;
  const response = await fetch(endpoint || defaultEndpoint, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...(bearer && { Authorization: `Bearer ${bearer}` }) },
    body: JSON.stringify({ email, network }),
    credentials: 'omit',
    // The token is for the endpoint and for nobody that it sends us to.
    redirect: 'error',
    signal,
  });
  const answer: Partial<ss_mi.Unlinked & ss_mi.Failure> = await response.json();
  const { is_unlinked, is_permissions_revoked, error, reason } = answer;
  if (response.ok && typeof is_unlinked === 'boolean' && typeof is_permissions_revoked === 'boolean') {
    return { is_unlinked, is_permissions_revoked };
  }
  const isFailure = response.status !== 401 && error === true && typeof reason === 'string';
  return failure(isFailure ? reason : undefined);
}

/** @param reason Spelled as the document spells it. */
function failure(reason = 'Processing Eroor'): ss_mi.Failure {
  return { error: true, reason };
}

/** Returns whether the command stays in the queue, for other scripts that read it and for a second run of this one. */
function run(command: unknown): boolean {
  const [name, argument]: unknown[] = Array.isArray(command) ? command : [];
  if (name === 'init') Object.assign(settings, argument);
  if (name !== 'ssmi_unlink_user') return true;
  void unlinkUser(argument);
  return false;
}

const queue: unknown[] = Array.isArray(window._ssq) ? window._ssq : [];
queue.push = (...commands) => Array.prototype.push.apply(queue, commands.filter(run));
queue.push(...queue.splice(0));

// Beside what the page has of ShopSocially's other functions.
const others: object | undefined = Reflect.get(window, 'ss_mi');
Object.assign(window, { _ssq: queue, ss_mi: Object.assign(others || {}, { ssmi_unlink_user: unlinkUser }) });
