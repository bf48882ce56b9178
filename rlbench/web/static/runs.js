// The table of runs: which rows are ticked, also while the table is loaded again, and what can be done with them.
"use strict";

const boxes = () => [...document.querySelectorAll("#table input[name=run]")];
const ticked = () => boxes().filter(box => box.checked);

function tell() {
  const runs = ticked().reduce((sum, box) => sum + box.value.split(",").length, 0);
  for (const button of document.querySelectorAll("[data-needs]")) {
    button.disabled = ticked().length < Number(button.dataset.needs);
  }
  for (const place of document.querySelectorAll(".how-many")) {
    place.textContent = runs === 1 ? "1 run" : `${runs} runs`;
  }
  const all = document.getElementById("all");
  if (all) {
    all.checked = ticked().length > 0 && ticked().length === boxes().length;
    all.indeterminate = ticked().length > 0 && !all.checked;
  }
}

document.addEventListener("change", event => {
  if (event.target.id === "all") {
    for (const box of boxes()) box.checked = event.target.checked;
  }
  tell();
});

document.addEventListener("click", event => {
  for (const one of document.querySelectorAll("details.columns[open]")) {
    if (!one.contains(event.target)) one.open = false;
  }
});

document.addEventListener("keydown", event => {
  const open = document.querySelector("details.columns[open]");
  if (event.key === "Escape" && open) {
    open.open = false;
    open.querySelector("summary").focus();
  }
});

let kept = [];
document.addEventListener("htmx:beforeSwap", () => { kept = ticked().map(box => box.value); });
document.addEventListener("htmx:afterSwap", () => {
  for (const box of boxes()) box.checked = kept.includes(box.value);
  tell();
});
document.addEventListener("htmx:configRequest", event => {  // an address says only what is chosen
  const {parameters, verb} = event.detail;
  if (verb === "get") Object.keys(parameters).filter(name => parameters[name] === "").forEach(name => delete parameters[name]);
});
document.addEventListener("DOMContentLoaded", tell);
document.querySelector("[name=where]")?.addEventListener("change", event => event.stopPropagation());  // Enter asks, once
