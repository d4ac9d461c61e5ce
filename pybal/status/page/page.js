// Filters, sorts and folds rows, moves by keyboard, and updates the page in place. The page is complete without it.
"use strict";

const root = document.documentElement;
const main = document.getElementById("main");
const live = document.getElementById("live");
const list = document.getElementById("list");
const search = document.getElementById("q");
const narrow = matchMedia("(max-width: 46rem)");

root.classList.add("js");
sayLive();

function sayLive() {
  live.firstChild.data = live.firstChild.data.replace("as of ", "live · ");
}

// ---- the state of the view is in the URL: q, show, sort. A link to the page shows the same rows. ----

const view = new URLSearchParams(location.search);

function setView(name, value) {
  if (value) view.set(name, value);
  else view.delete(name);
  const query = view.toString();
  history.replaceState(null, "", location.pathname + (query && `?${query}`) + location.hash);
}

// ---- rows: filter, fold, sort ----

const FEW = 20; // rows of a group on a narrow screen
const unfolded = new Set();
let rows = []; // in the order of the server
let homes = new Map(); // the group of each row
let sortedBody = null; // holds all rows while they are sorted

function collectRows() {
  rows = [...list.querySelectorAll("tr.r")];
  homes = new Map(rows.map(row => [row, row.parentNode]));
}

/** The number of rows to show of a group that is not filtered. */
function limitOf(body) {
  if (unfolded.has(body.id)) return Infinity;
  const own = Number(body.dataset.fold ?? Infinity);
  if (!narrow.matches) return own;
  return body.dataset.k === "healthy" && body !== list.tBodies[0] ? 0 : Math.min(own, FEW);
}

function filterRows() {
  const words = (view.get("q") ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const show = view.get("show") ?? "";
  const plain = !words.length && !show && !sortedBody;
  const places = new Map();
  const cells = new Map([...main.querySelectorAll(".grid a")].map(cell => [targetOf(cell), cell]));
  for (const row of rows) {
    const home = homes.get(row);
    const text = `${row.textContent} ${row.dataset.why ?? ""}`.toLowerCase();
    const kind = row.dataset.k ?? home.dataset.k;
    const matches = (!show || kind === show) && words.every(word => text.includes(word));
    const place = places.get(home) ?? 0;
    places.set(home, place + 1);
    row.hidden = !matches || (plain && place >= limitOf(home));
    cells.get(row.id)?.classList.toggle("dim", !matches);
  }
  for (const body of list.tBodies) foldBody(body, plain);
  for (const chip of main.querySelectorAll(".show button")) chip.setAttribute("aria-pressed", String(chip.dataset.k === show));
  document.getElementById("none").hidden = !rows.length || rows.some(row => !row.hidden || plain);
}

function foldBody(body, plain) {
  body.querySelector(".fold")?.remove();
  const own = [...body.rows].filter(row => row.classList.contains("r"));
  const hidden = own.filter(row => row.hidden).length;
  const head = body.querySelector(".g");
  if (head) head.hidden = !plain && hidden === own.length;
  if (!plain || !hidden) return;
  const fold = body.insertRow();
  fold.className = "fold";
  const cell = fold.insertCell();
  cell.colSpan = list.tHead.rows[0].cells.length;
  const button = document.createElement("button");
  button.className = "chip";
  button.textContent = `show ${hidden} more`;
  button.addEventListener("click", () => { unfolded.add(body.id); filterRows(); });
  cell.append(button);
}

const SECONDS = { ms: .001, s: 1, min: 60, h: 3600, d: 86400 };

/** The value by which a cell is sorted: seconds, a number, or its text. */
function valueOf(cell) {
  const text = cell?.textContent.trim() ?? "";
  const age = text.match(/^([\d.,]+)\s(ms|s|min|h|d)$/);
  if (age) return parseFloat(age[1]) * SECONDS[age[2]];
  return /^\d[\d,]*(\.\d+)?(\/[\d,]+)?$/.test(text) ? parseFloat(text.replaceAll(",", "")) : text;
}

function compare(one, other) {
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one).localeCompare(String(other), "en", { numeric: true });
}

function unsortRows() {
  if (!sortedBody) return;
  for (const row of rows) homes.get(row).append(row);
  sortedBody.remove();
  sortedBody = null;
}

function sortRows() {
  unsortRows();
  const [column, way] = (view.get("sort") ?? "").split("-");
  const heads = [...list.tHead.rows[0].cells];
  const index = heads.findIndex(head => head.textContent.trim() === column);
  for (const head of heads) head.removeAttribute("aria-sort");
  if (index >= 0) {
    heads[index].setAttribute("aria-sort", way === "down" ? "descending" : "ascending");
    const values = new Map(rows.map(row => [row, valueOf(row.cells[index])]));
    const order = [...rows].sort((one, other) => compare(values.get(one), values.get(other)) * (way === "down" ? -1 : 1));
    sortedBody = document.createElement("tbody");
    sortedBody.append(...order);
    list.append(sortedBody);
  }
  filterRows();
}

function filterBy(text) {
  search.value = text;
  setView("q", text);
  filterRows();
}

