// What all pages share: dialogs, texts to copy, and a word if the server or what is looked at is gone.
"use strict";

document.addEventListener("click", event => {
  const opens = event.target.closest("[data-opens]");
  if (opens) document.getElementById(opens.dataset.opens).showModal();
  if (event.target.closest("[data-closes]")) event.target.closest("dialog").close();
  const copies = event.target.closest("[data-copies]");
  if (copies) copy(copies);
});

async function copy(button) {
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copies).textContent);
  const words = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = words; }, 1500);
}

function say(words) {
  const place = document.getElementById("said");
  place.textContent = words;
  place.hidden = !words;
}

document.addEventListener("htmx:sendError", () => say("The server does not answer. This page shows what it last said."));
document.addEventListener("htmx:responseError", event => {  // an error is told where its form has a place for it
  const {xhr, target} = event.detail;
  const told = new DOMParser().parseFromString(xhr.responseText, "text/html").querySelector("[data-words]");
  const words = told ? told.textContent : xhr.responseText || `The server answered ${xhr.status}.`;
  if (target.classList.contains("problem")) target.textContent = words;
  else say(words);
});
document.addEventListener("htmx:afterRequest", event => {
  if (event.detail.successful) say("");
});
