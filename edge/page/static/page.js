// The page: listens to the device and shows what it tells. No other site is asked for anything.

import { drawLanes, drawLines, spanText } from "/charts.js";

const byId = (id) => document.getElementById(id);
const percent = (share) => `${Math.round(100 * share)} %`;
const STALE_SECONDS = 3, RETRY_SECONDS = 2, HISTORY = 600, MOST_EVENTS = 200;
const REASONS = { small: "too small to read", blurred: "too blurred to read", turned: "turned too far", unsure: "not sure" };

const clock = () => performance.now() / 1000;
const element = (name, text = "", kind = "") => {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
};
const say = (where, text) => { if (where.textContent !== text) where.textContent = text; }; // spares screen readers

let newsAt = null, newsTime = null, samples = [], labels = [], mayLook = true, hasBroker = false, stream = null;

// ---- the connection

const connect = async () => {
  try {
    const answer = await fetch("/api/state");
    if (answer.status === 401) return location.reload(); // the login page
    if (!answer.ok) throw new Error(answer.statusText);
    const state = await answer.json();
    await Promise.all([fetchHistory(), fetchEvents()]);
    showWhole(state);
    listen();
  } catch {
    setTimeout(connect, 1000 * RETRY_SECONDS);
  }
};

const listen = () => {
  stream = new EventSource("/api/stream");
  stream.addEventListener("state", (message) => showState(JSON.parse(message.data)));
  stream.addEventListener("event", (message) => addEvent(JSON.parse(message.data)));
  stream.addEventListener("error", () => {
    stream.close();
    setTimeout(connect, 1000 * RETRY_SECONDS);
  });
  look();
};

const showLink = () => {
  const stale = newsAt === null || clock() - newsAt > STALE_SECONDS;
  document.body.classList.toggle("live", !stale);
  document.body.classList.toggle("stale", stale && newsAt !== null);
  if (newsAt !== null) say(byId("link"), stale ? `no news since ${newsTime.toLocaleTimeString()}` : "live");
};

// ---- the picture

const wanted = () => localStorage.getItem("picture") !== "no";

const stopLooking = (picture) => {
  if (picture) picture.src = ""; // a picture that is only taken away goes on being fetched
  picture?.remove();
};

const look = () => {
  const frame = byId("frame"), showing = mayLook && wanted() && !document.hidden;
  stopLooking(frame.querySelector("img"));
  byId("toggle").hidden = !mayLook;
  byId("toggle").textContent = wanted() ? "Hide" : "Show";
  byId("toggle").setAttribute("aria-pressed", String(wanted()));
  byId("hint").hidden = showing;
  byId("hint").textContent = mayLook
    ? "The picture is hidden, and not made while nobody looks."
    : "The picture may not be seen here: the device's settings forbid it.";
  if (!showing) return;
  const picture = element("img");
  picture.alt = "What the camera sees, with the faces marked";
  picture.src = `/picture?${Date.now()}`; // a new address: browsers do not ask for a broken one again
  picture.addEventListener("error", () => {
    if (!picture.isConnected) return;
    picture.remove();
    byId("hint").hidden = false;
    byId("hint").textContent = "The picture cannot be had just now: perhaps too many look at it already.";
  });
  frame.append(picture);
};

// ---- what is now

const showWhole = (state) => {
  mayLook = state.settings.page?.picture !== false;
  hasBroker = Boolean(state.settings.mqtt?.host);
  showSettings(state.settings);
  byId("leave").hidden = !state.settings.page?.token_file;
  showState(state);
};

const showState = (state) => {
  newsAt = clock() - (state.age_seconds ?? 0);
  newsTime = new Date(Date.now() - 1000 * (state.age_seconds ?? 0));
  labels = [...state.model.labels, "uncertain"];
  say(byId("device"), state.device);
  document.title = `${state.label} · ${state.device}`;
  say(byId("about"), `emotion-edge ${state.version}, model ${state.model.name} ${state.model.version}`);
  showFaces(state);
  showHealth(state);
  showSteps(state.steps_ms);
  remember(state);
  showLink();
};

