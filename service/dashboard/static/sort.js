// Sorts tables by the column whose title is clicked, and keeps them sorted when they change.

export function sortOnClick() {
  document.addEventListener("click", (event) => {
    const title = event.target.closest?.("[data-sort]")?.closest("th");
    if (title) {
      const wasUp = title.getAttribute("aria-sort") === "ascending";
      for (const other of title.parentElement.cells) {
        other.removeAttribute("aria-sort");
      }
      title.setAttribute("aria-sort", wasUp ? "descending" : "ascending");
      sortRows(title.closest("table"), title);
    }
  });
}

/** Bring the rows of fresh tables into the order in which the old ones are sorted. */
export function keepSorted(old, fresh) {
  for (const table of old.querySelectorAll("table[data-sortable]")) {
    const title = table.tHead.querySelector("[aria-sort]");
    const counterpart = fresh.querySelector(`#${table.id}`);
    if (title && counterpart) {
      sortRows(counterpart, title);
    }
  }
}

function sortRows(table, title) {
  const sign = title.getAttribute("aria-sort") === "descending" ? -1 : 1;
  const rows = [...table.tBodies[0].rows].map((row) => ({
    row,
    value: valueOf(row.cells[title.cellIndex]),
    place: Number(row.dataset.place),
  }));
  rows.sort((a, b) => compare(a.value, b.value, sign) || a.place - b.place);
  table.tBodies[0].append(...rows.map(({ row }) => row));
}

function valueOf(cell) {
  const text = cell.dataset.value ?? cell.textContent.trim();
  return text === "" || Number.isNaN(Number(text)) ? text : Number(text);
}

function compare(a, b, sign) {
  // What is missing comes last, whichever way the rest is sorted.
  if (a === "" || b === "") {
    return (a === "") - (b === "");
  }
  return sign * (typeof a === "number" && typeof b === "number" ? a - b : `${a}`.localeCompare(`${b}`));
}
