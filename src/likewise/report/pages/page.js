"use strict";
// Draws the charts that the page holds as JSON, and keeps them in step with light, dark and paper.
(() => {
  const charts = new Map();
  for (const script of document.querySelectorAll("script[data-chart]")) {
    charts.set(document.getElementById(script.dataset.chart), JSON.parse(script.textContent));
  }

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function theme(layout) {
    const ink = colour("--ink"), soft = colour("--soft"), grid = colour("--grid");
    const axis = { gridcolor: grid, linecolor: soft, zerolinecolor: grid, tickfont: { color: soft }, tickcolor: soft };
    const themed = {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { color: ink, family: "system-ui, sans-serif", size: 13 },
      hoverlabel: { bgcolor: colour("--panel"), bordercolor: grid, font: { color: ink } },
      modebar: { orientation: "v", color: soft, activecolor: ink, bgcolor: "rgba(0,0,0,0)" },
    };
    for (const name of ["xaxis", "yaxis"]) themed[name] = { ...layout[name], ...axis };
    return { ...layout, ...themed };
  }

  const withTheme = (element) => theme(element.layout ?? charts.get(element).figure.layout);

  function draw(element, content) {
    const options = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"] };
    Plotly.newPlot(element, content.figure.data, theme(content.figure.layout), options);
    if (content.sheet) showThumbnails(element, content);
  }

  // What a point of the map stands for: its picture cut from the sheet, and lines of text.
  function showThumbnails(element, { sheet, lines }) {
    const side = 112;
    const card = document.createElement("div");
    const picture = document.createElement("div");
    card.className = "hover-card";
    card.hidden = true;
    picture.className = "picture";
    picture.style.backgroundImage = `url(${sheet.uri})`;
    picture.style.backgroundSize = `${sheet.columns * side}px ${sheet.rows * side}px`;
    if (sheet.tile >= 64) picture.style.imageRendering = "auto";
    document.body.append(card);

    function show({ points, event }) {
      const example = points[0].customdata;
      picture.style.backgroundPosition =
        `${-(example % sheet.columns) * side}px ${-Math.floor(example / sheet.columns) * side}px`;
      card.dataset.example = example;
      card.replaceChildren(picture, ...lines[example].map((line) => {
        const paragraph = document.createElement("p");
        paragraph.textContent = line;
        return paragraph;
      }));
      card.hidden = false;
      const left = event.clientX + 16, top = event.clientY + 16;
      card.style.left = `${Math.max(0, left + card.offsetWidth > innerWidth ? left - card.offsetWidth - 32 : left)}px`;
      card.style.top = `${Math.max(0, top + card.offsetHeight > innerHeight ? top - card.offsetHeight - 32 : top)}px`;
    }
    element.on("plotly_hover", show);
    element.on("plotly_click", show); // a finger cannot hover
    element.on("plotly_unhover", () => { card.hidden = true; });
    addEventListener("scroll", () => { card.hidden = true; }, { passive: true });
  }

  function chooseAxis(section, key) {
    for (const [element, content] of charts) {
      const axis = content.axes?.[key];
      if (!axis || !section.contains(element)) continue;
      Plotly.update(element, { x: axis.x }, { "xaxis.title.text": axis.title, "xaxis.autorange": true });
    }
  }

  for (const choice of document.querySelectorAll(".axis-choice")) {
    choice.addEventListener("change", (event) => chooseAxis(choice.closest("section"), event.target.value));
  }

  const retheme = () => { for (const element of charts.keys()) Plotly.relayout(element, withTheme(element)); };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", retheme);
  // Paper is narrower than the screen, and always light.
  matchMedia("print").addEventListener("change", () => {
    retheme();
    for (const element of charts.keys()) Plotly.Plots.resize(element);
  });

  for (const [element, content] of charts) draw(element, content);
})();