const showFaces = (state) => {
  const paused = state.camera.state === "paused";
  const headline = paused ? "paused" : state.faces.length ? state.label : "nobody is there";
  say(byId("headline"), headline === "none" ? "nobody is there" : headline);
  byId("faces").replaceChildren(...state.faces.map(faceRow));
};

const faceRow = (face) => {
  const row = element("li"), why = REASONS[face.reason];
  const verdict = face.uncertain ? `uncertain${why ? `: ${why}` : ""}` : `${face.label}, ${percent(face.confidence)}`;
  row.append(element("h3", `Face ${face.track}: ${verdict}`));
  const bars = element("div", "", "reading");
  for (const [label, share] of face.top) {
    const bar = element("div", "", "bar"), fill = element("i", "", !face.uncertain && label === face.label ? face.group : "");
    fill.style.width = `${100 * share}%`;
    bar.append(fill);
    bars.append(element("span", label), bar, element("output", percent(share)));
  }
  row.append(bars);
  return row;
};

// ---- health, steps and settings

const duration = (seconds) => {
  const days = Math.floor(seconds / 86400), hours = Math.floor(seconds / 3600) % 24, minutes = Math.floor(seconds / 60) % 60;
  return days ? `${days} d ${hours} h` : hours ? `${hours} h ${minutes} min` : `${minutes} min ${Math.floor(seconds % 60)} s`;
};

// [what, its state in words, whether it is bad]
const healthOf = (state) => {
  const { camera, store, mqtt } = state;
  const dropped = Object.values(state.dropped).reduce((sum, each) => sum + each, 0);
  const broker = !hasBroker ? "not set" : mqtt.connected ? "connected" : mqtt.reason || "connecting";
  const throttled = state.throttled.filter((each) => !each.endsWith("-occurred"));
  const before = state.throttled.filter((each) => each.endsWith("-occurred")).map((each) => each.replace("-occurred", ""));
  const stored = !store.path ? "not kept" : store.held ? `${store.held} events wait` : "in order";
  return [
    ["Camera", camera.reason ? `${camera.state}: ${camera.reason}` : camera.state, !["running", "paused"].includes(camera.state)],
    ["Reopened", `${camera.reopens} times`, false],
    ["Record", store.lost ? `${stored}, ${store.lost} lost` : stored, Boolean(store.lost || store.held > 100)],
    ["MQTT", mqtt.queue_depth ? `${broker}, ${mqtt.queue_depth} wait` : broker, hasBroker && !mqtt.connected],
    ["Temperature", state.temperature_celsius === null ? "not known" : `${state.temperature_celsius.toFixed(1)} °C`, false],
    ["Power and heat", throttled.join(", ") || (before.length ? `in order; was: ${before.join(", ")}` : "in order"), throttled.length > 0],
    ["Pictures", `${state.published} read, ${dropped} passed over`, false],
    ["Effort", effortOf(state.governor), false],
    ["Memory", `${Math.round(state.rss_bytes / 1e6)} MB`, false],
    ["Running for", duration(state.uptime_seconds), false],
  ];
};

const effortOf = ({ idle, detect_every: every, rate_fps: rate, reason }) => {
  if (idle) return "little: nobody is there";
  const words = [every > 1 ? `faces searched in every ${every}. picture` : "", rate ? `${rate} pictures a second` : ""];
  return [words.filter(Boolean).join(", ") || "full", reason].filter(Boolean).join(": ");
};

const showHealth = (state) => {
  const rows = healthOf(state).flatMap(([what, how, bad]) => [element("dt", what), element("dd", how, bad ? "bad" : "")]);
  byId("health").replaceChildren(...rows);
};

