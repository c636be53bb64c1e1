// The browser of trajectories. What models wrote is only ever set as text: nothing here makes markup of it.
"use strict";
(async () => {
  const SHOWN = 200, KEPT = 8;
  const $ = (id) => document.getElementById(id);
  const make = (tag, text, kind) => {
    const made = document.createElement(tag);
    if (text !== undefined) made.textContent = text;
    if (kind) made.className = kind;
    return made;
  };
  const unpack = async (id) => {
    const bytes = Uint8Array.from(atob($(id).textContent.trim()), (char) => char.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return JSON.parse(await new Response(stream).text());
  };
  const chunks = new Map();
  const chunk = async (number) => {
    if (!chunks.has(number)) {
      if (chunks.size >= KEPT) chunks.delete(chunks.keys().next().value);
      chunks.set(number, unpack("chunk-" + number));
    }
    return chunks.get(number);
  };

  const index = await unpack("index");
  const entries = index.entries;   // each: id, model, format, task, family, repeat, right, stop, turns, seconds, words, chunk, place
  const filters = ["model", "format", "family", "verdict", "stop"];
  const verdict = (entry) => (entry.right ? "right" : "wrong");
  const value = (entry, name) => (name === "verdict" ? verdict(entry) : entry[name]);
  for (const name of filters) {
    for (const option of [...new Set(entries.map((entry) => value(entry, name)))].sort()) {
      const made = make("option", option);
      made.value = option;
      $("by-" + name).append(made);
    }
  }
  let found = entries, opened = -1, limit = SHOWN, asked = 0;
  const orders = {
    order: (a, b) => a.id - b.id,
    task: (a, b) => (a.task < b.task ? -1 : a.task > b.task ? 1 : a.id - b.id),
    turns: (a, b) => b.turns - a.turns || a.id - b.id,
    seconds: (a, b) => b.seconds - a.seconds || a.id - b.id,
  };

  const choose = async () => {
    const mine = ++asked, text = $("text").value.toLowerCase();
    let left = entries.filter((entry) => filters.every((name) => !$("by-" + name).value || value(entry, name) === $("by-" + name).value));
    if (text && $("deep").checked) {
      const hits = new Set();
      for (const number of [...new Set(left.map((entry) => entry.chunk))].filter((number) => number >= 0).sort((a, b) => a - b)) {
        $("count").textContent = "searching …";
        const texts = (await chunk(number)).map((one) => JSON.stringify(one).toLowerCase());
        if (mine !== asked) return;
        const needle = JSON.stringify(text).slice(1, -1);
        for (const entry of left) if (entry.chunk === number && texts[entry.place].includes(needle)) hits.add(entry.id);
      }
      left = left.filter((entry) => hits.has(entry.id));
    } else if (text) {
      left = left.filter((entry) => (entry.task + "\n" + entry.words).toLowerCase().includes(text));
    }
    found = left.sort(orders[$("sort").value]);
    limit = SHOWN;
    list();
  };

  const list = () => {
    $("rows").replaceChildren(...found.slice(0, limit).map((entry) => {
      const row = make("tr"), first = make("td"), button = make("button", entry.task + (entry.repeat ? " #" + entry.repeat : ""));
      button.type = "button";
      button.addEventListener("click", () => open(entry.id));
      first.append(button);
      row.append(first, make("td", verdict(entry), verdict(entry)), make("td", entry.format), make("td", entry.turns, "number"),
        make("td", entry.seconds.toFixed(1), "number"), make("td", entry.stop.replace("_", " ")), make("td", entry.model));
      row.dataset.id = entry.id;
      row.classList.toggle("open", entry.id === opened);
      return row;
    }));
    $("count").textContent = found.length + " of " + entries.length + " trajectories";
    $("more").hidden = found.length <= limit;
  };

  const WORDS = "False None True and as assert async await break class continue def del elif else except finally for from global if import in is lambda nonlocal not or pass raise return try while with yield match case";
  const TOKENS = new RegExp("(#[^\\n]*)|(\"\"\"[\\s\\S]*?\"\"\"|'''[\\s\\S]*?'''|\"(?:\\\\.|[^\"\\\\\\n])*\"|'(?:\\\\.|[^'\\\\\\n])*')|\\b(" +
    WORDS.split(" ").join("|") + ")\\b|\\b(\\d[\\w.]*)", "g");
  const coloured = (code) => {
    const made = make("pre");
    made.tabIndex = 0;
    let done = 0;
    for (const match of code.matchAll(TOKENS)) {
      const kind = ["comment", "string", "word", "number"][match.slice(1).findIndex((part) => part !== undefined)];
      made.append(code.slice(done, match.index), make("span", match[0], "tok-" + kind));
      done = match.index + match[0].length;
    }
    made.append(code.slice(done));
    return made;
  };
  const picture = ([mime, data]) => {
    if (!/^image\/(png|jpeg|gif|webp)$/.test(mime) || !/^[A-Za-z0-9+/=]*$/.test(data)) return make("p", "[a picture that cannot be shown]", "soft");
    const made = make("img");
    made.src = "data:" + mime + ";base64," + data;
    made.alt = "picture that this turn put out";
    return made;
  };
  const turn = (one, number) => {
    const made = make("section", undefined, "turn");
    made.append(make("h3", "Turn " + (number + 1) + ": " + one.kind + " · " + one.seconds.toFixed(1) + " s"));
    if (one.reasoning) {
      const folded = make("details");
      folded.append(make("summary", "Reasoning"), make("div", one.reasoning, "words"));
      made.append(folded);
    }
    if (one.thought) made.append(make("div", one.thought, "words"));
    if (one.code) made.append(one.kind === "code" ? coloured(one.code) : make("pre", one.code));
    if (one.ignored) made.append(make("p", "Ignored, as it went ahead of the result:", "soft"), make("pre", one.ignored));
    if (one.output) {
      made.append(make("p", one.status === "none" ? "Told to the model" : "Observation (" + one.status + ")", "soft"));
      made.append(make("pre", one.output, "output" + (one.status === "ok" || one.status === "none" ? "" : " failed")));
    }
    made.append(...one.images.map(picture));
    return made;
  };

  const open = async (id, focus = true) => {
    const entry = entries[id];
    if (!entry) return;
    opened = id;
    list();
    const detail = $("detail");
    detail.replaceChildren(make("h2", entry.task), make("p",
      `${entry.model} · ${entry.format} · repeat ${entry.repeat} · ended: ${entry.stop.replace("_", " ")}`, "soft"));
    if (entry.chunk < 0) {
      detail.append(make("p", "This trajectory is not in the page, which holds so many only; it is in the folder of the run."));
    } else {
      const whole = (await chunk(entry.chunk))[entry.place];
      if (opened !== id) return;
      detail.append(make("p", whole.verdicts.map(([name, right]) => name + ": " + (right ? "right" : "wrong")).join(" · "), verdict(entry)));
      const prompt = make("details");
      prompt.append(make("summary", "Prompt"));
      for (const [role, text] of whole.prompt) prompt.append(make("p", role, "soft"), make("pre", text));
      detail.append(prompt, ...whole.turns.map(turn));
      detail.append(make("h3", "Answers"), make("pre", whole.answers.join("\n") || "none"), make("p", "Expected", "soft"), make("pre", whole.expected));
    }
    detail.scrollTop = 0;
    if (focus) detail.focus({ preventScroll: matchMedia("(min-width: 55rem)").matches });
    history.replaceState(null, "", "#t" + id);
  };
  const close = () => {
    const row = document.querySelector("tr.open button");
    opened = -1;
    $("detail").replaceChildren(make("p", "Nothing is open: choose a task, or press Enter.", "soft"));
    history.replaceState(null, "", "#browser");
    list();
    if (row) $("list").focus();
  };
  const step = (by) => {
    const now = found.findIndex((entry) => entry.id === opened);
    const next = found[Math.max(0, Math.min(found.length - 1, now < 0 ? 0 : now + by))];
    if (!next) return;
    limit = Math.max(limit, found.indexOf(next) + 1);
    open(next.id, false);
    document.querySelector("tr.open").scrollIntoView({ block: "nearest" });
  };

  for (const name of filters) $("by-" + name).addEventListener("change", choose);
  for (const name of ["sort", "deep"]) $(name).addEventListener("change", choose);
  let waiting = 0;
  $("text").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(choose, 200); });
  $("more").addEventListener("click", () => { limit += SHOWN; list(); });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.matches("input, select, textarea");
    if (event.key === "Escape") typing ? event.target.blur() : close();
    else if (typing) return;
    else if (event.key === "j") step(1);
    else if (event.key === "k") step(-1);
    else if (event.key === "Enter" && !event.target.matches("button, summary, a")) opened < 0 ? step(0) : $("detail").focus();
    else if (event.key === "/") { event.preventDefault(); $("text").focus(); }
  });
  const asked_for = /^#t(\d+)$/.exec(location.hash);
  list();
  if (asked_for) await open(Number(asked_for[1]), false);
  document.documentElement.dataset.ready = "yes";
})();
