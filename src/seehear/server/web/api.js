// The service's API: JSON in and out, problems as sentences, the token where one is needed.

const TOKEN = "seehear-token";

export async function call(path, { method = "GET", json, form, raw = false } = {}) {
  const headers = {};
  const token = sessionStorage.getItem(TOKEN);
  if (token) headers.Authorization = `Bearer ${token}`;
  if (json !== undefined) headers["Content-Type"] = "application/json";
  const body = json !== undefined ? JSON.stringify(json) : form;
  const answer = await fetch(`/api/v1${path}`, { method, headers, body });
  if (answer.status === 401) {
    await askForToken();
    return call(path, { method, json, form, raw });
  }
  if (!answer.ok) {
    const problem = await answer.json().catch(() => ({}));
    throw new Error(problem.detail || `The service answered ${answer.status}.`);
  }
  return raw ? answer : answer.json();
}

function askForToken() {
  const dialog = document.getElementById("login");
  if (!dialog.open) dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      sessionStorage.setItem(TOKEN, document.getElementById("token").value.trim());
      resolve();
    }, { once: true });
  });
}

// Server-sent events through fetch, which can carry the token; calls `onMessage` with each message.
export async function follow(path, onMessage) {
  const answer = await call(path, { raw: true });
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n\n");
    rest = lines.pop();
    for (const line of lines) onMessage(JSON.parse(line.replace(/^data: /, "")));
  }
}
