// Owns what the pages do in a browser: they take over what has changed, say how long ago things were, filter, and send
// forms without leaving the page. Knows nothing of what the parts show.
"use strict";

const body = document.body;
const byId = (id) => document.getElementById(id);
let offset = Number(body.dataset.now) * 1000 - Date.now(); // from the browser's clock to the store's
const storeNow = () => Date.now() + offset;

// Time

const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];

function away(seconds) {
  const size = Math.max(0, Math.floor(seconds));
  const at = units.findIndex(([length]) => size >= length);
  if (at < 0) return "0 s";
  const [length, unit] = units[at];
  const rest = at < 3 && size / length < 10 ? Math.floor((size % length) / units[at + 1][0]) : 0;
  return `${Math.floor(size / length)} ${unit}` + (rest ? ` ${rest} ${units[at + 1][1]}` : "");
}

function tick() {
  const now = storeNow();
  for (const element of document.querySelectorAll("time[data-rel]")) {
    element.at ??= Date.parse(element.dateTime);
    const seconds = (element.at - now) / 1000;
    let text = element.dataset.rel === "in" ? `in ${away(seconds)}` : `${away(-seconds)} ago`;
    if (element.dataset.rel === "in" && seconds < 1) text = seconds > -5 ? "now" : `due for ${away(-seconds)}`;
    if (element.firstChild.data !== text) element.firstChild.data = text;
  }
  const clock = byId("clock");
  if (Number(body.dataset.now)) clock.textContent = new Date(now).toISOString().slice(11, 19);
}

let windowAt = null;
function moveLanes(always) {
  const at = Math.floor((storeNow() / 1000 - Number(body.dataset.origin) - 3600) / 15) * 15;
  if (at === windowAt && !always) return;
  windowAt = at;
  for (const lane of document.querySelectorAll(".lane svg")) lane.viewBox.baseVal.x = at;
}

// What has changed

const waiting = new Map(); // parts that somebody is typing in, until they leave them

function isBusy(element) {
  return element.querySelector("details[open] form") !== null;
}

function made(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  return template.content.firstElementChild;
}

function replace(element, html) {
  if (isBusy(element)) {
    waiting.set(element.id, html);
    return;
  }
  waiting.delete(element.id);
  const active = element.contains(document.activeElement) ? document.activeElement : null;
  const kinds = "a, summary, button, input, select";
  const at = active && [...element.querySelectorAll(kinds)].indexOf(active);
  const open = element.querySelector("details[open]") !== null;
  const fresh = made(html);
  if (open) fresh.querySelector("details")?.setAttribute("open", "");
  element.replaceWith(fresh);
  if (active) fresh.querySelectorAll(kinds)[at]?.focus();
}

function arrange(list, ids, parts) {
  const before = new Set([...list.children].map((child) => child.id));
  const wanted = new Set(ids);
  for (const child of [...list.children]) if (!wanted.has(child.id)) child.remove();
  const children = new Map([...list.children].map((child) => [child.id, child]));
  let next = list.firstElementChild;
  for (const id of ids) {
    let child = children.get(id);
    if (!child) {
      if (!(id in parts)) continue;
      child = made(parts[id]);
      if (before.size) child.classList.add("fresh");
    }
    if (child !== next) list.insertBefore(child, next);
    else next = next.nextElementSibling;
  }
  const empty = list.closest(".card")?.querySelector(".empty");
  if (empty) empty.hidden = ids.length > 0;
}

function take(change) {
  for (const [id, html] of Object.entries(change.parts)) {
    const element = byId(id);
    if (element) replace(element, html);
  }
  for (const [id, ids] of Object.entries(change.lists)) {
    const list = byId(id);
    if (list) arrange(list, ids, change.parts);
  }
  tick();
  filter();
  announce();
}

let failing = null;

