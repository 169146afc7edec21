(() => {
  "use strict";
  const root = document.documentElement;
  const twins = JSON.parse(document.getElementById("twins").textContent);
  const dim = window.matchMedia("(prefers-color-scheme: dark)");
  const coarse = window.matchMedia("(pointer: coarse)");
  const plots = [...document.querySelectorAll(".plot")];
  const escaped = Object.keys(twins).map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  const light = new RegExp(escaped.sort((a, b) => b.length - a.length).join("|"), "gi");
  let printing = false;

  const isDark = () => !printing && (root.dataset.theme ? root.dataset.theme === "dark" : dim.matches);

  function figureOf(plot, dark) {
    const text = document.getElementById(plot.dataset.source).textContent;
    const figure = JSON.parse(dark ? text.replace(light, (found) => twins[found.toLowerCase()] || found) : text);
    const layout = figure.layout || {};
    delete layout.width;
    layout.font = layout.font || {};
    layout.font.color = layout.font.color || (dark ? "#e9e7e2" : "#22252a");
    layout.margin = layout.margin || { l: 56, r: 16, t: 40, b: 52 };
    layout.paper_bgcolor = "rgba(0,0,0,0)";
    if (coarse.matches) layout.dragmode = false;
    return { data: figure.data, layout };
  }

  const settings = { responsive: true, displayModeBar: false, doubleClick: "reset" };

  async function draw(plot) {
    const theme = isDark() ? "dark" : "light";
    if (plot.dataset.drawn === theme) return;
    plot.dataset.drawn = theme;
    const { data, layout } = figureOf(plot, theme === "dark");
    await window.Plotly.react(plot, data, layout, settings);
  }

  const drawAll = () => Promise.all(plots.map(draw));

  const seen = "IntersectionObserver" in window
    ? new IntersectionObserver((entries) => entries.filter((e) => e.isIntersecting).forEach((e) => draw(e.target)), { rootMargin: "800px" })
    : null;
  plots.forEach((plot) => (seen ? seen.observe(plot) : draw(plot)));

  async function drawRest() {
    for (const plot of plots) {
      await new Promise((rest) => setTimeout(rest, 30));
      await draw(plot);
    }
  }
  window.addEventListener("load", () => setTimeout(drawRest, 200));
  window.addEventListener("beforeprint", () => { printing = true; drawAll(); });
  window.addEventListener("afterprint", () => { printing = false; drawAll(); });

  const toggle = document.getElementById("theme");
  function say() {
    toggle.setAttribute("aria-pressed", String(isDark()));
    toggle.querySelector("span").textContent = isDark() ? "Light" : "Dark";
    toggle.setAttribute("aria-label", isDark() ? "Dark page: on" : "Dark page: off");
  }
  function retheme() { say(); return drawAll(); }
  toggle.hidden = false;
  toggle.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("skipnorm-theme", root.dataset.theme); } catch (refused) { /* a private window keeps nothing */ }
    retheme();
  });
  dim.addEventListener("change", retheme);
  say();

  function save(name, blob) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }
  const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text);
  document.querySelectorAll("[data-csv]").forEach((button) => button.addEventListener("click", () => {
    const rows = [...document.getElementById(`${button.dataset.csv}-table`).rows];
    const text = rows.map((row) => [...row.cells].map((cell) => quoted(cell.dataset.value || cell.textContent)).join(",")).join("\n");
    save(`${button.dataset.csv}.csv`, new Blob([text + "\n"], { type: "text/csv" }));
  }));
  ["svg", "png"].forEach((format) => document.querySelectorAll(`[data-${format}]`).forEach((button) => button.addEventListener("click", async () => {
    const name = button.dataset[format];
    const plot = document.querySelector(`#${CSS.escape(name)} .plot`);
    const { data, layout } = figureOf(plot, false);
    if (format === "png") layout.paper_bgcolor = "#ffffff";
    const size = { format, width: 900, height: layout.height || 400, scale: format === "png" ? 2 : 1 };
    const address = await window.Plotly.toImage({ data, layout }, size);
    save(`${name}.${format}`, await (await fetch(address)).blob());
  })));
  window.skipnorm = { drawAll };
})();