const showSteps = (steps) => {
  const rows = Object.entries(steps).map(([step, times]) => {
    const row = element("tr"), head = element("th", step);
    head.scope = "row";
    row.append(head, ...["p50", "p95", "p99"].map((each) => element("td", times[each].toFixed(1))));
    return row;
  });
  byId("steps").tBodies[0].replaceChildren(...rows);
};

const showSettings = (settings) => {
  const tables = Object.entries(settings).map(([name, values]) => {
    const table = element("table"), body = element("tbody");
    table.append(element("caption", `[${name}]`), body);
    for (const [each, value] of Object.entries(values)) {
      const row = element("tr"), head = element("th", each);
      head.scope = "row";
      row.append(head, element("td", value === null ? "not set" : String(value) || "empty"));
      body.append(row);
    }
    return table;
  });
  byId("settings").replaceChildren(...tables);
};

// ---- charts

const fetchHistory = async () => {
  const answer = await (await fetch("/api/history")).json();
  samples = answer.samples.map((each) => ({ ...each, at: clock() - each.seconds_ago }));
};

const remember = (state) => {
  const at = clock(), last = samples.at(-1);
  if (last && at - last.at < 1 && last.label === state.label) return;
  samples.push({ at, label: state.label, group: state.group, fps: state.fps, age_ms: state.age_ms });
  samples = samples.filter((each) => at - each.at < HISTORY);
  drawCharts(at);
};

const drawCharts = (now) => {
  drawLanes(byId("timeline"), labels, samples, now);
  drawLines(byId("fps"), [{ name: "now", of: (each) => each.fps }], samples, now);
  const delays = [
    { name: "half are below", of: (each) => each.age_ms.p50 ?? 0 },
    { name: "95 % below", of: (each) => each.age_ms.p95 ?? 0, kind: "high" },
  ];
  drawLines(byId("delay"), delays, samples, now);
  for (const each of document.querySelectorAll(".span")) say(each, spanText(samples, now));
};

// ---- events

let older = null;

const fetchEvents = async () => {
  const answer = await fetch("/api/events?limit=20");
  const told = await answer.json();
  byId("no-events").hidden = answer.ok;
  if (!answer.ok) return say(byId("no-events"), told.error);
  byId("events").replaceChildren(...told.events.map(eventRow));
  setOlder(told.next);
};

const setOlder = (next) => {
  older = next;
  byId("older").hidden = !next;
};

const addEvent = (event) => {
  byId("events").prepend(eventRow(event));
  while (byId("events").children.length > MOST_EVENTS) byId("events").lastChild.remove();
};

const eventText = (event) => {
  const held = `${(event.dwell_ms / 1000).toFixed(1)} s`;
  if (event.type === "camera_lost") return `Camera lost: ${event.reason}`;
  if (event.type === "camera_back") return `Camera back after ${held}`;
  const label = event.uncertain ? "uncertain" : `${event.label}, ${percent(event.confidence)}`;
  if (event.type === "start") return `Face ${event.track} came: ${label}`;
  if (event.type === "change") return `Face ${event.track} is now ${label}`;
  if (event.type === "end") return `Face ${event.track} left, after ${held} of ${event.label}`;
  return event.type;
};

const eventRow = (event) => {
  const row = element("li"), when = new Date(event.ts), time = element("time", when.toLocaleTimeString());
  time.dateTime = event.ts;
  time.title = event.clock_synced ? when.toLocaleString() : `${when.toLocaleString()}, by a clock that nobody had set`;
  row.append(time, element("span", eventText(event)));
  return row;
};

// ---- beginning

byId("older").addEventListener("click", async () => {
  const answer = await fetch(older);
  if (!answer.ok) return;
  const told = await answer.json();
  byId("events").append(...told.events.map(eventRow));
  setOlder(told.next);
});
byId("toggle").addEventListener("click", () => {
  localStorage.setItem("picture", wanted() ? "no" : "yes");
  look();
});
document.addEventListener("visibilitychange", look);
setInterval(showLink, 1000);
connect();