function announce() { // to those who do not see the page
  const now = new Set([...document.querySelectorAll("[data-failing]")].map((element) => element.id.replace(/^state:/, "")));
  const news = failing && [...now].filter((job) => !failing.has(job));
  failing = now;
  if (news?.length) byId("announced").textContent = `failing: ${news.slice(0, 5).join(", ")}`;
}

let changes = null;
let lostSince = 0;

function live(state) {
  const words = { yes: "live", no: "not live", lost: "connection lost" };
  const element = byId("live");
  if (element.dataset.live !== state) {
    element.dataset.live = state;
    byId("live-words").textContent = words[state];
  }
}

let known = body.dataset.events;
function connect() {
  if (!known || changes || document.hidden) return;
  changes = new EventSource(known);
  changes.addEventListener("change", (event) => {
    const change = JSON.parse(event.data);
    if (change.now) {
      offset = change.now * 1000 - Date.now();
      body.dataset.now = change.now;
      body.dataset.origin = change.origin;
    }
    known = known.replace(/version=[^&]*/, `version=${encodeURIComponent(event.lastEventId)}`);
    take(change);
    moveLanes("lanes" in change);
  });
  changes.addEventListener("gone", () => location.reload());
  changes.onopen = () => { lostSince = 0; live("yes"); };
  changes.onerror = () => {
    lostSince ||= Date.now();
    if (changes.readyState === EventSource.CLOSED) { // refused: the browser does not try again
      changes = null;
      live("lost");
      setTimeout(connect, 5000);
    }
  };
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden && changes) {
    changes.close();
    changes = null;
  } else connect();
});

// Filter

function filter() {
  const find = byId("find");
  if (!find) return;
  const words = find.value.trim().toLowerCase();
  const show = byId("show").value;
  let shown = 0;
  let all = 0;
  for (const row of byId("jobs").children) {
    const [name, state] = row.children;
    const fits = { "": true, failing: "failing" in state.dataset, differs: "differs" in name.dataset,
      paused: "paused" in state.dataset }[show] ?? state.dataset.state === show;
    row.hidden = !(fits && name.textContent.toLowerCase().includes(words));
    all += 1;
    shown += !row.hidden;
  }
  byId("shown").textContent = shown === all ? "" : `${shown} of ${all}`;
}

// Forms

async function send(form) {
  const button = form.querySelector("button");
  button.disabled = true;
  let text = "There was no answer. It may have been done: look before you try again.";
  let isGood = false;
  try {
    const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    text = page.getElementById("message")?.textContent ?? `The answer was ${answer.status}.`;
    isGood = answer.ok;
  } catch { /* said below */ }
  button.disabled = false;
  const said = byId("said");
  said.classList.toggle("bad", !isGood);
  said.textContent = text;
  if (isGood) close(form.closest("details"));
}

function close(details) {
  if (!details) return;
  const hadFocus = details.contains(document.activeElement);
  details.open = false;
  if (hadFocus) details.querySelector("summary").focus();
}

function settle() {
  for (const [id, html] of [...waiting]) {
    const element = byId(id);
    if (!element) waiting.delete(id);
    else if (!isBusy(element)) replace(element, html);
  }
}

document.addEventListener("submit", (event) => {
  if (!event.target.closest(".acts")) return;
  event.preventDefault();
  send(event.target);
});
document.addEventListener("toggle", (event) => {
  if (event.target.open) event.target.querySelector("form input:not([type=hidden]), form button")?.focus();
  else settle();
}, true);
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") close(event.target.closest(".acts details"));
  if (event.key === "/" && !event.target.closest("input, select, textarea") && byId("find")) {
    event.preventDefault();
    byId("find").focus();
  }
});

if (byId("filter")) {
  byId("filter").hidden = false;
  byId("filter").addEventListener("input", filter);
  filter();
}
tick();
announce();
moveLanes(true);
connect();
setInterval(() => {
  tick();
  moveLanes(false);
  if (lostSince && Date.now() - lostSince > 4000) live("lost");
}, 1000);
