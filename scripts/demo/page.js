/** The page of the demo application. Texts of others are only ever set as text. */

/** @param {string} id */
const element = (id) => document.getElementById(id);
const settings = await (await fetch('/settings.json')).json();
const callback = `${location.origin}/callback`;

/** Writes down a call, the newest on top. */
function note(call, answer) {
  const item = document.createElement('li');
  const said = document.createElement('span');
  item.textContent = call;
  said.className = 'answer';
  said.textContent = answer;
  item.append(said);
  element('calls').prepend(item);
}

/** Calls the API as the user who is signed in. */
async function callApi(method, path, body) {
  const response = await fetch(`${settings.api}${path}`, {
    method,
    headers: {
      Authorization: `Bearer ${sessionStorage.getItem('token')}`,
      ...(body !== undefined && { 'Content-Type': 'application/json' }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  note(
    `${method} ${settings.api}${path}${body === undefined ? '' : ` ${JSON.stringify(body)}`}`,
    `${response.status} ${text}`,
  );
  return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
}

/** What came of a bind: of the callback's query, or of the popup's message. */
function showResult({ status, fp, error }) {
  const texts = {
    success: `${fp} is linked.`,
    cancelled: `Cancelled at ${fp}: nothing was linked.`,
    error: `${fp} was not linked: ${error}.`,
  };
  element('result').textContent = texts[status] ?? `${fp}: ${status}`;
  element('result').className = status === 'success' ? 'good' : '';
  element('result').hidden = false;
  element('answer').hidden = true;
}

async function showLinks() {
  const { status, body } = await callApi('GET', '/v3/users/current/fa');
  if (status === 401) return signOut();
  await showGiven(body);
  element('links').replaceChildren(...body.map(createLink));
  element('no-links').hidden = body.length > 0;
}

/** Asks the provider about every account that this user has had linked here. */
async function showGiven(links) {
  const known = JSON.parse(sessionStorage.getItem('accounts') ?? '[]');
  const linked = links.filter(({ fpType }) => fpType === 'oidc').map(({ fpName, sid }) => `${fpName}/${sid}`);
  const accounts = [...new Set([...known, ...linked])];
  sessionStorage.setItem('accounts', JSON.stringify(accounts));
  element('given').replaceChildren(...(await Promise.all(accounts.map(createGiven))));
  element('no-accounts').hidden = accounts.length > 0;
}

/** @param {string} account `name/sid` */
async function createGiven(account) {
  const [name, ...rest] = account.split('/');
  const sid = rest.join('/');
  const response = await fetch(`/at-provider?${new URLSearchParams({ name, sid })}`);
  const { grants, accessTokens, refreshTokens } = await response.json();
  const item = document.createElement('li');
  const who = document.createElement('span');
  const given = document.createElement('span');
  const isAlive = grants + accessTokens + refreshTokens > 0;
  who.textContent = `${sid} at oidc:${name}`;
  given.textContent = isAlive
    ? `${grants} grant, live tokens: ${accessTokens} access, ${refreshTokens} refresh`
    : 'no grant, no live token';
  given.className = isAlive ? 'alive' : 'dead';
  item.append(who, given);
  return item;
}

function createLink({ fpType, fpName, sid, userName }) {
  const item = document.createElement('li');
  const who = document.createElement('span');
  const identity = document.createElement('small');
  const unlink = document.createElement('button');
  who.textContent = userName ?? sid;
  identity.textContent = `${fpType}:${fpName}, sid ${sid}`;
  who.append(identity);
  unlink.type = 'button';
  unlink.className = 'second';
  unlink.textContent = 'Unlink';
  unlink.addEventListener('click', async () => {
    const path = [fpType, fpName, sid].map(encodeURIComponent).join('/');
    const { body } = await callApi('DELETE', `/v3/users/current/fa/${path}?view=full`);
    if (body?.revocation !== undefined) {
      element('result').textContent = `${fpType}:${fpName} is unlinked; its grant: ${body.revocation}.`;
      element('result').className = 'good';
      element('result').hidden = false;
      element('answer').hidden = true;
    }
    await showLinks();
  });
  item.append(who, unlink);
  return item;
}

/** @param {boolean} isPopup */
async function link(fp, isPopup) {
  // Opened before anything is waited for: later the browser would take it for an advertisement.
  const popup = isPopup ? window.open('about:blank', '_blank', 'popup,width=520,height=720') : null;
  const { status, body } = await callApi('POST', '/v2/users/current/fa/bind', { fp, callback, isPopup });
  if (status !== 200) return popup?.close();
  if (popup === null) location.assign(body.redirectTo);
  else popup.location.assign(body.redirectTo);
}

window.addEventListener('message', async ({ origin, data }) => {
  // Anybody may send messages: those of the pages that finish a bind come from the gateway.
  if (origin !== settings.gateway || data?.type !== 'fa.bind') return;
  note(`message from ${origin}`, JSON.stringify(data));
  showResult(data);
  await showLinks();
});

/** What the document has a page define: the script calls it by its name. */
for (const name of ['ssmi_user_unlink_success', 'ssmi_user_unlink_failure']) {
  window[name] = async (response) => {
    note(name, JSON.stringify(response));
    element('answer').textContent = `${name}(${JSON.stringify(response, null, 2)})`;
    element('answer').className = response.is_unlinked ? 'good' : '';
    element('answer').hidden = false;
    // What it says of a link may be over.
    element('result').hidden = true;
    await showLinks();
  };
}

/** The document's loader. */
function loadSsMi() {
  window._ssq = window._ssq ?? [];
  window._ssq.push(['init', { token: () => sessionStorage.getItem('token') }]);
  const script = document.createElement('script');
  script.async = true;
  script.src = `${settings.gateway}/ss_mi.js`;
  script.addEventListener('load', () => {
    element('unlink').querySelector('button').disabled = false;
  });
  document.head.append(script);
}

element('unlink').addEventListener('submit', (event) => {
  event.preventDefault();
  const email = element('email').value;
  note(`ss_mi.ssmi_unlink_user(${JSON.stringify(email)})`, 'called by this page');
  window.ss_mi.ssmi_unlink_user(email);
});

function signOut() {
  sessionStorage.clear();
  showAccount();
}

function showAccount() {
  const name = sessionStorage.getItem('name');
  element('sign-in').hidden = name !== null;
  element('account').hidden = name === null;
  element('name').textContent = name ?? '';
  element('address').textContent = sessionStorage.getItem('email') ?? '';
  element('email').value = sessionStorage.getItem('email') ?? '';
  element('answer').hidden = true;
}

element('sign-in').addEventListener('submit', async (event) => {
  event.preventDefault();
  const name = element('user').value;
  const response = await fetch('/sign-in', { method: 'POST', body: JSON.stringify(name) });
  const { accessToken, email } = await response.json();
  if (accessToken === undefined) return note(`sign-in as ${name}`, `${response.status}`);
  sessionStorage.setItem('token', accessToken);
  sessionStorage.setItem('name', name);
  sessionStorage.setItem('email', email);
  showAccount();
  await showLinks();
});
element('sign-out').addEventListener('click', signOut);
for (const button of element('providers').querySelectorAll('button')) {
  button.addEventListener('click', () => link(button.parentElement.dataset.fp, button.dataset.popup === 'true'));
}

showAccount();
loadSsMi();
if (location.pathname === '/callback') {
  const query = new URLSearchParams(location.search);
  note(`GET ${location.pathname}${location.search}`, 'the browser came back');
  showResult({ status: query.get('fa_status'), fp: query.get('fp'), error: query.get('error') });
}
if (sessionStorage.getItem('name') !== null) await showLinks();
