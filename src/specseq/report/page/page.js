// Tables, chart and figures come alive here; without scripts the page still shows all of its content.
document.documentElement.classList.toggle("dark", matchMedia("(prefers-color-scheme: dark)").matches);

const tables = {};
for (const element of document.querySelectorAll("table.display")) {
  const table = new window.ITable(element, {
    pageLength: Number(element.dataset.page),
    lengthMenu: [15, 25, 100, 1000],
    order: [],
    autoWidth: false,
    deferRender: true,
    layout: { topStart: "search", topEnd: "pageLength", bottomStart: "info", bottomEnd: "paging" },
  });
  tables[element.id] = table.dt;
  const pager = table.dt.table().container().querySelector('nav[aria-label="pagination"]');
  pager?.setAttribute("aria-label", `pages of: ${element.caption.textContent}`);
}

const ledger = tables["ledger-table"];
if (ledger) {
  const names = [...document.querySelectorAll("#ledger-table thead th")].map((cell) => cell.textContent.trim());
  const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const control = (name) => document.getElementById(`${name}-filter`);
  for (const name of ["verdict", "kind", "note", "status"]) {
    const column = ledger.column(names.indexOf(name));
    if (name !== "verdict")
      for (const value of [...new Set(column.data().toArray())].sort()) control(name).add(new Option(value, value));
    control(name).addEventListener("change", () => {
      const wanted = control(name).value;
      column.search(wanted ? `^${escaped(wanted)}$` : "", true, false).draw();
    });
  }
  for (const link of document.querySelectorAll("[data-verdict-link]"))
    link.addEventListener("click", () => {
      control("verdict").value = link.dataset.verdictLink;
      control("verdict").dispatchEvent(new Event("change"));
    });
}
// On paper there are no pages to turn and no dark side.
addEventListener("beforeprint", () => {
  document.documentElement.classList.remove("dark");
  for (const table of Object.values(tables)) table.page.len(-1).draw();
});
addEventListener("afterprint", () => {
  document.documentElement.classList.toggle("dark", matchMedia("(prefers-color-scheme: dark)").matches);
  for (const [id, table] of Object.entries(tables)) table.page.len(Number(document.getElementById(id).dataset.page)).draw();
});
window.specseqLedger = ledger;

const spec = JSON.parse(document.getElementById("chart-spec").textContent);
if (spec) {
  const theme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : undefined;
  const options = { actions: false, renderer: "svg", theme, config: { background: "transparent", aria: false } };
  // The chart as a whole is one labelled image; the roles Vega gives its parts would contradict that.
  window.vegaEmbed("#verdict-chart", spec, options).then(({ view }) => {
    for (const part of view.container().querySelectorAll("[role], [aria-roledescription]"))
      for (const name of ["role", "aria-roledescription", "aria-label"]) part.removeAttribute(name);
  });
}

const lightbox = document.getElementById("lightbox");
for (const button of document.querySelectorAll(".zoom"))
  button.addEventListener("click", () => {
    const image = button.querySelector("img");
    Object.assign(lightbox.querySelector("img"), { src: image.src, alt: image.alt });
    lightbox.showModal();
  });
document.getElementById("close-lightbox").addEventListener("click", () => lightbox.close());