if (list) {
  for (const head of list.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => { // up, down, the order of the server
      const now = head.getAttribute("aria-sort");
      setView("sort", now === "descending" ? "" : `${head.textContent.trim()}-${now ? "down" : "up"}`);
      sortRows();
    });
  }
  main.addEventListener("click", event => {
    const chip = event.target.closest(".show button");
    const reason = event.target.closest("[data-q]");
    if (chip) { setView("show", chip.dataset.k); filterRows(); }
    if (reason && search) { filterBy(reason.dataset.q); list.scrollIntoView({ block: "start" }); }
  });
  narrow.addEventListener("change", filterRows);
  collectRows();
  sortRows();
}

if (list && search) {
  search.value = view.get("q") ?? "";
  search.addEventListener("input", () => filterBy(search.value));
  document.addEventListener("keydown", event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/" && !event.target.closest("input")) {
      event.preventDefault();
      search.focus();
      search.select();
    } else if (event.key === "Escape") {
      setView("show", "");
      filterBy("");
    }
  });
}

// ---- the grid of servers: one stop of the tab key, arrow keys inside, the words of the row below ----

/** The id of the row of a cell. */
function targetOf(cell) {
  return decodeURIComponent(cell.hash.slice(1));
}

function labelGrid(grid) {
  const cells = [...grid.children];
  const current = cells.find(cell => cell.getAttribute("tabindex") === "0") ?? cells[0];
  for (const cell of cells) {
    cell.tabIndex = cell === current ? 0 : -1;
    const row = document.getElementById(targetOf(cell));
    cell.setAttribute("aria-label", row ? `${cell.title}, ${row.dataset.k}` : cell.title);
  }
}

function moveInGrid(event) {
  const cells = [...event.target.parentNode.children];
  const first = cells.findIndex(cell => cell.offsetTop > cells[0].offsetTop);
  const width = first < 0 ? cells.length : first;
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: width, ArrowUp: -width }[event.key];
  const next = step && cells[cells.indexOf(event.target) + step];
  if (!next) return;
  event.preventDefault();
  event.target.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}

function labelGrids() {
  document.querySelectorAll(".grid").forEach(labelGrid);
}

/** Show the words of the row of a cell below the grid. */
function readCell(event) {
  const cell = event.target.closest(".grid a");
  const row = cell && document.getElementById(targetOf(cell));
  if (!row) return;
  const [name, , state, why, since] = [...row.cells].map(part => part.textContent.trim());
  document.getElementById("read").textContent = `${name}: ${state}${since && ` for ${since}`}${why && `, ${why}`}`;
}

main.addEventListener("keydown", event => { if (event.target.closest(".grid")) moveInGrid(event); });
main.addEventListener("focusin", readCell);
main.addEventListener("mouseover", readCell);
labelGrids();

// ---- the timelines: the words of one check, from the table below ----

const STEPS = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -1e9, End: 1e9 };

function follow(section) {
  const plot = section.querySelector(".plot > svg:last-child");
  const cursor = document.createElementNS("http://www.w3.org/2000/svg", "line");
  for (const [name, value] of [["class", "cursor"], ["y1", 12], ["y2", 148]]) cursor.setAttribute(name, value);
  let place = Infinity;
  const results = () => [...section.querySelectorAll("tbody tr")].reverse(); // the oldest first
  const show = wanted => {
    const all = results();
    place = Math.max(0, Math.min(all.length - 1, wanted));
    const [time, result, took, reason] = [...all[place].cells].map(cell => cell.textContent.trim());
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, `${100 * (place + .4) / all.length}%`);
    plot.append(cursor);
    section.querySelector(".check").textContent = `${time}: ${result} after ${took}${reason ? `, ${reason}` : ""}`;
  };
  plot.tabIndex = 0;
  plot.addEventListener("focus", () => show(place));
  plot.addEventListener("pointermove", event => {
    const { left, width } = plot.getBoundingClientRect();
    show(Math.floor(results().length * (event.clientX - left) / width));
  });
  plot.addEventListener("keydown", event => {
    if (!STEPS[event.key]) return;
    event.preventDefault();
    show(place + STEPS[event.key]);
  });
}

const followed = new WeakSet();

function followAll() {
  for (const section of document.querySelectorAll(".checks")) {
    if (followed.has(section) || !section.querySelector(".plot")) continue;
    followed.add(section);
    follow(section);
  }
}

followAll();

// ---- update in place: nodes that stay keep focus, selection, scroll, what is open, sort and filter ----

const OURS = new Set(["open", "hidden", "tabindex", "aria-pressed", "aria-sort", "aria-label"]); // set by the reader or by this file
const KEPT = "#list > thead, #read, .check, #q";

/** The name by which a node is found again: its id, or the heading of a row. */
function nameOf(node) {
  if (node.nodeType !== Node.ELEMENT_NODE) return "";
  const heading = node.localName === "tr" && node.querySelector(":scope > th");
  return node.id || (heading && heading.textContent.trim()) || "";
}

