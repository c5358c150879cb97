// Brings a page to life: follows its events and shows each new state without a reload.

import { askBeforeCancelling } from "./cancel.js";
import { drawFigures, redrawFigures } from "./figures.js";
import { Live } from "./live.js";
import { patch } from "./patch.js";
import { keepSorted, sortOnClick } from "./sort.js";
import { countOn, localise, restartCounting } from "./times.js";

const main = document.querySelector("main");
const connection = document.querySelector("#connection");

async function showWhatIsNow(kinds) {
  const response = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (response.redirected) {
    // The session has ended: the login leads back to here.
    location.reload();
    return true;
  }
  if (response.status === 404) {
    // The job was deleted: the page that says so takes this one's place.
    location.reload();
    return true;
  }
  if (!response.ok) {
    throw new Error(`${location.pathname} answered ${response.status}`);
  }
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const fresh = page.querySelector("main");
  localise(fresh);
  keepSorted(main, fresh);
  patch(main, fresh);
  restartCounting();
  document.title = page.title;
  const isFinal = "final" in main.dataset;
  // Figures come after the page, so that they are never older than the state that it shows.
  await drawFigures(isFinal ? null : kinds);
  return isFinal;
}

function say(words) {
  if (connection.textContent !== words) {
    connection.textContent = words;
  }
}

localise(main);
countOn();
sortOnClick();
askBeforeCancelling(say);
redrawFigures();
drawFigures(null).catch(() => say("The figures could not be loaded; reload the page."));
if (!("final" in main.dataset)) {
  new Live(main, { refresh: showWhatIsNow, say }).start();
}
