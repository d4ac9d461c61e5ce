// Refreshes the page every five seconds and filters its rows. The page is complete without JavaScript.
"use strict";

const main = document.querySelector("main");
const freshness = document.getElementById("fresh");
const filter = document.createElement("input");
let lastResponse = Date.now();

filter.id = "filter";
filter.type = "search";
filter.placeholder = "Filter";
filter.setAttribute("aria-label", "Filter the rows");
filter.addEventListener("input", applyFilter);

function applyFilter() {
  const wanted = filter.value.toLowerCase();
  for (const row of main.querySelectorAll("tbody tr")) {
    row.hidden = !row.textContent.toLowerCase().includes(wanted);
  }
}

function placeFilter() {
  const focused = document.activeElement === filter;
  main.querySelector("table").before(filter);
  if (focused) filter.focus();
  applyFilter();
}

function showAge() {
  const age = Math.round((Date.now() - lastResponse) / 1000);
  freshness.textContent = age < 10 ? "live" : `no response for ${age} s`;
  freshness.classList.toggle("stale", age >= 10);
}

async function refresh() {
  try {
    const response = await fetch(location.href, { signal: AbortSignal.timeout(5000) });
    if (response.ok && !document.hidden) {
      const page = new DOMParser().parseFromString(await response.text(), "text/html");
      const focused = document.activeElement === filter;
      main.replaceChildren(...page.querySelector("main").childNodes);
      placeFilter();
      if (focused) filter.focus();
    }
    if (response.ok) lastResponse = Date.now();
  } catch {
    // The header shows the time since the last response.
  }
  showAge();
}

placeFilter();
showAge();
setInterval(() => document.hidden || refresh(), 5000);
setInterval(showAge, 1000);