function patchAttributes(old, fresh) {
  for (const { name, value } of fresh.attributes) {
    if (!OURS.has(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (!OURS.has(name) && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
}

/** Make ``old`` equal to ``fresh``. ``known`` has the rows of the list by name: a row may move to another group. */
function patch(old, fresh, known) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if (old.matches(KEPT)) return;
  patchAttributes(old, fresh);
  const own = new Map([...old.children].filter(nameOf).map(child => [nameOf(child), child]));
  let next = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    const name = nameOf(wanted);
    const inPlace = next?.nodeName === wanted.nodeName && !nameOf(next) ? next : null;
    const moved = list?.contains(old) ? known.get(name) : null;
    const same = name ? own.get(name) ?? moved : inPlace;
    own.delete(name);
    known.delete(name);
    if (!same) {
      const added = document.importNode(wanted, true);
      if (added.localName === "tr") added.classList.add("new");
      old.insertBefore(added, next);
      continue;
    }
    if (same === next) next = next.nextSibling;
    else old.insertBefore(same, next);
    patch(same, wanted, known);
  }
  while (next) {
    const after = next.nextSibling;
    next.remove();
    next = after;
  }
}

function update(text) {
  const page = new DOMParser().parseFromString(text, "text/html");
  const focused = document.activeElement;
  const top = scrollY;
  const known = new Map(rows.map(row => [nameOf(row), row]));
  if (list) {
    unsortRows();
    for (const fold of list.querySelectorAll(".fold")) fold.remove();
  }
  root.dataset.now = page.documentElement.dataset.now;
  patch(document.querySelector(".top"), page.querySelector(".top"), known);
  patch(main, page.getElementById("main"), known);
  document.title = page.title;
  setIcon(page.querySelector("link[rel=icon]").href);
  sayLive();
  if (list) { collectRows(); sortRows(); }
  labelGrids();
  followAll();
  if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
  if (scrollY !== top) scrollTo(0, top);
}

function setIcon(href) {
  const icon = document.querySelector("link[rel=icon]");
  if (icon.href !== href) icon.href = href;
}

// ---- contact: the stream sends a beat every 5 s and names each change; two missed beats are a lost contact ----

const BEAT = 5000;
const REFRESH = 30000; // the ages on the page are those of its rendering
const LOST_ICON = "data:image/svg+xml," + encodeURIComponent("<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><circle cx='8' cy='8' r='6.4' fill='none' stroke='#7c8894' stroke-width='2.4' stroke-dasharray='3 2'/></svg>");

function keepContact(path) {
  let heard = Date.now(); // the last sign that the page is up to date
  let rendered = Date.now(); // the last update of the page
  let changed = false; // the page is older than the last change
  let failed = false; // the last request of the page
  let busy = false;
  let stream;

  async function renew() {
    if (busy) return;
    busy = true;
    changed = false;
    try {
      const response = await fetch(location.pathname, { signal: AbortSignal.timeout(BEAT) });
      if (!response.ok) throw new Error(response.status);
      update(await response.text());
      heard = rendered = Date.now();
      failed = false;
      root.classList.remove("stale");
    } catch {
      changed = failed = true;
    }
    busy = false;
  }

  function due() {
    const age = Date.now() - rendered;
    return age >= REFRESH || changed || root.classList.contains("stale");
  }

  function listen() {
    stream = new EventSource(path);
    const change = () => { changed = true; if (due()) renew(); };
    stream.addEventListener("open", change); // it may have missed one
    stream.addEventListener("change", change);
    stream.addEventListener("beat", () => { if (due()) renew(); else heard = Date.now(); });
  }

  /** Only a visible page has a stream: browsers open at most six connections to one server. */
  function showOrHide() {
    stream?.close();
    if (document.hidden) return;
    heard = Math.max(heard, Date.now() - BEAT);
    listen();
  }

  function check() {
    const silent = Math.round((Date.now() - heard) / 1000);
    if (document.hidden) {
      if (failed) sayLost(heard - rendered, silent);
      if (Date.now() - rendered >= REFRESH && (!failed || silent % 5 === 0)) renew();
      return;
    }
    if (stream.readyState === EventSource.CLOSED && silent && silent % 5 === 0) { listen(); renew(); }
    if (silent >= 2 * BEAT / 1000) sayLost(heard - rendered, silent);
  }

  /** Show the banner; the last contact was ``later`` milliseconds after the rendering of the page. */
  function sayLost(later, silent) {
    document.getElementById("gone").textContent = silent < 120 ? `${silent} s` : `${Math.round(silent / 60)} min`;
    if (root.classList.contains("stale")) return;
    const since = new Date(Date.parse(root.dataset.now) + later).toISOString().slice(11, 19);
    root.classList.add("stale");
    live.textContent = `no contact since ${since}`;
    document.getElementById("since").textContent = since;
    document.title = `○ no contact since ${since} · ${root.dataset.host}`;
    setIcon(LOST_ICON);
  }

  showOrHide();
  document.addEventListener("visibilitychange", showOrHide);
  setInterval(check, 1000);
}

if (root.dataset.events) keepContact(root.dataset.events);
