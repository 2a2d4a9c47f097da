// The console's one script: theme, live parts, and what Airflow itself keeps (questions, switches, failed tasks).
// Airflow's API is called with the person's own cookie, so Airflow checks and audits it. Texts are set, never parsed.
"use strict";
(() => {
  const html = document.documentElement;
  const airflow = html.dataset.airflow || "";
  const api = `${airflow}/api/v2`;
  const DAGS = ["audience_lookalike", "campaign_backfill", "daily_effects", "effects_over", "event_triggers", "hourly_dispatch", "intake_dispatch", "nightly_personalization", "plan_whatif", "weekly_retrain"];
  const framed = window.parent !== window;

  const follow = () => {
    let theme = "";
    try {
      const names = window.parent.document.documentElement.classList;
      theme = names.contains("dark") ? "dark" : names.contains("light") ? "light" : "";
    } catch { /* another origin frames nothing of ours: the policy forbids it */ }
    if (theme) html.dataset.theme = theme; else delete html.dataset.theme;
  };
  if (framed) {
    follow();
    try {
      new MutationObserver(follow).observe(window.parent.document.documentElement,
        { attributes: true, attributeFilter: ["class"] });
    } catch { /* as above */ }
  }

  const make = (tag, words, kind) => {
    const node = document.createElement(tag);
    if (words) node.textContent = words;
    if (kind) node.className = kind;
    return node;
  };

  const call = async (path, method = "GET", body) => {
    const answer = await fetch(api + path, {
      method,
      credentials: "same-origin",
      headers: body ? { "Content-Type": "application/json" } : {},
      body: body ? JSON.stringify(body) : undefined,
    });
    if (answer.ok) return answer.status === 204 ? {} : answer.json();
    const why = { 401: "Your session has ended; reload the page.", 403: "You may not do this.",
      404: "It is not there any more.", 409: "Somebody else was first." }[answer.status];
    throw new Error(why || `Airflow answered ${answer.status}.`);
  };

  // Airflow's questions are written in Markdown; this shows the little of it that they use.
  const inline = (node, text) => {
    for (const piece of text.split(/(\*\*[^*]+\*\*|(?<=^|[\s(])\*(?=\S)[^*]+(?<=\S)\*(?=$|[\s.,;:)])|`[^`]+`)/)) {
      if (/^\*\*.+\*\*$/.test(piece)) node.append(make("b", piece.slice(2, -2)));
      else if (/^\*[^*]+\*$/.test(piece)) node.append(make("i", piece.slice(1, -1)));
      else if (/^`.+`$/.test(piece)) node.append(make("code", piece.slice(1, -1)));
      else if (piece) node.append(piece);
    }
    return node;
  };
  const markdown = (text) => {
    const box = make("div");
    for (const block of text.split(/\n\s*\n|\n(?=- )/)) {
      const lines = block.split("\n").map((line) => line.trim()).filter(Boolean);
      if (!lines.length) continue;
      if (lines.every((line) => line.startsWith("|"))) {
        const table = make("table");
        for (const line of lines) {
          if (/^[|\s:-]+$/.test(line) && line.includes("-")) continue;
          const row = make("tr");
          for (const cell of line.slice(1, line.endsWith("|") ? -1 : undefined).split("|")) row.append(inline(make("td"), cell.trim()));
          table.append(row);
        }
        box.append(table);
      } else if (lines[0].startsWith("- ")) {
        const list = box.lastElementChild?.tagName === "UL" ? box.lastElementChild : box.appendChild(make("ul"));
        list.append(inline(make("li"), lines.join(" ").slice(2)));
      } else box.append(inline(make("p"), lines.join(" ")));
    }
    return box;
  };

  // A page inside Airflow's frame may not leave it; Airflow's own page can.
  const link = (path, words) => {
    const node = make("a", words);
    node.href = airflow + path;
    if (framed) node.addEventListener("click", (event) => {
      event.preventDefault();
      const outer = window.parent.document.createElement("a");
      outer.href = node.href;
      window.parent.document.body.append(outer);
      outer.click();
      outer.remove();
    });
    return node;
  };

  // A button that asks once more before it acts; the browser's own question is not allowed inside the frame.
  const button = (words, act, kind = "") => {
    const box = make("span", "", "answers");
    const first = make("button", words, kind);
    first.type = "button";
    const say = make("span", "", "soft");
    say.setAttribute("role", "status");
    first.addEventListener("click", () => {
      const yes = make("button", `Yes: ${words}`, kind), no = make("button", "No", "plain");
      yes.type = no.type = "button";
      no.addEventListener("click", () => { box.replaceChildren(first, say); first.focus(); });
      yes.addEventListener("click", async () => {
        yes.disabled = no.disabled = true;
        try { await act(); say.textContent = "Done."; box.replaceChildren(say); setTimeout(fill, 800); }
        catch (error) { say.textContent = error.message; box.replaceChildren(first, say); }
      });
      box.replaceChildren(yes, no, say);
      yes.focus();
    });
    box.append(first, say);
    return box;
  };

  const put = (box, nodes, none) => {
    box.replaceChildren(...(nodes.length ? nodes : [make("p", none, "empty")]));
  };
  const refused = (box, error) => put(box, [], error.message);
  const path = (...words) => words.map(encodeURIComponent).join("/");

  const questions = async (box) => {
    const { hitl_details: all } = await call("/dags/~/dagRuns/~/hitlDetails?response_received=false&limit=50&order_by=created_at");
    const open = all.filter((one) => DAGS.includes(one.task_instance.dag_id) && !["success", "failed", "skipped", "removed", "upstream_failed"].includes(one.task_instance.state));
    put(box, open.map((one) => {
      const ti = one.task_instance, node = make("article", "", "question");
      node.append(make("h3", one.subject));
      const until = /Answer by ([^;.]+)/.exec(one.body || "");
      if (until) node.append(make("p", `Answer by ${until[1]}; no answer counts as ${(one.defaults || []).join(", ") || "no"}.`, "deadline"));
      // The deadline stands above, in its own colour; the body says it once more for those who read it elsewhere.
      node.append(markdown((one.body || "").replace(until ? /Answer by [^;.]+; no answer counts as \*\*[^*]+\*\*\. ?/ : "", "")));
      const given = Object.fromEntries(Object.entries(one.params).map(([name, param]) => [name, param.value]));
      const mine = !one.assigned_users.length || html.dataset.approver === "yes";
      if (html.dataset.approver === "yes" && mine) {
        const row = make("div", "", "answers");
        for (const option of one.options) row.append(button(option, () => call(
          `/dags/${path(ti.dag_id)}/dagRuns/${path(ti.dag_run_id)}/taskInstances/${path(ti.task_id, ti.map_index)}/hitlDetails`,
          "PATCH", { chosen_options: [option], params_input: given }), (one.defaults || []).includes(option) ? "plain" : ""));
        node.append(row);
      } else node.append(make("p", "Whoever has the role approver may answer.", "soft"));
      node.append(link(`/dags/${path(ti.dag_id)}/runs/${path(ti.dag_run_id)}/tasks/${path(ti.task_id)}`, `${ti.dag_id}.${ti.task_id} in Airflow`));
      return node;
    }), "Nothing waits for an answer.");
  };

  const paused = async (box) => {
    const { dags } = await call("/dags?tags=angelia&paused=true&limit=50");
    // Without a DAG at all, none is switched off; yet nothing runs.
    const isEmpty = !dags.length && !(await call("/dags?tags=angelia&limit=1")).dags.length;
    put(box, dags.map((dag) => {
      const node = make("div", "", "row");
      node.append(make("b", dag.dag_id));
      if (html.dataset.operator === "yes") node.append(button("Switch on", () => call(`/dags/${path(dag.dag_id)}`, "PATCH", { is_paused: false }), "plain"));
      return node;
    }), isEmpty ? "Airflow knows no DAG of Angelia yet: look whether its DAG processor runs." : "All DAGs are switched on.");
  };

  const failed = async (box) => {
    const since = new Date(Date.now() - 3 * 86400e3).toISOString();
    const { task_instances: all } = await call(`/dags/~/dagRuns/~/taskInstances?state=failed&end_date_gte=${encodeURIComponent(since)}&order_by=-end_date&limit=50`);
    const ours = all.filter((ti) => DAGS.includes(ti.dag_id));
    box.replaceChildren(...ours.map((ti) => {
      const node = make("div", "", "question");
      node.append(make("b", `${ti.dag_id}.${ti.task_id}`), ` failed at ${(ti.end_date || "").slice(0, 16).replace("T", " ")} UTC, try ${ti.try_number}. `);
      node.append(link(`/dags/${path(ti.dag_id)}/runs/${path(ti.dag_run_id)}/tasks/${path(ti.task_id)}`, "Its log in Airflow"));
      if (html.dataset.operator === "yes") node.append(button("Clear it and what follows", () => call(`/dags/${path(ti.dag_id)}/clearTaskInstances`, "POST",
        { dry_run: false, dag_run_id: ti.dag_run_id, task_ids: [ti.task_id], include_downstream: true, only_failed: false, reset_dag_runs: true })));
      return node;
    }));
  };

  const day = (text) => `${(text || "").slice(0, 16).replace("T", " ")} UTC`;
  // Rows of (heading, value); the first heads its row, and on a phone each becomes a line of its own.
  const table = (heads, rows) => {
    const node = make("table", "", "stack"), head = node.createTHead().insertRow();
    for (const words of heads) { const cell = make("th", words); cell.scope = "col"; head.append(cell); }
    const body = node.createTBody();
    for (const values of rows) {
      const row = body.insertRow();
      values.forEach((value, n) => {
        const cell = make(n ? "td" : "th");
        if (n) cell.dataset.label = heads[n]; else cell.scope = "row";
        cell.append(value instanceof Node ? value : make("span", String(value)));
        row.append(cell);
      });
    }
    return node;
  };

  const answered = async (box) => {
    const { hitl_details: all } = await call("/dags/~/dagRuns/~/hitlDetails?response_received=true&limit=50&order_by=-responded_at");
    const ours = all.filter((one) => DAGS.includes(one.task_instance.dag_id));
    put(box, ours.length ? [table(["when", "who", "answer", "question", "about"], ours.map((one) => [
      day(one.responded_at), one.responded_by_user?.name || "nobody, it ran out of time", (one.chosen_options || []).join(", "),
      link(`/dags/${path(one.task_instance.dag_id)}/runs/${path(one.task_instance.dag_run_id)}/tasks/${path(one.task_instance.task_id)}`, one.subject),
      (one.params_input || {}).about || "–"]))] : [], "No question has been answered yet.");
  };

  const events = async (box) => {
    const { event_logs: all } = await call("/eventLogs?limit=200&order_by=-when&excluded_events=running&excluded_events=success&excluded_events=failed&excluded_events=cli_task_run");
    const ours = all.filter((one) => DAGS.includes(one.dag_id)).slice(0, 50);
    put(box, ours.length ? [table(["when", "who", "did", "where"], ours.map((one) => [
      day(one.when), one.owner || "–", one.event, [one.dag_id, one.task_id, one.run_id].filter(Boolean).join(" ")]))] : [],
    "Airflow has no entry of our DAGs.");
  };

  // A run that this page asks Airflow for: as the person who looks at it, with what the server has checked.
  const switchedOff = async (box, dag) => {
    if (!(await call(`/dags/${path(dag)}`)).is_paused) return;
    const node = make("div", "", "row");
    node.append(make("span", `${dag} is switched off: its runs wait until it is on.`, "warn"));
    if (html.dataset.operator === "yes") node.append(button("Switch on", () => call(`/dags/${path(dag)}`, "PATCH", { is_paused: false }), "plain"));
    box.append(node);
  };
  const trigger = async (box) => {
    if (box.dataset.done) return;
    const { dag, run, words, then } = box.dataset;
    const row = make("div", "", "answers"), start = make("button", words), say = make("span", "", "soft");
    start.type = "button";
    say.setAttribute("role", "status");
    start.addEventListener("click", async () => {
      start.disabled = true;
      box.dataset.done = "yes";
      try {
        await call(`/dags/${path(dag)}/dagRuns`, "POST", { dag_run_id: run, logical_date: null, conf: JSON.parse(box.dataset.conf) });
        location.href = then;
      } catch (error) { say.textContent = error.message; start.disabled = false; delete box.dataset.done; }
    });
    row.append(start, say);
    box.replaceChildren(row);
    await switchedOff(box, dag);
  };
  const runs = async (box) => {
    const { runOf: dag, runLike: like } = box.dataset;
    const { dag_runs: all } = await call(`/dags/${path(dag)}/dagRuns?order_by=-run_after&limit=5&run_id_pattern=${encodeURIComponent(`${like}%`)}`);
    put(box, all.map((run) => {
      const node = make("div", "", "row");
      node.append(make("span", `${dag}: ${run.state} since ${day(run.start_date || run.queued_at || run.run_after)}`));
      node.append(link(`/dags/${path(dag)}/runs/${path(run.dag_run_id)}`, "The run in Airflow"));
      return node;
    }), box.dataset.none || `${dag} has not run yet.`);
    if (all.some((run) => run.state === "queued")) await switchedOff(box, dag);
  };

  const LIVE = { "[data-trigger]": trigger, "[data-run-of]": runs, "[data-questions]": questions, "[data-paused]": paused, "[data-failed]": failed, "[data-answered]": answered, "[data-events]": events };
  const fill = () => {
    for (const [mark, show] of Object.entries(LIVE)) {
      const box = document.querySelector(mark);
      if (box) show(box).catch((error) => refused(box, error));
    }
  };

  // A live part is fetched again every few seconds, unless somebody is using it.
  const keep = (part) => {
    const again = async () => {
      const busy = part.contains(document.activeElement) || document.hidden;
      if (!busy) try {
        const answer = await fetch(location.href, { credentials: "same-origin" });
        if (answer.status === 401) { refused(part, new Error("Your session has ended; reload the page.")); return; }
        const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-live]");
        if (answer.ok && fresh && !part.contains(document.activeElement)) {
          const open = [...part.querySelectorAll("details[open][id]")].map((one) => one.id);
          for (const mark of Object.keys(LIVE)) {
            const old = part.querySelector(mark), next = fresh.querySelector(mark);
            if (old && next) next.replaceWith(old);
          }
          part.replaceChildren(...fresh.childNodes);
          for (const id of open) document.getElementById(id)?.setAttribute("open", "");
          fill();
        }
      } catch { /* the server is away: what stands here stays, and is asked for again */ }
      setTimeout(again, Number(part.dataset.live) * 1000);
    };
    setTimeout(again, Number(part.dataset.live) * 1000);
  };

  // What is wrong with a text names its line; the name leads there, since a field shows no line numbers.
  const places = () => {
    const box = document.getElementById("text");
    for (const item of document.querySelectorAll("[data-line]")) {
      const at = /^line (\d+)(?=:)/.exec(item.textContent);
      if (!at || !box) continue;
      const place = make("a", at[0]);
      place.href = "#text";
      place.addEventListener("click", (event) => {
        event.preventDefault();
        const lines = box.value.split("\n"), n = Math.min(Number(at[1]), lines.length) - 1;
        const start = lines.slice(0, n).join("\n").length + (n ? 1 : 0);
        box.focus();
        box.setSelectionRange(start, start + lines[n].length);
        box.scrollTop = Math.max(0, n - 3) * (box.scrollHeight / lines.length);
      });
      item.replaceChildren(place, item.textContent.slice(at[0].length));
    }
  };

  // A second click would send a form twice, and whoever saves would conflict with themselves.
  document.addEventListener("submit", (event) => {
    if (event.defaultPrevented) return;
    const form = event.target;
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "yes";
    setTimeout(() => delete form.dataset.sent, 10_000);
  });
  addEventListener("pageshow", () => { // Back brings a page as it was left
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  });

  document.addEventListener("DOMContentLoaded", () => {
    fill();
    places();
    for (const part of document.querySelectorAll("[data-live]")) keep(part);
    for (const one of document.querySelectorAll("[data-reload]"))
      one.addEventListener("click", () => (framed ? window.parent : window).location.reload());
  });
})();
