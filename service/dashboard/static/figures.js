// Draws the figures that the service describes, in the colours of the page.

const HAS_MOUSE = matchMedia("(pointer: fine)").matches;
const CONFIG = {
  displaylogo: false,
  displayModeBar: HAS_MOUSE ? "hover" : false,
  // By default plotly.js offers to send the figure to its maker's server.
  showSendToCloud: false,
  plotlyServerURL: "",
  responsive: true,
  modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
};

const described = new Map();

/** Fetch and draw the figures that depend on some kinds of events, or all for null. */
export async function drawFigures(kinds) {
  const wanted = [...document.querySelectorAll("[data-figure]")].filter(
    ({ dataset }) => kinds === null || dataset.kinds.split(" ").some((kind) => kinds.has(kind)),
  );
  await Promise.all(wanted.map(drawFigure));
}

/** Draw all figures again whenever the page changes between light and dark. */
export function redrawFigures() {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const [element, figure] of described) {
      draw(element, figure);
    }
  });
}

async function drawFigure(element) {
  const response = await fetch(element.dataset.figure);
  if (!response.ok) {
    throw new Error(`${element.dataset.figure} answered ${response.status}`);
  }
  const figure = await response.json();
  described.set(element, figure);
  await draw(element, figure);
}

function draw(element, { data, layout }) {
  return Plotly.react(element, data, { ...layout, ...lookOf(element) }, CONFIG);
}

function lookOf(element) {
  const style = getComputedStyle(element);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  return {
    font: { family: style.fontFamily, size: 13, color: colour("ink") },
    hoverlabel: {
      align: "left",
      bgcolor: colour("surface"),
      bordercolor: colour("line"),
      font: { family: style.fontFamily, size: 13, color: colour("ink") },
    },
    modebar: {
      bgcolor: "rgba(0, 0, 0, 0)",
      color: colour("quiet"),
      activecolor: colour("ink"),
    },
    // A finger that moves over a figure scrolls the page; zooming is for a mouse.
    dragmode: HAS_MOUSE ? "zoom" : false,
  };
}
