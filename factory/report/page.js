"use strict";
// The table of pairs, sorted and searched. It shows one page at a time, so hundreds of rows are fast on a phone.
const data = JSON.parse(document.getElementById("data").textContent);
const PAGE_SIZE = 25;
const SIDES = ["chosen", "rejected"];
const state = { key: "margin", descending: true, words: [], direction: "", page: 0 };
const textOf = (runs) => runs.map(([text]) => text).join(" ");
const VALUES = {
  margin: (row) => row.margin,
  direction: (row) => row.direction,
  source: (row) => row.source || "",
  chosen: (row) => textOf(row.chosen.text),
  rejected: (row) => textOf(row.rejected.text),
};
for (const row of data.pairs) {
  const texts = SIDES.flatMap((side) => [textOf(row[side].text), textOf(row[side].back_translation)]);
  row.searchable = [row.id, row.direction, row.source, row.reference, ...texts].join(" ").toLowerCase();
}

function compare(one, two) {
  const order = typeof one === "number" ? one - two : one.localeCompare(two);
  return state.descending ? -order : order;
}

function matches(row) {
  const isDirection = !state.direction || row.direction === state.direction;
  return isDirection && state.words.every((word) => row.searchable.includes(word));
}

function matchingRows() {
  const value = VALUES[state.key];
  return data.pairs.filter(matches).sort((one, two) => compare(value(one), value(two)) || one.id.localeCompare(two.id));
}

function createElement(name, text, className) {
  const element = document.createElement(name);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
}

function markedText(runs, className) {
  const line = createElement("div", undefined, className);
  runs.forEach(([text, differs], index) => line.append(index ? " " : "", differs ? createElement("mark", text) : text));
  return line;
}

// One sound plays at a time. A second press, or another button, stops it.
let playing = null;

function stop() {
  if (!playing) return;
  playing.audio.pause();
  playing.button.setAttribute("aria-pressed", "false");
  playing = null;
}

function play(button, label, sound) {
  const audio = new Audio(sound);
  playing = { audio, button };
  window.lastAudio = audio;
  button.setAttribute("aria-pressed", "true");
  audio.addEventListener("ended", stop);
  audio.play().catch((error) => {
    stop();
    button.textContent = "✕ " + label;
    button.title = String(error);
  });
}

function createPlayer(row, name, label) {
  const key = row.sounds[name];
  if (!key) return "";
  const button = createElement("button", "▶ " + label, "play");
  button.dataset.sound = key;
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => {
    const isPlaying = playing && playing.button === button;
    stop();
    if (!isPlaying) play(button, label, data.sounds[key]);
  });
  return button;
}

function createCell(label, ...content) {
  const cell = createElement("td");
  cell.dataset.label = label;
  cell.append(...content);
  return cell;
}

function createSide(row, name) {
  const side = row[name];
  const scores = data.metrics.map((metric, index) => metric + " " + (side.scores[index] ?? "–")).join(" · ");
  return createCell(
    name,
    markedText(side.text),
    createPlayer(row, name, "play"),
    createElement("div", "back-translation:", "back"),
    markedText(side.back_translation, "back"),
    createPlayer(row, name + "_back", "play back-translation"),
    createElement("div", scores, "scores"),
  );
}

function createRow(row) {
  const text = createElement("div", row.source || "(no transcript)");
  const source = createCell("source", text, createPlayer(row, "source", "play"));
  if (row.reference) source.append(createElement("div", "reference: " + row.reference, "back"));
  source.append(createElement("div", row.id, "scores"));
  const margin = createCell("margin", row.margin.toFixed(3));
  margin.className = "n";
  const element = createElement("tr");
  element.append(margin, createCell("direction", row.direction), source, ...SIDES.map((side) => createSide(row, side)));
  return element;
}

function render() {
  const rows = matchingRows();
  const last = Math.max(0, Math.ceil(rows.length / PAGE_SIZE) - 1);
  state.page = Math.min(state.page, last);
  const shown = rows.slice(state.page * PAGE_SIZE, (state.page + 1) * PAGE_SIZE);
  document.querySelector("#pairs tbody").replaceChildren(...shown.map(createRow));
  const [count, total] = [rows.length, data.pairs.length].map((number) => number.toLocaleString("en"));
  document.getElementById("count").textContent = `${count} of ${total} pairs; page ${state.page + 1} of ${last + 1}`;
  document.getElementById("before").disabled = state.page === 0;
  document.getElementById("after").disabled = state.page === last;
  for (const head of document.querySelectorAll("#pairs th[data-key]")) {
    const order = state.descending ? "descending" : "ascending";
    head.setAttribute("aria-sort", head.dataset.key === state.key ? order : "none");
  }
}

function update(changes) {
  Object.assign(state, changes);
  render();
}

if (document.getElementById("pairs")) {
  for (const head of document.querySelectorAll("#pairs th[data-key]")) {
    const key = head.dataset.key;
    head.querySelector("button").addEventListener("click", () => {
      const descending = state.key === key ? !state.descending : key === "margin";
      update({ key, descending, page: 0 });
    });
  }
  document.getElementById("search").addEventListener("input", (event) => {
    update({ words: event.target.value.toLowerCase().split(/\s+/).filter(Boolean), page: 0 });
  });
  document.getElementById("direction").addEventListener("change", (event) => {
    update({ direction: event.target.value, page: 0 });
  });
  document.getElementById("before").addEventListener("click", () => update({ page: state.page - 1 }));
  document.getElementById("after").addEventListener("click", () => update({ page: state.page + 1 }));
  render();
}
