// Renews the page every five seconds and filters its rows. Without it everything is still there to be read.
"use strict";

const main = document.querySelector("main");
const fresh = document.getElementById("fresh");
const filter = document.createElement("input");
let last = Date.now();

filter.id = "filter";
filter.type = "search";
filter.placeholder = "Filter";
filter.setAttribute("aria-label", "Filter the rows");
filter.addEventListener("input", sift);

function sift() {
  const wanted = filter.value.toLowerCase();
  for (const row of main.querySelectorAll("tbody tr")) {
    row.hidden = !row.textContent.toLowerCase().includes(wanted);
  }
}

function place() {
  const focused = document.activeElement === filter;
  main.querySelector("table").before(filter);
  if (focused) filter.focus();
  sift();
}

function tell() {
  const age = Math.round((Date.now() - last) / 1000);
  fresh.textContent = age < 10 ? "live" : `no answer for ${age} s`;
  fresh.classList.toggle("stale", age >= 10);
}

async function renew() {
  try {
    const answer = await fetch(location.href, { signal: AbortSignal.timeout(5000) });
    if (answer.ok && !document.hidden) {
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const focused = document.activeElement === filter;
      main.replaceChildren(...page.querySelector("main").childNodes);
      place();
      if (focused) filter.focus();
    }
    if (answer.ok) last = Date.now();
  } catch {
    // The line in the header says how long there was no answer.
  }
  tell();
}

place();
tell();
setInterval(() => document.hidden || renew(), 5000);
setInterval(tell, 1000);
