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
}

async function showLinks() {
  const { status, body } = await callApi('GET', '/v3/users/current/fa');
  if (status === 401) return signOut();
  element('links').replaceChildren(...body.map(createLink));
  element('no-links').hidden = body.length > 0;
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

function signOut() {
  sessionStorage.clear();
  showAccount();
}

function showAccount() {
  const name = sessionStorage.getItem('name');
  element('sign-in').hidden = name !== null;
  element('account').hidden = name === null;
  element('name').textContent = name ?? '';
}

element('sign-in').addEventListener('submit', async (event) => {
  event.preventDefault();
  const name = element('user').value;
  const response = await fetch('/sign-in', { method: 'POST', body: JSON.stringify(name) });
  const { accessToken } = await response.json();
  if (accessToken === undefined) return note(`sign-in as ${name}`, `${response.status}`);
  sessionStorage.setItem('token', accessToken);
  sessionStorage.setItem('name', name);
  showAccount();
  await showLinks();
});
element('sign-out').addEventListener('click', signOut);
for (const button of element('providers').querySelectorAll('button')) {
  button.addEventListener('click', () => link(button.parentElement.dataset.fp, button.dataset.popup === 'true'));
}

showAccount();
if (location.pathname === '/callback') {
  const query = new URLSearchParams(location.search);
  note(`GET ${location.pathname}${location.search}`, 'the browser came back');
  showResult({ status: query.get('fa_status'), fp: query.get('fp'), error: query.get('error') });
}
if (sessionStorage.getItem('name') !== null) await showLinks();
