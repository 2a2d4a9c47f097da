// Conditions while they are typed: a count after each pause, and completions of fields, functions and values.
// The text travels in the body of a POST, never in an address. Texts are set, never parsed.
"use strict";
(() => {
  const PAUSE_MS = 250, SHOWN = 12;

  // What may stand at the caret: the letters typed so far, and the words that continue them.
  const context = (before, words) => {
    const quoted = /'([^']*)$/.exec(before.replace(/'[^']*'/g, (text) => "\u0000".repeat(text.length)));
    if (quoted) {
      const head = before.slice(0, before.length - quoted[0].length);
      const behind = /(\w+)\s*\(\s*$/.exec(head) || /(\w+)\s*(?:=|<>|!=|<|>|\bLIKE|\bNOT\s+LIKE)\s*$/i.exec(head)
        || /(\w+)\s+(?:NOT\s+)?IN\s*\([^()]*$/i.exec(head);
      const values = behind && words.values[behind[1].toLowerCase()];
      return values ? { typed: quoted[1], fits: values.map((value) => ({ put: `${value}'`, says: "" })) } : null;
    }
    const typed = (/(\w+)$/.exec(before) || [""])[0];
    if (!typed) return null;
    return { typed, fits: [
      ...words.fields.map((one) => ({ put: one.name, says: `${one.signs}: ${one.meaning}` })),
      ...words.functions.map((one) => ({ put: one.usage.includes("('") ? `${one.name}('` : `${one.name}(`, says: one.usage })),
      ...words.keywords.map((put) => ({ put, says: "" })),
    ] };
  };

  const start = (form) => {
    const box = form.querySelector("textarea"), list = form.querySelector("[role=listbox]"), counted = form.querySelector("[data-counted]");
    const topic = form.elements.namedItem("topic");
    const hint = [...counted.childNodes];
    let words = null, asking = null, timer = 0, turn = 0, fits = [], at = -1;

    const fetched = async (path, body) => {
      const answer = await fetch(`${form.dataset.condition}/${path}`, { method: body ? "POST" : "GET", credentials: "same-origin", body });
      if (answer.status === 401) throw new Error("Your session has ended; reload the page.");
      if (!answer.ok) throw new Error("The console cannot answer now.");
      return answer.json();
    };

    const say = (text, kind) => {
      // A command in the advice stands between backticks.
      const pieces = text.split(/`([^`]+)`/).map((piece, at) => {
        if (at % 2 === 0) return piece;
        const code = document.createElement("code");
        code.textContent = piece;
        return code;
      });
      counted.replaceChildren(...(text ? pieces : hint));
      counted.className = `counted ${kind}`;
    };
    const count = async () => {
      const mine = ++turn, text = box.value;
      if (!text.trim()) { say("", ""); return; }
      const body = new URLSearchParams({ text, topic: topic ? topic.value : "" });
      try {
        const found = await fetched("count", body);
        if (mine !== turn) return; // a later question is under way
        if ("problem" in found) {
          say(found.fix ? `${found.problem}; ${found.fix}` : found.problem, "bad");
        } else say(`${found.matched.toLocaleString("en")} match, ${found.allowed.toLocaleString("en")} may be reached (index of ${found.ds})`, "");
      } catch (error) { if (mine === turn) say(error.message, "bad"); }
    };

    const close = () => {
      fits = []; at = -1;
      list.hidden = true;
      list.replaceChildren();
      box.removeAttribute("aria-activedescendant");
    };
    const mark = (to) => {
      at = (to + fits.length) % fits.length;
      [...list.children].forEach((item, n) => item.setAttribute("aria-selected", String(n === at)));
      box.setAttribute("aria-activedescendant", list.children[at].id);
      list.children[at].scrollIntoView({ block: "nearest" });
    };
    const take = (one, typed) => {
      const end = box.selectionStart, before = box.value.slice(0, end - typed.length);
      // A quote that stands behind the caret already is not written twice.
      const after = box.value.slice(end).replace(one.put.endsWith("'") ? /^'/ : /^$/, "");
      box.value = `${before}${one.put}${after}`;
      box.setSelectionRange(before.length + one.put.length, before.length + one.put.length);
      close();
      box.focus();
      box.dispatchEvent(new Event("input"));
    };
    const offer = () => {
      if (!words || box.selectionStart !== box.selectionEnd) { close(); return; }
      const here = context(box.value.slice(0, box.selectionStart), words);
      const typed = here ? here.typed.toLowerCase() : "";
      fits = here ? here.fits.filter((one) => one.put.toLowerCase().startsWith(typed) && one.put.toLowerCase() !== typed).slice(0, SHOWN) : [];
      if (!fits.length) { close(); return; }
      list.replaceChildren(...fits.map((one, n) => {
        const item = document.createElement("li"), name = document.createElement("code"), says = document.createElement("span");
        item.id = `completion-${n}`;
        item.setAttribute("role", "option");
        name.textContent = one.put;
        says.textContent = one.says;
        item.append(name, says);
        item.addEventListener("mousedown", (event) => { event.preventDefault(); take(one, here.typed); });
        return item;
      }));
      list.hidden = false;
      at = -1;
      list.dataset.typed = here.typed;
    };

    box.addEventListener("focus", () => {
      asking = asking || fetched("words").then((found) => { words = found; }).catch(() => { asking = null; });
    });
    box.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(count, PAUSE_MS);
      offer();
    });
    box.addEventListener("blur", close);
    box.addEventListener("keydown", (event) => {
      if (!fits.length) return;
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        mark(event.key === "ArrowDown" ? at + 1 : at < 0 ? fits.length - 1 : at - 1);
      } else if (event.key === "Enter" && at >= 0) {
        event.preventDefault();
        take(fits[at], list.dataset.typed);
      } else if (event.key === "Escape") { event.preventDefault(); close(); }
    });
    if (topic) topic.addEventListener("change", count);
    if (box.value.trim()) count();
  };

  // A list of people like these is a run of Airflow's, asked for with the person's own cookie, so Airflow checks it.
  const lookalike = (form) => {
    const said = form.querySelector("[data-said]"), button = form.querySelector("button");
    const dag = `${document.documentElement.dataset.airflow || ""}/api/v2/dags/${encodeURIComponent(form.dataset.lookalike)}`;
    const call = async (path, body) => {
      const answer = await fetch(dag + path, { method: body ? "POST" : "GET", credentials: "same-origin",
        headers: body ? { "Content-Type": "application/json" } : {}, body: body ? JSON.stringify(body) : undefined });
      if (answer.ok) return answer.json();
      throw new Error({ 401: "Your session has ended; reload the page.", 403: "You may not do this.",
        404: `Airflow has no DAG ${form.dataset.lookalike}.` }[answer.status] || `Airflow answered ${answer.status}.`);
    };
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      button.disabled = true;
      const given = Object.fromEntries(new FormData(form));
      try {
        const { is_paused: isOff } = await call("");
        const run = await call("/dagRuns", { logical_date: null, conf: { ...given, size: Number(given.size) } });
        said.textContent = `Begun as ${run.dag_run_id}; in_list('${given.name}') is there once it has ended.`
          + (isOff ? ` ${form.dataset.lookalike} is switched off: the run waits until it is switched on, under Today.` : "");
      } catch (error) { said.textContent = error.message; }
      button.disabled = false;
    });
  };

  const begin = () => {
    for (const form of document.querySelectorAll("form[data-condition]")) start(form);
    for (const form of document.querySelectorAll("form[data-lookalike]")) lookalike(form);
    // The server would refuse it before it reads it, on a page without a way back.
    for (const box of document.querySelectorAll("input[type=file][data-most]")) box.addEventListener("change", () =>
      box.setCustomValidity(box.files[0]?.size > Number(box.dataset.most) ? "This file is larger than 16 MiB; use angelia audience list." : ""));
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", begin); else begin();
})();
