"use strict";
// The table of pairs: sorted, searched and drawn a page at a time, so that hundreds of rows stay quick on a phone.
const data = JSON.parse(document.getElementById("data").textContent);
const PAGE = 25;
const state = { key: "margin", down: true, words: [], direction: "", page: 0 };
const words = (runs) => runs.map(([text]) => text).join(" ");
const VALUES = {
  margin: (row) => row.margin, direction: (row) => row.direction, source: (row) => row.source || "",
  chosen: (row) => words(row.chosen.text), rejected: (row) => words(row.rejected.text),
};
for (const row of data.pairs) {
  row.haystack = [row.id, row.direction, row.source, row.reference, ...["chosen", "rejected"].flatMap((side) => [words(row[side].text), words(row[side].back)])]
    .join(" ").toLowerCase();
}

function compare(one, two, down) {
  const order = typeof one === "number" ? one - two : one.localeCompare(two);
  return down ? -order : order;
}

function found() {
  const value = VALUES[state.key];
  return data.pairs
    .filter((row) => (!state.direction || row.direction === state.direction) && state.words.every((word) => row.haystack.includes(word)))
    .sort((one, two) => compare(value(one), value(two), state.down) || one.id.localeCompare(two.id));
}

function element(name, text, cls) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (cls) made.className = cls;
  return made;
}

function marked(runs, cls) {
  const line = element("div", undefined, cls);
  runs.forEach(([text, differs], place) => line.append(place ? " " : "", differs ? element("mark", text) : text));
  return line;
}

// One sound at a time: a second press, or another button, stops it.
let playing = null;
function stop() {
  if (playing) { playing.audio.pause(); playing.button.setAttribute("aria-pressed", "false"); playing = null; }
}
function player(row, name, label) {
  const key = row.sounds[name];
  if (!key) return "";
  const button = element("button", "▶ " + label, "play");
  button.dataset.sound = key;
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => {
    const again = playing && playing.button === button;
    stop();
    if (again) return;
    const audio = new Audio(data.sounds[key]);
    playing = { audio, button };
    window.lastAudio = audio;
    button.setAttribute("aria-pressed", "true");
    audio.addEventListener("ended", stop);
    audio.play().catch((error) => { stop(); button.textContent = "✕ " + label; button.title = String(error); });
  });
  return button;
}

function cell(label, ...inside) {
  const made = element("td");
  made.dataset.label = label;
  made.append(...inside);
  return made;
}

function side(row, name, label) {
  const told = row[name];
  const scores = data.metrics.map((metric, place) => metric + " " + (told.scores[place] ?? "–")).join(" · ");
  return cell(label, marked(told.text), player(row, name, "hear"), element("div", undefined, "back"), element("span", "comes back as ", "back"),
    marked(told.back, "back"), player(row, name + "_back", "hear it come back"), element("div", scores, "scores"));
}

function tableRow(row) {
  const made = element("tr");
  const source = cell("source", element("div", row.source || "(no transcript)"), player(row, "source", "hear"));
  if (row.reference) source.append(element("div", "reference: " + row.reference, "back"));
  source.append(element("div", row.id, "scores"));
  const margin = cell("margin", row.margin.toFixed(3));
  margin.className = "n";
  made.append(margin, cell("direction", row.direction), source, side(row, "chosen", "chosen"), side(row, "rejected", "rejected"));
  return made;
}

function render() {
  const rows = found();
  const last = Math.max(0, Math.ceil(rows.length / PAGE) - 1);
  state.page = Math.min(state.page, last);
  document.querySelector("#pairs tbody").replaceChildren(...rows.slice(state.page * PAGE, (state.page + 1) * PAGE).map(tableRow));
  document.getElementById("count").textContent = `${rows.length.toLocaleString("en")} of ${data.pairs.length.toLocaleString("en")} pairs; page ${state.page + 1} of ${last + 1}`;
  document.getElementById("before").disabled = state.page === 0;
  document.getElementById("after").disabled = state.page === last;
  for (const head of document.querySelectorAll("#pairs th[data-key]")) {
    head.setAttribute("aria-sort", head.dataset.key !== state.key ? "none" : state.down ? "descending" : "ascending");
  }
}

if (document.getElementById("pairs")) {
  for (const head of document.querySelectorAll("#pairs th[data-key]")) {
    head.querySelector("button").addEventListener("click", () => {
      state.down = state.key === head.dataset.key ? !state.down : head.dataset.key === "margin";
      state.key = head.dataset.key;
      state.page = 0;
      render();
    });
  }
  document.getElementById("search").addEventListener("input", (event) => {
    state.words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    state.page = 0;
    render();
  });
  document.getElementById("direction").addEventListener("change", (event) => { state.direction = event.target.value; state.page = 0; render(); });
  document.getElementById("before").addEventListener("click", () => { state.page -= 1; render(); });
  document.getElementById("after").addEventListener("click", () => { state.page += 1; render(); });
  render();
}
