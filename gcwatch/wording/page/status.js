
"use strict";
// Search, filter and refresh. What was chosen is in the address behind #, so it survives a refresh.
(() => {
  const page = document.body;
  const element = (id) => document.getElementById(id);
  const search = element("search"), refresh = element("refresh"), found = element("found");
  const choices = [...document.querySelectorAll("input[name=show]")];
  const cases = [...document.querySelectorAll("[data-case]")];
  const groups = [...document.querySelectorAll(".group")];
  const words = new Map(cases.map((each) => [each, simple(each.textContent)]));
  let typed = 0;

  function simple(text) {
    return text.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").toLowerCase().replace(/\s+/g, " ");
  }

  function chosen() {
    return choices.find((each) => each.checked).value;
  }

  function show() {
    const wanted = simple(search.value).trim().split(" ");
    page.dataset.show = chosen();
    for (const each of cases) {
      each.hidden = !wanted.every((word) => words.get(each).includes(word));
    }
    for (const group of groups) {
      group.hidden = [...group.querySelectorAll("[data-case]")].every((each) => each.hidden);
    }
    const listed = cases.filter((each) => chosen() === "all" || each.closest("section").id === chosen());
    const shown = listed.filter((each) => !each.hidden).length;
    found.textContent = search.value.trim() ? `${shown} of ${listed.length} listed cases match.` : "";
  }

  function save(focus) {
    const state = new URLSearchParams();
    if (search.value) state.set("q", search.value);
    if (chosen() !== "all") state.set("show", chosen());
    if (!refresh.checked) state.set("refresh", "off");
    if (focus) state.set("focus", focus);
    const address = `#${state}`;
    if (address !== (location.hash || "#")) location.replace(address);
  }

  function restore() {
    const state = new URLSearchParams(location.hash.slice(1));
    search.value = state.get("q") || "";
    for (const each of choices) each.checked = each.value === (state.get("show") || "all");
    if (!choices.some((each) => each.checked)) choices[0].checked = true;
    refresh.checked = state.get("refresh") !== "off";
    const focused = state.get("focus") && element(state.get("focus"));
    if (focused) focused.focus({ preventScroll: true });
    show();
  }

  function age(seconds) {
    const minutes = Math.round(seconds / 60);
    if (minutes < 120) return `${minutes} minutes`;
    return minutes < 2880 ? `${Math.round(minutes / 60)} hours` : `${Math.round(minutes / 1440)} days`;
  }

  function warn() {
    const seconds = (Date.now() - Date.parse(page.dataset.written)) / 1000;
    const isOld = seconds > Number(page.dataset.oldSeconds) && !("over" in page.dataset);
    const told = isOld ? `This page is ${age(seconds)} old: gcwatch is not running or can't reach this share.` : "";
    const stale = element("stale");
    stale.hidden = !isOld;
    if (stale.textContent !== told) stale.textContent = told;
  }

  function isBusy() {
    return document.hidden || Date.now() - typed < 20000 || !getSelection().isCollapsed;
  }

  let left = Number(page.dataset.refreshSeconds);
  function tick() {
    warn();
    left -= 1;
    if (left > 0 || !refresh.checked || isBusy()) return;
    save(document.activeElement.id);
    location.reload();
  }

  element("controls").hidden = false;
  element("controls").addEventListener("submit", (event) => event.preventDefault());
  search.addEventListener("input", () => { typed = Date.now(); show(); save(); });
  for (const each of choices) each.addEventListener("change", () => { show(); save(); });
  refresh.addEventListener("change", () => save());
  addEventListener("hashchange", () => { if (document.activeElement !== search) restore(); });
  restore();
  warn();
  setInterval(tick, 1000);
})();
